"""The chain against brute force, and what neither the chain nor the context baseline may read."""

from itertools import product

import numpy as np
import pytest

from harness.errors import ShapeError
from harness.features.context import Context
from harness.features.dialogues import Dialogues
from harness.models.chain import Chain, find_previous, fit_chain
from harness.models.context_baseline import DECAYS, fit_context_baseline, read_context
from harness.splits.protocol import ClassWeights

SPEAKERS = ([0, 1, 1, 0, 1], [1], [0, 0, 1])
READING = [Context.PAST, Context.DIALOGUE]


def dialogues_of(*speakers):
    """Dialogues by who speaks in each."""
    bounds = np.cumsum([0, *map(len, speakers)])
    ids = tuple(f"turn {number}" for number in range(bounds[-1]))
    return Dialogues(ids, bounds, np.concatenate(speakers).astype(int), np.ones(len(ids), dtype=bool))


def probabilities_of(num_turns, seed=0, sharpness=1.0):
    return np.random.default_rng(seed).dirichlet(np.full(4, sharpness), num_turns)


def chain_of(seed=1):
    generator = np.random.default_rng(seed)
    return Chain(generator.dirichlet(np.full(4, 9.0)), generator.dirichlet(np.ones(4), (5, 5)))


def enumerate_paths(chain, speakers, probabilities):
    """Each turn's class probabilities, by summing over every sequence of classes."""
    summed = np.zeros((len(speakers), 4))
    for path in product(range(4), repeat=len(speakers)):
        weight, last = 1.0, [4, 4]
        for emotion, speaker, answer in zip(path, speakers, probabilities, strict=True):
            weight *= chain.transitions[last[speaker], last[1 - speaker], emotion]
            weight *= answer[emotion] / chain.prior[emotion]
            last[speaker] = emotion
        for turn, emotion in enumerate(path):
            summed[turn, emotion] += weight
    return summed / summed.sum(axis=1, keepdims=True)


def test_the_chain_is_exact_over_whole_dialogues():
    dialogues = dialogues_of(*SPEAKERS)
    chain, probabilities = chain_of(), probabilities_of(len(dialogues))
    smoothed = chain.smooth(dialogues, probabilities, Context.DIALOGUE)
    for rows in dialogues:
        expected = enumerate_paths(chain, dialogues.speakers[rows], probabilities[rows])
        assert np.allclose(smoothed[rows], expected, rtol=1e-9)


def test_the_chain_is_exact_over_the_past():
    dialogues = dialogues_of(*SPEAKERS)
    chain, probabilities = chain_of(), probabilities_of(len(dialogues))
    smoothed = chain.smooth(dialogues, probabilities, Context.PAST)
    for rows in dialogues:
        for row in range(rows.start, rows.stop):
            so_far = slice(rows.start, row + 1)
            expected = enumerate_paths(chain, dialogues.speakers[so_far], probabilities[so_far])
            assert np.allclose(smoothed[row], expected[-1], rtol=1e-9)


def test_without_context_the_answers_stay_to_the_bit():
    dialogues = dialogues_of(*SPEAKERS)
    probabilities = probabilities_of(len(dialogues))
    assert np.array_equal(chain_of().smooth(dialogues, probabilities, Context.NONE), probabilities)


