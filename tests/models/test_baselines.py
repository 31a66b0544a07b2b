"""The baselines: what they read, what they answer for missing inputs, and that they learn from training alone."""

import numpy as np
import pytest

from harness.corpus.utterances import CLASSES, Utterance
from harness.errors import FeatureError
from harness.features.functionals import compute_functionals, summarise_speech
from harness.features.speech import SHORT_TERM_COLUMNS, SpeechKind, SpeechSettings, column_names
from harness.features.store import Features
from harness.models.baselines import BASELINES, _FrameVotes, loudest_frames
from harness.splits.protocol import ClassWeights

SETTINGS = SpeechSettings(max_frames=4)
WORDS = ("go away", "great, wow!", "the door is open", "I miss him")


def make_features(emotions, transcripts=None, lengths=None, values=None):
    """Frames hold the utterance's value plus the frame's number, and -9 beyond the length."""
    transcripts = [WORDS[emotion] for emotion in emotions] if transcripts is None else transcripts
    lengths = [3] * len(emotions) if lengths is None else lengths
    values = [float(emotion) for emotion in emotions] if values is None else values
    speech = np.full((len(emotions), 4, len(SHORT_TERM_COLUMNS)), -9, np.float32)
    for row, (length, value) in enumerate(zip(lengths, values, strict=True)):
        speech[row, :length] = value + np.arange(length)[:, None]
    utterances = [
        Utterance(
            f"Ses01F_impro01_F{row:03d}", CLASSES[emotion], 2.5, 2.5, 2.5, 0, 1, transcript, None, 0
        )
        for row, (emotion, transcript) in enumerate(zip(emotions, transcripts, strict=True))
    ]
    arrays = {"speech": speech, "speech_lengths": np.array(lengths)}
    return Features.from_arrays(utterances, SETTINGS, SHORT_TERM_COLUMNS, arrays)


TRAIN = make_features([0, 1, 2, 3] * 6 + [2] * 8)
EACH_CLASS = make_features([0, 1, 2, 3])


@pytest.mark.parametrize("name", ["text_logistic", "speech_forest", "speech_svm", "text_speech_average"])
def test_a_baseline_learns_what_its_modality_tells(name):
    probabilities = BASELINES[name].fit(TRAIN, 1).probabilities(EACH_CLASS)
    assert probabilities.dtype == np.float64 and probabilities.shape == (4, 4)
    assert list(probabilities.argmax(axis=1)) == [0, 1, 2, 3]
    assert probabilities.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "silent"),
    [
        ("text_logistic", {"values": [0.0] * 4}),
        ("speech_forest", {"transcripts": ["so what"] * 4}),
        ("speech_svm", {"transcripts": ["so what"] * 4}),
    ],
    ids=["text", "speech", "functionals"],
)
def test_a_baseline_reads_its_own_modality_alone(name, silent):
    fitted = BASELINES[name].fit(TRAIN, 1)
    changed = make_features([0, 1, 2, 3], **silent)
    assert np.array_equal(fitted.probabilities(changed), fitted.probabilities(EACH_CLASS))


def test_the_majority_class_is_that_of_training():
    fitted = BASELINES["majority"].fit(TRAIN, 1)
    probabilities = fitted.probabilities(make_features([0, 0, 1]))
    assert probabilities == pytest.approx(np.tile([6 / 32, 6 / 32, 14 / 32, 6 / 32], (3, 1)))
    assert list(probabilities.argmax(axis=1)) == [2, 2, 2]


def test_the_average_is_that_of_the_probabilities():
    test = make_features([0, 1, 2, 3], values=[1.0, 1.0, 3.0, 0.0])
    parts = [BASELINES[name].fit(TRAIN, 1).probabilities(test) for name in ("text_logistic", "speech_forest")]
    average = BASELINES["text_speech_average"].fit(TRAIN, 1).probabilities(test)
    assert average == pytest.approx((parts[0] + parts[1]) / 2)


