"""The recogniser below asr_transfer: the turns that it reads, that it learns, what is taken over, and its keeping."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from harness.corpus.synthetic import SyntheticSettings, write_synthetic
from harness.corpus.utterances import CLASSES, Emotion, Utterance
from harness.errors import FeatureError
from harness.features.fitted import fit_features
from harness.features.prepare import prepare_corpus
from harness.features.speech import SPEECH_VARIANTS, column_names
from harness.features.store import Features, FeatureStore
from harness.features.text import LETTERS
from harness.final.saved_model import load_seed, save_seed
from harness.models.build import FusedAdam
from harness.models.inputs import input_shapes
from harness.models.recogniser import build_recogniser
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.scoring.metrics import character_error_rate
from harness.splits.protocol import PROTOCOLS, read_protocol
from harness.training import recogniser
from harness.training.loop import seed_everything, train_for
from harness.training.recipe import Recipe, open_parts, train_for_epochs, train_validated
from harness.training.recogniser import (
    Recogniser,
    RecogniserTrainer,
    SpelledTurns,
    fit_recogniser,
    training_turns,
)
from tests.training.test_context import hold, invent_turns

PAPER = PROTOCOLS["paper"]
SYSTEM = SYSTEMS["asr_transfer"]
FRAMES = SPEECH_VARIANTS["frames"]
SETTINGS = replace(FRAMES, max_frames=80)
SMALL = {"asr_units": 8, "asr_epochs": 1, "batch_size": 8, "learning_rate": 0.01}
#: Other weights are those of the layers that the recogniser does not have.
OF_RECOGNISER = ("asr_convolution1", "asr_convolution2", "asr_bilstm1", "asr_bilstm2")


def invent_spoken(num_turns, seed=0, session=1):
    """Turns in which each letter of the transcript is a tone of 12 frames; the first letter tells the class."""
    rng = np.random.default_rng(seed)
    columns = column_names(SETTINGS)
    speech, lengths = np.zeros((num_turns, SETTINGS.max_frames, len(columns)), np.float32), []
    utterances = []
    for row in range(num_turns):
        text = "".join(rng.choice(list("abcd"), rng.integers(2, 5)))
        tones = rng.normal(scale=0.3, size=(12 * len(text), len(columns)))
        for place, letter in enumerate(text):
            tones[12 * place : 12 * place + 8, 3 * LETTERS.index(letter)] += 4.0
        speech[row, : len(tones)] = tones
        lengths.append(len(tones))
        emotion = Emotion(CLASSES["abcd".index(text[0])])
        name = f"Ses0{session}F_impro01_{'FM'[row % 2]}{row:03d}"
        utterances.append(Utterance(name, emotion, 2.5, 2.5, 2.5, float(row), row + 1.0, text, None, 0))
    arrays = {"speech": speech, "speech_lengths": np.array(lengths)}
    return Features.from_arrays(utterances, SETTINGS, columns, arrays)


def change(features, row, **values):
    utterances = list(features.utterances)
    utterances[row] = replace(utterances[row], **values)
    return replace(features, utterances=tuple(utterances))


def recipe(protocol=PAPER, **values):
    return Recipe(SYSTEM, read_hyperparameters(SYSTEM, SMALL | values, protocol), protocol, 1, 1, None, None)


def fit(features):
    return fit_features(features, ("speech",), PAPER, None, None, 1)


def weights_of(network):
    return {
        layer.name: [values.copy() for values in layer.get_weights()]
        for layer in network.layers
        if layer.name in OF_RECOGNISER
    }


def are_equal(first, second):
    return all(np.array_equal(*pair) for name in second for pair in zip(first[name], second[name], strict=True))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_it_learns_to_read_tones():
    train, other = invent_spoken(64), invent_spoken(32, seed=1)
    fitted = fit(train)
    seed_everything(1)
    point = read_hyperparameters(SYSTEM, {**SMALL, "asr_units": 16}, PAPER)
    network = build_recogniser(point, input_shapes(fitted, PAPER))
    trainer = RecogniserTrainer(network, FusedAdam(0.02, global_clipnorm=5.0))
    known = Recogniser(network, fitted, 64, 0)
    spelled, scored = (SpelledTurns.find(turns, fitted, trains=True) for turns in (train, other))
    before = trainer.train_epoch(spelled, 8, np.random.default_rng(0))[0]
    train_for(trainer, spelled, batch_size=8, num_epochs=35, seed=1)
    after = trainer.train_epoch(spelled, 8, np.random.default_rng(0))[0]
    rate = character_error_rate(scored.texts, known.read(scored))
    assert after < 0.1 * before
    assert rate < 0.3 and f"{100 * rate:.1f} %" in known.describe_errors(other)


def test_turns_are_left_out_whose_spelling_or_whole_sound_is_not_known():
    turns = invent_spoken(8)
    frames = {0: 0, 1: SETTINGS.max_frames, 2: 5}
    lengths = np.array([frames.get(row, length) for row, length in enumerate(turns.speech_lengths)])
    turns = change(change(replace(turns, speech_lengths=lengths), 3, transcript="[LAUGHTER]"), 4, transcript="in 1999")
    turns = change(turns, 5, transcript=None)
    trained, scored = (SpelledTurns.find(turns, fit(turns), trains=trains).features for trains in (True, False))
    assert trained.utterance_ids == turns.utterance_ids[6:]
    assert scored.utterance_ids == (turns.utterance_ids[2], *turns.utterance_ids[6:])


def test_one_turn_is_written_as_one():
    turns = invent_spoken(4)
    known = Recogniser(None, fit(turns), 1, 1)
    assert known.describe().endswith("trained on 1 transcribed turn of the training dialogues (1 was left out)")
    several = Recogniser(None, fit(turns), 2, 0)
    assert several.describe().endswith("trained on 2 transcribed turns of the training dialogues (0 were left out)")


def test_without_a_transcript_nothing_is_taken_over():
    turns = invent_spoken(4)
    for row in range(4):
        turns = change(turns, row, transcript=None)
    with pytest.raises(FeatureError) as caught:
        train_for_epochs(recipe(), turns, 1)
    assert str(caught.value) == (
        "system 'asr_transfer': none of the 4 turns of the training dialogues has a transcript that a recogniser can "
        'be trained on; expected at least one; only "transfer": "scratch" needs none'
    )


@pytest.mark.long
@pytest.mark.timeout(600)
def test_frozen_layers_stay_fine_tuned_ones_move_and_scratch_has_no_recogniser(monkeypatch, tmp_path):
    train, validation = invent_spoken(24), invent_spoken(8, seed=1, session=2)
    trained = {name: train_validated(recipe(transfer=name), train, validation)[0] for name in ("frozen", "fine-tuned")}
    known = weights_of(trained["frozen"].recogniser.network)
    assert list(known) == list(OF_RECOGNISER) and are_equal(known, weights_of(trained["fine-tuned"].recogniser.network))
    found = weights_of(trained["frozen"].model)
    assert are_equal(found, known)
    tuned = weights_of(trained["fine-tuned"].model)
    assert not any(are_equal({name: known[name]}, {name: tuned[name]}) for name in known)
    monkeypatch.setattr(recogniser, "_fit", lambda *given: pytest.fail("a recogniser was trained"))
    scratch = train_for_epochs(recipe(transfer="scratch"), train, 1)[0]
    assert scratch.describe_source(validation) == "none: the weights begin at random"
    # Of the others, only the layers after the recogniser's train.
    assert len(trained["frozen"].model.trainable_weights) == len(scratch.model.trainable_weights) - 16
    # Longer neighbours in a batch, and a saved model, change nothing.
    answers = trained["frozen"].predict(validation)
    shortest = int(np.argmin(validation.speech_lengths))
    alone = trained["frozen"].predict(validation.select([validation.utterance_ids[shortest]]))
    np.testing.assert_allclose(alone[0], answers[shortest], atol=1e-6)
    save_seed(tmp_path, 7, trained["frozen"])
    again = load_seed(tmp_path, 7)
    assert np.array_equal(again.predict(validation), answers)
    assert again.fitted.embedding_source.startswith("a recogniser of characters, trained on 24 transcribed turns")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_first_layer_alone_can_be_taken_over():
    trained = train_for_epochs(recipe(asr_layer=1), invent_spoken(16), 1)[0]
    own = weights_of(trained.model)
    assert "asr_bilstm2" not in own and are_equal(weights_of(trained.recogniser.network), own)


def test_turns_of_other_labels_train_and_neither_other_utterances_nor_other_speakers_do():
    whole = hold(*invent_turns(sessions=(1, 2)))
    women = [name for name in whole.utterance_ids if "_F0" in name]
    turns = training_turns(whole.select([name for name in women if name != women[1]]))
    expected = {turn for turn in whole.all_turns.utterance_ids if "_F0" in turn} - {women[1]}
    assert set(turns.utterance_ids) == expected and (turns.emotions < 0).any()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a corpus's folder")
    write_synthetic(folder / "corpus", SyntheticSettings(scale=0.02, mocap_rate=5))
    prepare_corpus(folder / "corpus", folder / "features", FRAMES)
    return folder / "features"


SPEAKER = read_protocol({"base": "paper", "test_session": 4, "test_speaker": "M"})
DISJOINT = read_protocol({"base": "paper", "scenes": "disjoint"})


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("protocol", [PAPER, DISJOINT, SPEAKER], ids=["paper", "disjoint scenes", "one speaker"])
def test_the_turns_are_of_training_dialogues_and_none_validates_or_is_tested(prepared, protocol):
    store = FeatureStore.open(prepared)
    parts = open_parts(protocol, store)
    turns = training_turns(store.load(parts.train))
    others = [turn for turn, emotion in zip(turns.utterances, turns.emotions, strict=True) if emotion < 0]
    assert others and {turn.utterance_id for turn in turns.utterances} - {turn.utterance_id for turn in others} == set(
        parts.train
    )
    assert not set(turns.utterance_ids) & set(parts.validation)
    assert not {turn.scene for turn in turns.utterances} & parts.validated_scenes
    tested = {f"Ses{protocol.test_session:02d}{letter}" for letter in protocol.test_speaker.value[:1] if letter in "FM"}
    assert not {turn.name.speaker for turn in turns.utterances} & (tested or {"Ses05F", "Ses05M"})


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("protocol", [PAPER, DISJOINT, SPEAKER], ids=["paper", "disjoint scenes", "one speaker"])
def test_no_bit_of_a_validation_or_test_turn_reaches_its_weights(prepared, protocol, tmp_path):
    parts = open_parts(protocol, FeatureStore.open(prepared))
    allowed = set(training_turns(FeatureStore.open(prepared).load(parts.train)).utterance_ids)
    found = []
    for prepared_dir in (prepared, overwrite(prepared, tmp_path / "features", allowed)):
        train = replace(FeatureStore.open(prepared_dir).load(parts.train), prepared_dir=None)
        fitted = fit_features(train, ("speech",), protocol, None, None, 1)
        network = fit_recogniser(recipe(protocol).hyperparameters, train, fitted).network
        found.append([values.tobytes() for values in network.get_weights()])
    assert found[0] == found[1]
    # And a turn of another label that may train does.
    train = FeatureStore.open(overwrite(prepared, tmp_path / "all", set(parts.train))).load(parts.train)
    network = fit_recogniser(recipe(protocol).hyperparameters, replace(train, prepared_dir=None), fitted).network
    assert found[0] != [values.tobytes() for values in network.get_weights()]


def overwrite(prepared, copied, kept):
    """Copy prepared features, with other words and sounds in all turns that are not ``kept``."""
    shutil.copytree(prepared, copied)
    store = FeatureStore.open(prepared)
    for session in store.sessions:
        folder = store.session_dir(session).relative_to(prepared)
        turns = store.turns([session])
        rows = [row for row, turn in enumerate(turns) if turn.utterance_id not in kept]
        speech = np.load(copied / folder / "speech.npy")
        speech[rows] += 9.0
        np.save(copied / folder / "speech.npy", speech)
        lines = [json.loads(line) for line in (copied / folder / "utterances.jsonl").read_text().splitlines()]
        for line in lines:
            if line["utterance_id"] not in kept:
                line["transcript"] = "oh"
        (copied / folder / "utterances.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return copied


@pytest.mark.long
@pytest.mark.timeout(600)
def test_it_is_trained_once_for_all_trials_and_again_where_something_that_decides_it_differs(prepared, monkeypatch):
    store = FeatureStore.open(prepared)
    parts = open_parts(PAPER, store)
    train = store.load(parts.train)
    fits, fit_one = [], recogniser._fit
    monkeypatch.setattr(recogniser, "_fit", lambda *given: fits.append(1) or fit_one(*given))
    # Its first weights are drawn with its own seed; steps on them take a minute.
    monkeypatch.setattr(recogniser, "train_for", lambda *given, **more: None)

    def find(trained_on=train, **values):
        fitted = fit_features(trained_on, ("speech",), PAPER, None, None, 1)
        found = fit_recogniser(recipe(**values).hyperparameters, trained_on, fitted)
        return found.describe(), [values.tobytes() for values in found.network.get_weights()]

    first = find()
    assert find() == first and len(fits) == 1
    assert find(transfer="fine-tuned", learning_rate=0.002, dropout=0.5, asr_layer=1) == first and len(fits) == 1
    find(asr_units=4)
    find(trained_on=train.select(parts.train[1:]))
    assert len(fits) == 3
    for folder in (prepared / "recognisers").iterdir():
        if folder.is_dir():
            (folder / "recogniser.json").write_text("[]")
    assert find() == first and len(fits) == 4
    assert not list(prepared.rglob("*.unfinished"))
