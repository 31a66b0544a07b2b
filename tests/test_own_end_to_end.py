"""Features of one's own as a user types them: a file -> aup -> retrain-best --test, and where they are refused."""

import json

import numpy as np
import pandas as pd
import pytest

from harness.corpus.utterances import CLASSES
from harness.features.store import FeatureStore
from harness.store.records import ScoreKind
from tests.test_end_to_end import rows, succeed, type_command

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

NUM_COLUMNS = 6


def write_vectors(path, utterances, seed=0):
    """A vector for each utterance whose first numbers are its class, with some noise."""
    values = np.random.default_rng(seed).normal(size=(len(utterances), NUM_COLUMNS))
    for row, utterance in enumerate(utterances):
        if utterance.emotion in CLASSES:
            values[row, CLASSES.index(utterance.emotion)] += 4.0
    table = pd.DataFrame(values, columns=[f"functional_{number}" for number in range(NUM_COLUMNS)])
    table.insert(0, "utterance_id", [utterance.utterance_id for utterance in utterances])
    table.to_csv(path, index=False)


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a user's features")
    succeed(folder, "harness", "init", "experiment")
    folder /= "experiment"
    succeed(folder, "harness", "synth", "the corpus", "--scale", "0.03")
    succeed(folder, "harness", "prepare", "the corpus", "--into", "known")
    known = FeatureStore.open(folder / "known")
    write_vectors(folder / "own.csv", known.turns(known.sessions))
    settings = json.loads((folder / "experiment.json").read_text())
    settings |= {"name": "own", "corpus": "the corpus", "system": "speech_vector", "speech_features": "own.csv"}
    settings |= {"search_space": "speech_vector.json", "n_samples": 2, "n_parallel": 1, "max_epochs": 15}
    (folder / "experiment.json").write_text(json.dumps(settings))
    succeed(folder, "aup", "experiment.json")
    return folder


def test_the_search_learns_from_the_file(line):
    scores = [score for (score,) in rows(line, "SELECT score FROM trials")]
    assert len(scores) == 2 and max(scores) > 0.8
    ((note,),) = rows(line, "SELECT features_note FROM experiments")
    assert note == "Features of speech come from 'own.csv', one vector of 6 numbers an utterance."


def test_another_file_of_the_same_name_is_another_experiment(line):
    before = (line / "own.csv").read_bytes()
    known = FeatureStore.open(line / "known")
    write_vectors(line / "own.csv", known.turns(known.sessions), seed=1)
    done = type_command(line, "aup", "experiment.json")
    (line / "own.csv").write_bytes(before)
    assert done.returncode == 2 and "with other settings: speech_features was" in done.stderr


def test_a_final_model_is_scored_once_and_refuses_a_recording(line):
    succeed(line, "harness", "retrain-best", "--test", "--seeds", "1")
    kinds = dict(rows(line, "SELECT kind, weighted_accuracy FROM test_scores"))
    assert kinds[ScoreKind.VALIDATION_CHOSEN] > 0.8
    (model,) = (line / "results/models").iterdir()
    wav = next((line / "the corpus").rglob("sentences/wav/*/*.wav"))
    done = type_command(line, "harness", "predict", str(model), str(wav))
    assert done.returncode == 2
    needed = "needs 'own.csv', one vector of 6 numbers an utterance, from whatever wrote that, and harness cannot"
    assert needed in done.stderr
    done = type_command(line, "harness", "evaluate", str(model), "the corpus")
    assert done.returncode == 2 and "harness cannot compute them for another corpus" in done.stderr