@pytest.mark.parametrize(
    ("name", "missing", "num_without"),
    [
        ("text_logistic", {"transcripts": [None, "...", "", "go away"]}, 3),
        ("speech_forest", {"lengths": [0, 0, 0, 3]}, 3),
        ("speech_svm", {"lengths": [0, 0, 0, 3]}, 3),
        ("speech_framewise", {"lengths": [0, 0, 0, 1]}, 3),
        ("text_speech_average", {"transcripts": [None] * 3 + ["go away"], "lengths": [0] * 3 + [3]}, 3),
        ("text_speech_average", {"transcripts": [None] * 4}, 0),
        ("majority", {"transcripts": [None] * 4, "lengths": [0] * 4}, 0),
    ],
    ids=["words", "frames", "functionals", "loudest frames", "both", "one of both", "nothing is read"],
)
def test_a_missing_input_is_answered_with_the_prior_and_counted(name, missing, num_without):
    fitted = BASELINES[name].fit(TRAIN, 1)
    test = make_features([0, 0, 0, 0], **missing)
    assert fitted.num_without_input(test) == num_without
    if num_without:
        assert fitted.probabilities(test)[:3] == pytest.approx(np.tile(fitted.prior, (3, 1)))
        assert fitted.probabilities(test)[3].argmax() == 0


def test_the_words_baseline_reads_marks_and_pairs():
    by_mark = make_features([0, 2] * 8, ["so what!", "so what?"] * 8)
    by_order = make_features([1, 3] * 8, ["not now go", "now not go"] * 8)
    for features in (by_mark, by_order):
        fitted = BASELINES["text_logistic"].fit(features, 1)
        assert np.array_equal(fitted.probabilities(features).argmax(axis=1), features.emotions)


def test_an_utterance_without_words_is_not_trained_on():
    without = make_features([0, 1, 0, 1, 3], transcripts=["no", "yes", "no", "yes", None])
    probabilities = BASELINES["text_logistic"].fit(without, 1).probabilities(make_features([0], ["no"]))
    assert probabilities[0, 3] == 0 and probabilities[0].argmax() == 0


@pytest.mark.parametrize("name", BASELINES)
def test_a_class_that_training_lacks_has_probability_zero(name):
    fitted = BASELINES[name].fit(make_features([0, 2] * 5), 1)
    assert np.all(fitted.probabilities(EACH_CLASS)[:, [1, 3]] == 0)


@pytest.mark.parametrize("name", ["text_logistic", "speech_forest", "speech_svm"])
def test_training_of_a_single_class_answers_with_it(name):
    probabilities = BASELINES[name].fit(make_features([3, 3]), 1).probabilities(EACH_CLASS)
    assert np.array_equal(probabilities, np.tile([0.0, 0.0, 0.0, 1.0], (4, 1)))


@pytest.mark.parametrize(
    ("name", "missing", "what"),
    [("text_logistic", {"transcripts": [None, "!"]}, "words"), ("speech_forest", {"lengths": [0, 0]}, "speech")],
)
def test_training_without_any_input_is_one_sentence(name, missing, what):
    with pytest.raises(FeatureError) as caught:
        BASELINES[name].fit(make_features([0, 1], **missing), 1)
    assert str(caught.value) == (
        f"baseline: none of the 2 training utterances has {what}; expected at least one"
    )


def test_the_same_seed_gives_the_same_forest_and_another_seed_another():
    noisy = make_features([0, 1, 2, 3] * 8, values=list(np.random.default_rng(0).normal(size=32)))
    first, same, other = (BASELINES["speech_forest"].fit(noisy, seed).probabilities(EACH_CLASS) for seed in (1, 1, 2))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


@pytest.mark.parametrize("name", sorted({*BASELINES} - {"majority", "speech_svm", "speech_framewise"}))
def test_balanced_classes_answer_more_of_a_rare_class(name):
    # Nothing tells the classes apart.
    same = make_features([0] * 3 + [2] * 21, transcripts=["so"] * 24, values=[1.0] * 24)
    plain, balanced = (
        BASELINES[name].fit(same, 1, weights).probabilities(same)[0, 0]
        for weights in (ClassWeights.NONE, ClassWeights.BALANCED)
    )
    assert plain < 0.2 and balanced == pytest.approx(0.5, abs=0.1)


def test_speech_is_summarised_over_real_frames():
    features = make_features([0, 0], lengths=[1, 3], values=[5.0, 2.0])
    summary = summarise_speech(features, np.array([0, 1]))
    assert summary.shape == (2, 68)
    assert np.unique(summary[0, :34]) == pytest.approx([5.0]) and np.unique(summary[0, 34:]) == pytest.approx([0.0])
    assert np.unique(summary[1, :34]) == pytest.approx([3.0])
    assert np.unique(summary[1, 34:]) == pytest.approx([(2 / 3) ** 0.5])


