"""The probes: what they read, and that nothing of the scored scene reaches the fit that leaves it out."""

import numpy as np
import pytest

from harness.corpus.utterances import CLASSES, Emotion, Utterance
from harness.errors import FeatureError
from harness.features.speech import SHORT_TERM_COLUMNS, SpeechSettings
from harness.features.store import Features
from harness.models.probes import PROBES, answer_shared, answer_twice

SETTINGS = SpeechSettings(max_frames=4)
WORDS, SPEECH = PROBES["probe_words"], PROBES["probe_speech"]
EMOTION_WORDS = ("grr", "wow", "door", "sigh")


def make_features(turns, session=1):
    """Utterances of (scene, emotion, words, column); frames are noise, larger in the column; None has no frame."""
    lengths = np.array([0 if column is None else 3 for *_, column in turns])
    speech = np.zeros((len(turns), SETTINGS.max_frames, len(SHORT_TERM_COLUMNS)), np.float32)
    utterances = []
    for row, (scene, emotion, words, column) in enumerate(turns):
        noise = np.random.default_rng([session, row]).normal(size=(lengths[row], len(SHORT_TERM_COLUMNS)))
        speech[row, : lengths[row]] = noise
        speech[row, : lengths[row], column] += 4.0 if lengths[row] else 0.0
        name = f"Ses0{session}F_{scene}_{'FM'[row % 2]}{row:03d}"
        utterances.append(Utterance(name, Emotion(CLASSES[emotion]), 2.5, 2.5, 2.5, 0, 1, words, None, 0))
    arrays = {"speech": speech, "speech_lengths": lengths}
    return Features.from_arrays(utterances, SETTINGS, SHORT_TERM_COLUMNS, arrays)


def draw_turns(seed, scenes=8, turns=16, word_of=lambda scene, emotion: "so", column_of=lambda scene, emotion: 0):
    """Turns of some scenes, in each of which two thirds of the turns have the scene's own emotion."""
    rng = np.random.default_rng(seed)
    drawn = []
    for scene in range(scenes):
        for _ in range(turns):
            emotion = scene % 4 if rng.random() < 2 / 3 else int(rng.integers(4))
            drawn.append((f"impro0{scene}", emotion, f"well {word_of(scene, emotion)}", column_of(scene, emotion)))
    return drawn


def unweighted(probabilities, features):
    predicted = probabilities.argmax(axis=1)
    return np.mean([(predicted[features.emotions == emotion] == emotion).mean() for emotion in range(4)])


SCENE_CUES = {"word_of": lambda scene, emotion: f"plot{scene}", "column_of": lambda scene, emotion: scene}
EMOTION_CUES = {"word_of": lambda scene, emotion: EMOTION_WORDS[emotion], "column_of": lambda scene, emotion: emotion}


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_a_planted_scene_is_found(probe):
    train, test = make_features(draw_turns(1, **SCENE_CUES)), make_features(draw_turns(2, **SCENE_CUES), session=5)
    answers = answer_twice(probe, train, test)
    assert answers.shared.dtype == np.float64 and answers.shared.shape == (len(test), 4)
    assert answers.left_out.sum(axis=1) == pytest.approx(1)
    assert unweighted(answers.shared, test) > 0.5
    assert unweighted(answers.left_out, test) < 0.3


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_what_holds_across_scenes_is_kept(probe):
    train, test = make_features(draw_turns(1, **EMOTION_CUES)), make_features(draw_turns(2, **EMOTION_CUES), session=5)
    answers = answer_twice(probe, train, test)
    assert unweighted(answers.shared, test) > 0.9 and unweighted(answers.left_out, test) > 0.9


def say_otherwise(turns, scene):
    return [
        (turn[0], (turn[1] + 1) % 4, f"{turn[2]} never said elsewhere", 33) if turn[0] == scene else turn
        for turn in turns
    ]


def fall_silent(turns, scene):
    return [(turn[0], turn[1], None, None) if turn[0] == scene else turn for turn in turns]


