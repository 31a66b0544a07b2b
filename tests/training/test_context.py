"""Systems that read the dialogue: no label of another turn is an input, the past knows no later turn, and they last."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from harness.corpus.utterances import CLASSES, Emotion, Utterance
from harness.errors import ExperimentFileError, FeatureError, ModelError
from harness.features.context import Context
from harness.features.speech import SpeechSettings, column_names
from harness.features.store import Features
from harness.files import write_digests
from harness.final.baselines import fit_context_baselines
from harness.final.saved_model import has_seed, load_seed, save_seed, saved_seeds
from harness.models.systems import SYSTEMS, modalities_of, read_hyperparameters
from harness.splits.protocol import PROTOCOLS, TestedSpeakers, read_protocol
from harness.store.records import ScoreKind
from harness.training import context
from harness.training.context import begin_training
from harness.training.objective import Objective, make_objective
from harness.training.recipe import Recipe, train_for_epochs, train_validated

PAPER = PROTOCOLS["paper"]
SETTINGS = SpeechSettings()
WORDS = {"ang": "no stop", "exc": "great yes", "neu": "well so", "sad": "sorry gone"}
#: Emotions besides the four classes, which are turns of a dialogue all the same.
OTHERS = ("fru", "xxx")
SMALL = {"contextlstm": 3, "dense": 4, "svd_dimension": 3, "batch_size": 2}
POINTS = {"chain": {}, "sc_lstm": SMALL, "bc_lstm": SMALL}
BOTH = {"vectors": "both"}


def invent_turns(sessions=(1, 2), num_turns=12, seed=0):
    """One dialogue a session; moods last three turns, and every fifth turn has another label."""
    rng = np.random.default_rng(seed)
    turns, frames = [], []
    for session in sessions:
        for number in range(num_turns):
            emotion = CLASSES[(number // 3 + session) % 4]
            label = OTHERS[number % 2] if number % 5 == 4 else str(emotion)
            words = WORDS[str(emotion)].split()
            turns.append(
                Utterance(
                    utterance_id=f"Ses{session:02d}F_impro01_{'FM'[number % 2]}{number:03d}",
                    emotion=Emotion(label),
                    valence=2.5,
                    activation=2.5,
                    dominance=2.5,
                    start=float(number),
                    end=number + 1.0,
                    transcript=f"{words[rng.integers(2)]} and",
                    wav_path=None,
                    num_mocap_rows=0,
                )
            )
            frames.append(rng.normal(size=(4, 34)) + CLASSES.index(emotion))
    return turns, np.array(frames, np.float32)


def hold(turns, frames):
    """The four-class utterances of some turns, whose dialogues have all of them."""
    speech = np.zeros((len(turns), SETTINGS.max_frames, 34), np.float32)
    speech[:, :4] = frames
    arrays = {"speech": speech, "speech_lengths": np.full(len(turns), 4)}
    whole = Features.from_arrays(turns, SETTINGS, column_names(SETTINGS), arrays)
    kept = [row for row, emotion in enumerate(whole.emotions) if emotion >= 0]
    arrays = {name: values[kept] for name, values in arrays.items()}
    scored = Features.from_arrays([turns[row] for row in kept], SETTINGS, column_names(SETTINGS), arrays)
    return replace(scored, _load_dialogues=lambda names: whole)


def recipe(name, protocol=PAPER, **values):
    system = SYSTEMS[name]
    point = read_hyperparameters(system, {**POINTS[name], **values}, protocol)
    return Recipe(system, point, protocol, 1, 2, None, None)


@pytest.mark.parametrize("name", ["chain", "bc_lstm"])
def test_a_group_of_scenes_that_the_open_test_set_does_not_play_has_no_answer(name):
    nothing = hold([], np.zeros((0, 4, 34), np.float32))
    _, epochs = train_for_epochs(recipe(name, **BOTH), hold(*invent_turns()), 1, test=nothing, scored_epochs=(1,))
    assert epochs[1].shape == (0, 4)


@pytest.fixture(scope="module")
def trained():
    """Each system, trained for two epochs on two dialogues."""
    train = hold(*invent_turns())
    return {name: train_for_epochs(recipe(name, **BOTH), train, 2)[0] for name in POINTS}


@pytest.mark.parametrize("name", POINTS)
def test_labels_of_other_turns_change_no_bit_of_training_or_of_an_answer(name, trained):
    turns, frames = invent_turns()
    relabelled = [
        replace(turn, emotion=Emotion("sur")) if str(turn.emotion) in OTHERS else turn for turn in turns
    ]
    again, _ = train_for_epochs(recipe(name, **BOTH), hold(relabelled, frames), 2)
    turns, frames = invent_turns(sessions=(3,), seed=5)
    scored = hold(turns, frames)
    expected = trained[name].predict(scored)
    assert expected.shape == (len(scored), 4) and np.allclose(expected.sum(axis=1), 1.0, atol=1e-5)
    assert np.array_equal(again.predict(scored), expected)
    shuffled = [replace(turn, emotion=CLASSES[3 - place % 4]) for place, turn in enumerate(turns)]
    every = Features.from_arrays(shuffled, SETTINGS, column_names(SETTINGS), scored.all_turns._blocks[0])
    rows = [every.utterance_ids.index(found) for found in scored.utterance_ids]
    assert np.array_equal(trained[name].predict(every)[rows], expected)


@pytest.mark.parametrize(
    ("name", "context"), [("sc_lstm", "past"), ("chain", "past"), ("chain", "dialogue"), ("bc_lstm", "dialogue")]
)
def test_the_past_has_the_same_bits_whatever_comes_later(name, context, trained):
    model = trained[name]
    if name == "chain":
        model = replace(model, fitted=replace(model.fitted, context=Context(context)))
    turns, frames = invent_turns(sessions=(3,), seed=5)
    before = model.predict(hold(turns, frames))
    changed = [replace(turn, transcript="great") if place >= 6 else turn for place, turn in enumerate(turns)]
    frames[6:] += 3.0
    after = model.predict(hold(changed, frames))
    num_before = sum(str(turn.emotion) not in OTHERS for turn in turns[:6])
    assert np.array_equal(before[:num_before], after[:num_before]) is (context == "past")
    assert not np.array_equal(before[num_before:], after[num_before:])


@pytest.mark.parametrize("name", POINTS)
def test_a_saved_model_gives_the_same_bits(name, trained, tmp_path):
    scored = hold(*invent_turns(sessions=(3,), seed=5))
    assert not has_seed(tmp_path, 7)
    save_seed(tmp_path, 7, trained[name])
    assert has_seed(tmp_path, 7) and saved_seeds(tmp_path, (7,)) == (7,)
    assert np.array_equal(load_seed(tmp_path, 7).predict(scored), trained[name].predict(scored))
    damaged = "words_bias.npy" if name == "chain" else "baseline.npy"
    (tmp_path / "seed-7" / "fitted" / damaged).write_bytes(b"no array")
    with pytest.raises(ModelError, match=f"/fitted/{damaged}' has changed since it was saved;"):
        load_seed(tmp_path, 7)
    # As one who knows how a model's files are checked.
    write_digests(tmp_path / "seed-7")
    with pytest.raises(FeatureError, match="cannot be read"):
        load_seed(tmp_path, 7)


@pytest.mark.parametrize("name", POINTS)
def test_without_context_a_chain_is_its_turns_own_classifier_and_training_repeats(name):
    train, validation = hold(*invent_turns()), hold(*invent_turns(sessions=(3,), seed=5))
    trained, history = train_validated(recipe(name, context="none"), train, validation)
    again, _ = train_validated(recipe(name, context="none"), train, validation)
    assert np.array_equal(trained.predict(validation), again.predict(validation))
    assert len(history.epochs) == (1 if name == "chain" else 2)
    if name == "chain":
        own = fit_context_baselines(recipe(name, context="none"), train)
        expected = own[ScoreKind.BASELINE_OWN_TURN].probabilities(validation)
        assert np.array_equal(trained.predict(validation), expected.astype(np.float32))


def test_the_context_baseline_reads_the_context_of_the_system():
    baseline = fit_context_baselines(recipe("chain"), hold(*invent_turns()))[ScoreKind.BASELINE_CONTEXT]
    turns, frames = invent_turns(sessions=(3,), seed=5)
    before = baseline.probabilities(hold(turns, frames))
    changed = [replace(turn, transcript="great") if place >= 6 else turn for place, turn in enumerate(turns)]
    assert not np.array_equal(before[0], baseline.probabilities(hold(changed, frames))[0])


@pytest.mark.parametrize("name", ["sc_lstm", "bc_lstm"])
def test_an_untrained_network_answers_as_the_context_baseline_or_as_its_turns_own_classifier(name):
    train, scored = hold(*invent_turns()), hold(*invent_turns(sessions=(3,), seed=5))
    answers = fit_context_baselines(recipe(name, **BOTH), train)
    for residual, kind in (
        ("baseline", ScoreKind.BASELINE_CONTEXT), ("probabilities", ScoreKind.BASELINE_OWN_TURN)
    ):  # fmt: skip
        found = recipe(name, residual=residual, **BOTH)
        untrained, _, _ = begin_training(found.hyperparameters, train, PAPER, 1)
        expected = answers[kind].probabilities(scored)
        assert np.allclose(untrained.predict(scored), expected, atol=1e-5)


@pytest.mark.parametrize("name", POINTS)
def test_labelled_only_leaves_the_other_turns_out(name):
    train = hold(*invent_turns())
    trained, _ = train_for_epochs(recipe(name, turns="labelled-only"), train, 1)
    turns, frames = invent_turns(sessions=(3,), seed=5)
    changed = [replace(turn, transcript="great") if str(turn.emotion) in OTHERS else turn for turn in turns]
    assert np.array_equal(trained.predict(hold(turns, frames)), trained.predict(hold(changed, frames)))


def test_balanced_classes_reach_the_turns_own_classifier_the_chain_the_network_and_the_baseline(monkeypatch):
    balanced = read_protocol({"class_weights": "balanced"})
    turns, frames = invent_turns(num_turns=24)
    # Three of four angry turns less.
    kept = [row for row, turn in enumerate(turns) if str(turn.emotion) != "ang" or row % 4 == 0]
    train = hold([turns[row] for row in kept], frames[kept])
    shares = np.bincount(train.emotions) / len(train)
    assert shares.min() < 0.2
    for protocol, prior in ((PAPER, shares), (balanced, np.full(4, 0.25))):
        trained, _ = train_for_epochs(recipe("chain", protocol), train, 1)
        assert np.allclose(trained.fitted.classifier.words.regression.prior, prior)
        assert np.allclose(trained.model.prior, prior)
        for baseline in fit_context_baselines(recipe("chain", protocol), train).values():
            assert np.allclose(baseline.prior, prior)
    losses = []
    monkeypatch.setattr(
        context, "make_objective", lambda *given: losses.append(make_objective(*given).class_weights) or Objective()
    )
    train_for_epochs(recipe("bc_lstm", balanced), train, 1)
    train_for_epochs(recipe("bc_lstm"), train, 1)
    assert np.allclose(losses[0], 0.25 / shares) and losses[-1] is None


def test_a_network_that_nobody_holds_is_freed_before_the_next_is_built():
    train = hold(*invent_turns())
    gc.disable()
    try:
        trained, _ = train_for_epochs(recipe("bc_lstm"), train, 1)
        first = weakref.ref(trained.model)
        del trained
        train_for_epochs(recipe("bc_lstm"), train, 1)
        assert first() is None
    finally:
        gc.enable()


def test_what_is_read_follows_from_the_vectors():
    for vectors, modalities in {"tfidf": ("text",), "functionals": ("speech",), "both": ("text", "speech")}.items():
        assert modalities_of(SYSTEMS["chain"], recipe("chain", vectors=vectors).hyperparameters) == modalities


def test_a_context_that_a_system_does_not_have_is_refused():
    with pytest.raises(ExperimentFileError) as caught:
        recipe("sc_lstm", context="dialogue")
    assert str(caught.value) == (
        "system 'sc_lstm': hyperparameter 'context' is 'dialogue'; expected one of ['none', 'past']"
    )


def test_one_tested_speaker_is_refused():
    protocol = replace(PAPER, name="speaker", test_speaker=TestedSpeakers.FEMALE)
    with pytest.raises(ExperimentFileError, match="reads both speakers of a dialogue"):
        read_hyperparameters(SYSTEMS["chain"], {}, protocol)
