"""Every system learns the cue of its modality, and nothing where only the other modalities carry one."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.corpus.synthetic import Cue, SyntheticSettings, write_synthetic
from harness.features.prepare import prepare_corpus
from harness.features.speech import SPEECH_VARIANTS
from harness.features.store import FeatureStore
from harness.final.test_session import open_test_session
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.scoring.metrics import weighted_accuracy
from harness.splits.protocol import PROTOCOLS
from harness.store.trial_spec import TrialSpec
from harness.training.recipe import open_parts, recipe_of, train_validated

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

#: What tells the class to each system alone.
CUES = {
    "speech": frozenset({Cue.SPEECH}),
    "text": frozenset({Cue.TEXT}),
    "head": frozenset({Cue.HEAD}),
    "hand": frozenset({Cue.HAND}),
    "face": frozenset({Cue.FACE}),
    "mocap": frozenset({Cue.FACE, Cue.HAND, Cue.HEAD}),
}
#: The cheapest of each cue; the others take three quarters of the time.
QUICK = ("speech4", "ctc", "text2", "text3", "head2", "hand2", "face2")
SINGLES = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.thorough)
    for name, system in SYSTEMS.items()
    if len(system.modalities) == 1
]

#: 273 utterances test: the share that is right by luck has a standard deviation of 2.9 points.
SCALE = 0.25

#: Smaller than the paper's, with Adam and smaller batches: 750 utterances give few steps.
SMALL = {
    **{"optimizer": "adam", "learning_rate": 0.002, "batch_size": 32, "dropout": 0.1},
    **{"speechlstm": 48, "speechlstm2": 48, "textlstm": 48, "textlstm2": 48, "mocaplstm": 48, "mocaplstm2": 48},
    **{"dense": 64, "dense1": 128, "dense2": 64, "filters": 64, "embedding_dimension": 64, "random_dimension": 64},
}
OWN = {
    # The convolutions over the face stop at the largest class with that rate.
    "face2": {"learning_rate": 0.004},
    # One Dense layer over the hands learns slowly: at any rate 10 epochs leave it about the largest class.
    "hand2": {"learning_rate": 0.001, "batch_size": 16},
    # Its numbers are small, and Adam steps as far for each.
    "text_terms": {"optimizer": "momentum", "learning_rate": 0.5},
    # Voices of the synthetic corpus say no words, so that its recogniser has nothing to learn: the network alone.
    "asr_transfer": {"transfer": "scratch", "asr_units": 32},
}
#: Epochs at most, and those to wait for a better one.
LENGTH = (10, 4)
OWN_LENGTH = {"hand2": (40, None)}


@pytest.fixture(scope="module")
def prepare(tmp_path_factory):
    """Write the corpus with some cues and prepare it with the speech features of a system, once each."""
    folders = {}

    def prepared_dir(cues, variant):
        if cues not in folders:
            folders[cues] = tmp_path_factory.mktemp("-".join(sorted(cues)))
            write_synthetic(folders[cues] / "corpus", SyntheticSettings(scale=SCALE, cues=cues))
        prepared = folders[cues] / variant
        if not prepared.exists():
            prepare_corpus(folders[cues] / "corpus", prepared, SPEECH_VARIANTS[variant])
        return prepared

    yield prepared_dir
    # Gigabytes, which later tests may need.
    for folder in folders.values():
        shutil.rmtree(folder)


def score_test(prepared_dir, name):
    system, protocol = SYSTEMS[name], PROTOCOLS["paper"]
    known = system.hyperparameters.__dataclass_fields__
    values = {key: value for key, value in (SMALL | OWN.get(name, {})).items() if key in known}
    max_epochs, patience = OWN_LENGTH.get(name, LENGTH)
    spec = TrialSpec(1, 1, 0, 1, name, protocol, prepared_dir, Path("unused"), max_epochs, patience, 2)
    store = FeatureStore.open(prepared_dir)
    parts, test = open_parts(protocol, store), open_test_session(store, protocol)
    recipe = recipe_of(spec, system, read_hyperparameters(system, values, protocol))
    trained, _ = train_validated(recipe, store.load(parts.train), store.load(parts.validation))
    probabilities = trained.predict(test)
    majority = np.bincount(test.emotions).max() / len(test.emotions)
    return weighted_accuracy(test.emotions, probabilities.argmax(axis=1)), majority


@pytest.mark.parametrize("name", SINGLES)
def test_a_system_beats_chance_where_its_modality_carries_a_cue_and_only_there(name, prepare):
    own = CUES.get(name.rstrip("1234"), CUES[SYSTEMS[name].modalities[0]])
    variant = SYSTEMS[name].speech_features
    with_cue, majority = score_test(prepare(own, variant), name)
    # The others' cues, told by the whole of speech, words or motion: a head model must not see a face's.
    without_cue, _ = score_test(prepare(frozenset(Cue) - own, variant), name)
    assert with_cue > majority + 0.05, "no better than the largest class"
    assert without_cue < majority + 0.08, "better than the largest class without a cue: a leak"
    assert with_cue > without_cue + 0.04
