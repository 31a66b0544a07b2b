"""Where scenes are disjoint, no bit of the scored scene reaches the training of a system that reads the dialogue."""

from hashlib import sha256

import numpy as np
import pytest

from harness.corpus.utterances import parse_utterance_id
from harness.features.store import FeatureStore
from harness.models.out_of_fold import part_folds, predict_out_of_fold
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.splits.protocol import read_protocol
from harness.training import dialogues
from harness.training.dialogues import fit_dialogues
from harness.training.recipe import open_parts
from tests.searched import prepare_small
from tests.training.overwritten import overwrite

PROTOCOL = read_protocol({"scenes": "disjoint"})
SHARED = read_protocol({"class_weights": "balanced"})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepare_small(tmp_path_factory.mktemp("a corpus's folder"))


@pytest.fixture(scope="module")
def parts(prepared):
    return open_parts(PROTOCOL, FeatureStore.open(prepared))


def everything_fed(prepared_dir, train_ids, folder, protocol=PROTOCOL):
    """All that is fitted on some training utterances, and all that a network is fed, as digests."""
    point = read_hyperparameters(SYSTEMS["bc_lstm"], {"vectors": "both", "svd_dimension": 3}, protocol)
    train = FeatureStore.open(prepared_dir).load(train_ids)
    fitted, inputs = fit_dialogues(point, train, protocol, 7)
    fitted.save(folder)
    fed = [inputs.vectors, inputs.emotions, inputs.probabilities, *inputs.folds.values()]
    return [sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())] + [
        sha256(np.asarray(array).tobytes()).hexdigest() for array in fed
    ]


def test_nothing_of_the_scored_scene_reaches_a_search_or_a_final_training(prepared, parts, tmp_path):
    folds = [(parts.validated_scenes, parts.train)]
    folds += [(fold.scenes, fold.train) for fold in parts.final_folds(())]
    for number, (scenes, train_ids) in enumerate(folds):
        folder = tmp_path / str(number)
        copied = overwrite(prepared, folder / "features", lambda turn, scenes=scenes: turn.scene in scenes)
        fed = everything_fed(prepared, train_ids, folder / "before")
        assert everything_fed(copied, train_ids, folder / "after") == fed
    # What is read in training is not the same: the comparison would have seen a difference.
    copied = overwrite(prepared, tmp_path / "read" / "features", lambda turn: turn.scene in folds[1][0])
    train_ids = folds[2][1]
    before = everything_fed(prepared, train_ids, tmp_path / "before")
    assert everything_fed(copied, train_ids, tmp_path / "after") != before


def test_no_classifier_answers_a_training_turn_whose_session_or_scene_it_has_read(prepared, parts, monkeypatch):
    parted = []

    def spy(fit, folds, is_trained_on):
        parted.extend(part_folds(folds, is_trained_on))
        return predict_out_of_fold(fit, folds, is_trained_on)

    monkeypatch.setattr(dialogues, "predict_out_of_fold", spy)
    point = read_hyperparameters(SYSTEMS["chain"], {}, PROTOCOL)
    train = FeatureStore.open(prepared).load(parts.train)
    _, inputs = fit_dialogues(point, train, PROTOCOL, 7)
    names = [parse_utterance_id(name) for name in inputs.dialogues.utterance_ids]
    for read in ("session", "scene"):
        for asked, trained in parted:
            assert not {getattr(names[row], read) for row in asked} & {getattr(names[row], read) for row in trained}
    assert 4 < len(parted) <= 16 and sum(len(asked) for asked, _ in parted) == len(names)


def test_where_scenes_are_shared_a_session_is_a_fold(prepared, parts):
    point = read_hyperparameters(SYSTEMS["chain"], {}, SHARED)
    _, inputs = fit_dialogues(point, FeatureStore.open(prepared).load(parts.train), SHARED, 7)
    assert set(inputs.folds) == {"session"}