def test_functionals_of_speech_are_numpys_over_real_frames():
    features = make_features([0, 0, 0], lengths=[1, 4, 3], values=[5.0, 2.0, 0.0])
    found = compute_functionals(features, np.array([2, 0, 1]))
    assert found.shape == (3, 7 * 34)
    for row, values in enumerate(([0.0, 1.0, 2.0], [5.0], [2.0, 3.0, 4.0, 5.0])):
        steps = np.diff(values) if len(values) > 1 else np.zeros(1)
        quantiles = np.quantile(values, [0.1, 0.5, 0.9])
        expected = [np.mean(values), np.std(values), *quantiles, steps.mean(), steps.std()]
        np.testing.assert_allclose(found[row].reshape(7, 34), np.tile(expected, (34, 1)).T, atol=1e-6)


def test_the_loudest_frames_are_those_of_the_most_energy_among_the_real_ones():
    features = make_features([0, 1, 2], lengths=[4, 3, 1])
    frames = features.speech(np.arange(3))
    frames[0, :, SHORT_TERM_COLUMNS.index("energy")] = [0.1, 0.4, 0.3, 0.2]
    changed = Features.from_arrays(
        list(features.utterances), SETTINGS, SHORT_TERM_COLUMNS,
        {"speech": frames, "speech_lengths": features.speech_lengths},
    )  # fmt: skip
    found = loudest_frames(changed, np.array([2, 0, 1]))
    assert found.shape == (3, 2, 34)
    np.testing.assert_array_equal(found[1], frames[0, [1, 2]])
    np.testing.assert_array_equal(found[2], frames[1, [2, 1]])
    np.testing.assert_array_equal(found[0, 0], frames[2, 0])
    assert np.isnan(found[0, 1]).all()


def test_the_forest_on_the_loudest_frames_learns_what_they_tell():
    # Frames of an utterance lie 2 apart at most, and the classes 5.
    apart = {emotion: 5.0 * emotion for emotion in range(4)}
    emotions = [0, 1, 2, 3] * 6
    fitted = BASELINES["speech_framewise"].fit(make_features(emotions, values=[apart[each] for each in emotions]), 1)
    found = fitted.probabilities(make_features([3, 2, 1, 0], lengths=[3, 4, 2, 1], values=[15.0, 10.0, 5.0, 0.0]))
    assert found.argmax(axis=1).tolist() == [3, 2, 1, 0]
    assert found.sum(axis=1) == pytest.approx(1)


def test_frames_vote_and_their_mean_probability_decides_a_tie():
    class Answers:
        """A forest that answers a frame with the probabilities that the frame holds."""

        def predict_proba(self, frames):
            return frames

    nothing = [np.nan] * 3
    frames = [
        [[0.4, 0.3, 0.3], [0.4, 0.2, 0.4]],
        [[0.6, 0.1, 0.3], [0.0, 0.9, 0.1]],
        [[0.45, 0.1, 0.45], [0.1, 0.45, 0.45]],  # the third has the largest mean, but no vote
        [[0.1, 0.2, 0.7], nothing],
    ]
    found = _FrameVotes(Answers()).predict_proba(np.array(frames))
    assert found.argmax(axis=1).tolist() == [0, 1, 0, 2]
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    np.testing.assert_allclose(found[:, :2], [[1, 0], [0.5, 0.5], [0.5, 0.5], [0, 0]], atol=1e-3)


def test_frames_without_energy_are_one_sentence():
    settings = SpeechSettings(kind=SpeechKind.MEL, max_frames=4)
    arrays = {"speech": np.zeros((2, 4, 40), np.float32), "speech_lengths": np.array([4, 4])}
    mel = Features.from_arrays(list(EACH_CLASS.utterances[:2]), settings, column_names(settings), arrays)
    with pytest.raises(FeatureError) as caught:
        BASELINES["speech_framewise"].fit(mel, 1)
    assert str(caught.value) == (
        "baseline: the frames of speech have no 'energy', and their first number is 'mel_1'; expected the speech "
        "features 'short-term', 'deltas', 'loud', 'detailed' or 'short-windows'"
    )


def test_the_baselines_that_stand_beside_every_model_are_five():
    assert [name for name, baseline in BASELINES.items() if not baseline.is_for_all] == ["speech_framewise"]