def fitted(context):
    """Functions from dialogues and probabilities to answers, fitted on a training set of four folds."""
    training = dialogues_of(*([0, 1] * 6 for _ in range(8)))
    answers = probabilities_of(len(training), seed=3)
    emotions = answers.argmax(axis=1)
    emotions[::5] = -1
    folds = {"session": np.arange(len(training)) // 24}
    chain = fit_chain(training, emotions)
    baseline = fit_context_baseline(training, answers, emotions, folds, context)
    return [lambda dialogues, given: chain.smooth(dialogues, given, context), baseline.predict]


@pytest.mark.parametrize("number", [0, 1], ids=["chain", "context baseline"])
def test_past_reads_no_later_turn_and_no_other_dialogue(number):
    answer = fitted(Context.PAST)[number]
    dialogues = dialogues_of([0, 1, 1, 0, 1, 0], [1, 0, 0])
    probabilities = probabilities_of(9)
    changed = probabilities.copy()
    changed[3:6] = probabilities_of(3, seed=9)
    one, other = answer(dialogues, probabilities), answer(dialogues, changed)
    assert np.array_equal(one[[0, 1, 2, 6, 7, 8]], other[[0, 1, 2, 6, 7, 8]])
    assert (one[3:6] != other[3:6]).any(axis=1).all()


@pytest.mark.parametrize("number", [0, 1], ids=["chain", "context baseline"])
def test_dialogue_reads_both_sides_and_no_other_dialogue(number):
    answer = fitted(Context.DIALOGUE)[number]
    dialogues = dialogues_of([0, 1, 1, 0, 1, 0], [1, 0, 0])
    probabilities = probabilities_of(9)
    changed = probabilities.copy()
    changed[3] = [0.97, 0.01, 0.01, 0.01]
    one, other = answer(dialogues, probabilities), answer(dialogues, changed)
    assert np.array_equal(one[6:], other[6:])
    assert (one[2:5] != other[2:5]).any(axis=1).all()


@pytest.mark.parametrize("context", READING)
def test_a_chain_of_lasting_moods_corrects_a_turn_against_its_speaker_alone(context):
    """The other speaker's turns between say the opposite, and count for nothing."""
    keeps = np.full((4, 4), 0.02) + 0.92 * np.eye(4)
    transitions = np.full((5, 5, 4), 0.25)
    transitions[:4] = keeps[:, None]
    chain = Chain(np.full(4, 0.25), transitions)
    dialogues = dialogues_of([0, 1, 0, 1, 0])
    angry, sad, unsure = [0.8, 0.1, 0.05, 0.05], [0.05, 0.05, 0.1, 0.8], [0.3, 0.1, 0.1, 0.5]
    smoothed = chain.smooth(dialogues, np.array([angry, sad, unsure, sad, angry]), context)
    assert smoothed.argmax(axis=1).tolist() == [0, 3, 0, 3, 0]


def test_transitions_are_counted_by_who_speaks():
    """F keeps her emotion and M takes over F's: with many turns, the counts say so."""
    generator = np.random.default_rng(0)
    emotions = []
    for _ in range(400):
        hers = generator.integers(4)
        emotions += [hers, hers, hers, hers]
    dialogues = dialogues_of(*([0, 1, 0, 1] for _ in range(400)))
    chain = fit_chain(dialogues, np.array(emotions))
    for emotion in range(4):
        assert chain.transitions[emotion, emotion, emotion] > 0.95
        assert chain.transitions[4, emotion, emotion] > 0.9
    assert np.allclose(chain.transitions.sum(axis=2), 1.0)
    assert np.allclose(chain.prior, np.bincount(emotions) / 1600)
    # Nobody began with both silent but F; her first turns are spread as the classes are.
    assert np.allclose(chain.transitions[4, 4], chain.prior, atol=0.02)


def test_where_classes_are_balanced_each_count_weighs_as_its_label():
    emotions = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    dialogues = dialogues_of(*([0] for _ in emotions))
    plain = fit_chain(dialogues, emotions)
    balanced = fit_chain(dialogues, emotions, ClassWeights.BALANCED)
    assert np.allclose(plain.prior, [0.75, 0.25, 0, 0]) and np.allclose(plain.transitions[4, 4], plain.prior)
    assert np.allclose(balanced.prior, [0.5, 0.5, 0, 0]) and np.allclose(balanced.transitions[4, 4], balanced.prior)
    same = np.tile(plain.prior, (8, 1))
    folds = {"session": np.arange(8) % 2}
    baselines = [
        fit_context_baseline(dialogues, same, emotions, folds, Context.NONE, each) for each in ClassWeights
    ]
    answers = [each.predict(dialogues, same)[0] for each in baselines]
    assert np.allclose(answers, [[0.75, 0.25, 0, 0], [0.5, 0.5, 0, 0]], atol=1e-3)


def test_turns_without_a_label_are_passed_over_where_transitions_are_counted():
    """Every other turn has none, and what is between the same speaker's labels says nothing of how long they last."""
    dialogues = dialogues_of(*([0, 0, 1, 0, 0] for _ in range(100)))
    emotions = np.full(500, -1)
    emotions[::5] = emotions[3::5] = np.arange(100) % 4
    emotions[2::5] = (np.arange(100) + 1) % 4
    chain = fit_chain(dialogues, emotions)
    for emotion in range(4):
        partners = (emotion + 1) % 4
        assert chain.transitions[4, emotion, partners] > 0.85
        assert chain.transitions[emotion, partners, emotion] > 0.85
    assert np.allclose(chain.transitions[4, 4], chain.prior)


def test_a_class_that_was_never_trained_on_is_never_answered():
    dialogues = dialogues_of(*([0, 1, 0] for _ in range(20)))
    emotions = np.arange(60) % 3
    folds = {"session": np.arange(60) // 15}
    answers = probabilities_of(60)
    baseline = fit_context_baseline(dialogues, answers, emotions, folds, Context.DIALOGUE)
    assert (baseline.predict(dialogues, answers)[:, 3] == 0).all()
    smoothed = fit_chain(dialogues, emotions).smooth(dialogues, answers, Context.DIALOGUE)
    assert np.isfinite(smoothed).all() and (smoothed[:, 3] == 0).all()


def test_previous_turns_are_those_of_the_same_dialogue():
    dialogues = dialogues_of([0, 1, 1, 0], [0, 1])
    own, other = find_previous(dialogues, np.ones(6, dtype=bool))
    assert own.tolist() == [-1, -1, 1, 0, -1, -1]
    assert other.tolist() == [-1, 0, 0, 2, -1, 4]
    own, other = find_previous(dialogues, np.array([True, True, False, False, False, True]))
    assert own.tolist() == [-1, -1, 1, 0, -1, -1]
    assert other.tolist() == [-1, 0, 0, 1, -1, -1]


def test_the_regression_reads_decayed_means_of_each_speaker():
    dialogues = dialogues_of([0, 0, 1, 0])
    probabilities = probabilities_of(4)
    prior = np.full(4, 0.25)
    inputs = np.exp(read_context(dialogues, probabilities, Context.DIALOGUE, 0.5, prior))
    own, past_own, past_other, later_own, later_other = np.split(inputs, 5, axis=1)
    assert np.allclose(own, probabilities)
    assert np.allclose(past_own[0], prior) and np.allclose(past_other[:2], prior)
    assert np.allclose(past_own[3], (probabilities[1] + 0.5 * probabilities[0]) / 1.5)
    assert np.allclose(past_other[2], (probabilities[1] + 0.5 * probabilities[0]) / 1.5)
    assert np.allclose(later_own[0], (probabilities[1] + 0.5 * probabilities[3]) / 1.5)
    assert np.allclose(later_other[0], probabilities[2]) and np.allclose(later_other[3], prior)
    past = read_context(dialogues, probabilities, Context.PAST, 0.5, prior)
    assert np.allclose(np.exp(past), inputs[:, :12])
    assert np.allclose(np.exp(read_context(dialogues, probabilities, Context.NONE, 0.5, prior)), probabilities)


def moody(num_dialogues, keeps, seed):
    """Dialogues in which a speaker keeps the emotion with a probability, and answers that are right half the time."""
    generator = np.random.default_rng(seed)
    dialogues = dialogues_of(*([0, 1] * 10 for _ in range(num_dialogues)))
    emotions = generator.integers(4, size=len(dialogues))
    own, _ = find_previous(dialogues, np.ones(len(dialogues), dtype=bool))
    for row, previous in enumerate(own):
        if previous >= 0 and generator.random() < keeps:
            emotions[row] = emotions[previous]
    evidence = generator.normal(size=(len(dialogues), 4))
    evidence[np.arange(len(dialogues)), emotions] += 1.2
    answers = np.exp(1.2 * evidence)
    return dialogues, answers / answers.sum(axis=1, keepdims=True), emotions


@pytest.mark.parametrize(("keeps", "least", "most"), [(0.9, 0.1, 1.0), (0.0, -0.02, 0.02)], ids=["moods", "none"])
def test_context_gains_where_moods_last_and_nothing_where_there_are_none(keeps, least, most):
    training, train_answers, train_emotions = moody(60, keeps, seed=0)
    dialogues, answers, emotions = moody(60, keeps, seed=1)
    folds = {"session": np.arange(len(training)) // 300}
    alone = (answers.argmax(axis=1) == emotions).mean()
    gains = []
    for context in READING:
        chain = fit_chain(training, train_emotions)
        baseline = fit_context_baseline(training, train_answers, train_emotions, folds, context)
        for found in (chain.smooth(dialogues, answers, context), baseline.predict(dialogues, answers)):
            assert np.allclose(found.sum(axis=1), 1.0)
            gains.append((found.argmax(axis=1) == emotions).mean() - alone)
    assert least < min(gains) and max(gains) < most
    if keeps:
        past_chain, _, dialogue_chain, _ = gains
        assert dialogue_chain > past_chain


def test_the_decay_is_chosen_on_training_turns():
    training, answers, emotions = moody(60, 0.9, seed=0)
    folds = {"session": np.arange(len(training)) // 300}
    assert fit_context_baseline(training, answers, emotions, folds, Context.PAST).decay in DECAYS[1:-1]


@pytest.mark.parametrize("shape", [(4, 4), (5, 3)])
def test_probabilities_of_other_turns_are_refused(shape):
    with pytest.raises(ShapeError) as caught:
        chain_of().smooth(dialogues_of([0, 1, 0, 1, 0]), np.ones(shape), Context.PAST)
    assert str(caught.value) == f"probabilities of a dialogue's turns have shape {shape}; expected (5, 4)"