def play_on(turns, scene):
    return [*turns, (scene, 3, "wow indeed", 2), (scene, 2, None, None)]


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
@pytest.mark.parametrize("change", [say_otherwise, fall_silent, play_on])
def test_nothing_of_the_scored_scene_reaches_the_fit_that_leaves_it_out(probe, change):
    turns = draw_turns(1, scenes=4, turns=12, **EMOTION_CUES)
    # Two of them have nothing to read, and are answered with the classes' shares.
    scored = [*draw_turns(2, scenes=4, turns=6, **EMOTION_CUES), ("impro02", 0, None, None), ("impro03", 0, None, None)]
    test = make_features(scored, session=5)
    first, second = (
        answer_twice(probe, make_features(trained), test) for trained in (turns, change(turns, "impro02"))
    )
    is_scored = np.array([utterance.scene == "impro02" for utterance in test.utterances])
    assert first.left_out[is_scored].tobytes() == second.left_out[is_scored].tobytes()
    # The scene reaches everything else.
    assert not np.array_equal(first.left_out[~is_scored], second.left_out[~is_scored])
    assert not np.array_equal(first.shared[is_scored], second.shared[is_scored])


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_where_training_plays_no_scene_of_the_test_set_both_answers_are_the_same_bits(probe):
    train = make_features(draw_turns(1, scenes=4, turns=6, **EMOTION_CUES))
    elsewhere = [("script01_1", *turn[1:]) for turn in draw_turns(2, scenes=4, turns=2, **EMOTION_CUES)]
    answers = answer_twice(probe, train, make_features(elsewhere, session=5))
    assert answers.left_out.tobytes() == answers.shared.tobytes() and answers.only_scene is None


def test_each_fit_is_shown_and_there_is_one_for_each_scene_of_both_parts():
    shown = []
    train = make_features(draw_turns(1, scenes=3, turns=4))
    test = make_features([("impro01", 0, "so", 0), ("impro02", 1, "so", 0), ("impro09", 1, "so", 0)], session=5)
    answer_twice(WORDS, train, test, shown.append)
    assert shown == [
        "fitting the probe of words",
        "fitting the probe of words without impro01",
        "fitting the probe of words without impro02",
    ]


def test_a_class_that_only_the_scored_scene_brings_out_has_probability_zero_without_it():
    turns = [("impro01", emotion % 3, EMOTION_WORDS[emotion % 3], 0) for emotion in range(9)]
    turns += [("impro02", emotion, EMOTION_WORDS[emotion], 0) for emotion in (0, 1, 2, 3, 3)]
    test = make_features([("impro01", 3, "sigh", 0), ("impro02", 3, "sigh", 0), ("impro02", 0, None, None)], 5)
    answers = answer_twice(WORDS, make_features(turns), test)
    assert answers.left_out[0, 3] > 0 and answers.left_out[1, 3] == 0 and answers.shared.all()
    # Nothing to read: the classes' shares of the training utterances, without the scene's.
    assert answers.shared[2] == pytest.approx([4 / 14, 4 / 14, 4 / 14, 2 / 14])
    assert answers.left_out[2] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])


def test_training_of_a_single_class_answers_with_it():
    train = make_features([("impro01", 2, "door", 0), ("impro02", 1, "wow", 0)])
    answers = answer_twice(WORDS, train, make_features([("impro01", 2, "door", 0)], session=5))
    assert list(answers.left_out[0]) == [0, 1, 0, 0] and answers.shared[0].argmax() == 2


@pytest.mark.parametrize(
    "elsewhere", [[], [("impro02", 0, "...", None)]], ids=["no other scene", "nothing to read in another scene"]
)
@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_a_scene_that_all_of_training_plays_cannot_be_left_out(probe, elsewhere):
    turns = [("impro01", emotion, EMOTION_WORDS[emotion], emotion) for emotion in (0, 1, 2, 3)]
    answers = answer_twice(probe, make_features(turns + elsewhere), make_features(turns, session=5))
    assert (answers.left_out, answers.only_scene) == (None, "impro01")
    assert answers.shared.sum(axis=1) == pytest.approx(1)


def test_training_without_any_input_is_one_sentence():
    silent = make_features([("impro01", 0, "...", None), ("impro02", 1, None, None)])
    with pytest.raises(FeatureError) as caught:
        answer_twice(SPEECH, silent, silent)
    assert str(caught.value) == "probe: none of the 2 training utterances has speech; expected at least one"
    with pytest.raises(FeatureError):
        answer_shared(WORDS, silent, silent)


def test_the_loss_weighs_classes_alike():
    """Words that say nothing: the largest class of training is not answered everywhere, as without weights."""
    turns = [(f"impro0{row % 3}", 2 if row % 10 else 0, f"so {'grr' if row % 20 == 0 else ''}", 0) for row in range(60)]
    probabilities = answer_shared(WORDS, make_features(turns), make_features([("impro01", 0, "so", 0)], session=5))
    assert probabilities[0, 0] > 0.3


def test_functionals_are_standardised_before_the_regression():
    """Values of any size do the same."""
    sizes = []
    for size in (1.0, 1000.0):
        turns = draw_turns(1, scenes=3, turns=8, column_of=lambda scene, emotion: emotion)
        train, test = make_features(turns), make_features(turns, session=5)
        for features in (train, test):
            features._blocks[0]["speech"][:] *= size
        sizes.append(answer_shared(SPEECH, train, test))
    assert sizes[0] == pytest.approx(sizes[1], abs=0.02)
