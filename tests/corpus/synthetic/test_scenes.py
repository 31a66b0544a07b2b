"""What a scene's words and a speaker's moods tell, as TF-IDF and a logistic regression read them."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from harness.corpus.layout import SESSIONS
from harness.corpus.synthetic.plan import MAIN_TELLS, dialogue_ids, plan_corpus
from harness.corpus.synthetic.scenes import (
    LIKENESSES,
    SCENES,
    bring_out,
    express_moods,
    keep_moods,
    weigh_classes,
)
from harness.corpus.synthetic.settings import Cue, SyntheticSettings
from harness.corpus.synthetic.text import compose_transcripts
from harness.corpus.utterances import CLASSES, Emotion, scene_of
from harness.features.context import Context
from harness.features.dialogues import Dialogues
from harness.models.chain import fit_chain
from harness.models.turns import TurnClassifier, TurnInputs

CHANCE = 0.25

#: 273 utterances are scored: more than two standard deviations of a score by luck.
LUCK = 0.07


def score_words(**strengths):
    """Return the unweighted accuracy on Session 5 with scenes shared, and with the scored scene left out."""
    lines = say(SyntheticSettings(scale=0.25, **strengths))
    texts, emotions, sessions, scenes = map(np.array, zip(*lines, strict=True))
    train, test = sessions < 5, sessions == 5
    shared = fit(texts[train], emotions[train]).predict(texts[test])
    left_out = np.full(len(shared), -1)
    for scene in np.unique(scenes[test]):
        others, scored = train & (scenes != scene), test & (scenes == scene)
        left_out[scenes[test] == scene] = fit(texts[others], emotions[others]).predict(texts[scored])
    return recall(shared, emotions[test]), recall(left_out, emotions[test])


def recall(answers, emotions):
    return np.mean([np.mean(answers[emotions == label] == label) for label in range(len(CLASSES))])


def say(settings):
    """Yield the line, class, session and scene of every four-class utterance."""
    for dialogue in plan_corpus(settings).dialogues:
        lines = compose_transcripts(settings, dialogue)
        for utterance in dialogue.utterances:
            if utterance.emotion in CLASSES:
                label = CLASSES.index(utterance.emotion)
                yield lines[utterance.utterance_id], label, dialogue.session, dialogue.scene


def fit(texts, emotions):
    words = TfidfVectorizer(token_pattern=r"[a-z]+", sublinear_tf=True)
    return make_pipeline(words, LogisticRegression(class_weight="balanced", max_iter=100)).fit(texts, emotions)


def test_by_default_words_lose_most_with_the_scored_scene_left_out():
    shared, left_out = np.mean([score_words(seed=seed) for seed in range(3)], axis=0)
    assert 0.58 < shared < 0.70
    assert 0.30 < left_out < 0.42
    assert 0.20 < shared - left_out < 0.33


def test_scene_words_alone_fall_to_chance_with_the_scored_scene_left_out():
    shared, left_out = score_words(emotion_words=0.0, scene_words=1.0)
    assert shared > 0.50
    assert left_out < CHANCE + LUCK


def test_emotion_words_alone_lose_little_with_the_scored_scene_left_out():
    shared, left_out = score_words(emotion_words=1.0, scene_words=0.0)
    assert shared > 0.45
    assert left_out - CHANCE > 2 / 3 * (shared - CHANCE)


@pytest.mark.parametrize(
    "strengths",
    [
        {"emotion_words": 0.0, "scene_words": 0.0},
        {"cues": frozenset(Cue) - {Cue.TEXT}, "emotion_words": 1.0, "scene_words": 1.0, "scene_moods": 1.0},
    ],
    ids=["no strength", "no cue"],
)
def test_without_strength_or_cue_words_tell_nothing(strengths):
    shared, left_out = score_words(**strengths)
    assert abs(shared - CHANCE) < LUCK and left_out < CHANCE + LUCK


def measure_persistence(**strengths):
    """Return how often a label is that of the speaker's own previous four-class turn, and of the partner's."""
    own, others = [], []
    for dialogue in plan_corpus(SyntheticSettings(scale=0.25, **strengths)).dialogues:
        last = {}
        for utterance in dialogue.utterances:
            if utterance.emotion in CLASSES:
                for is_marked, emotion in last.items():
                    kept = own if is_marked == utterance.is_marked else others
                    kept.append(emotion is utterance.emotion)
                last[utterance.is_marked] = utterance.emotion
    return np.mean(own), np.mean(others)


def meet_by_chance(**strengths):
    """Return how often two turns of a dialogue have the same label, whatever their order."""
    same = pairs = 0
    for dialogue in plan_corpus(SyntheticSettings(scale=0.25, **strengths)).dialogues:
        counts = Counter(utterance.emotion for utterance in dialogue.utterances if utterance.emotion in CLASSES)
        same += sum(count * (count - 1) for count in counts.values())
        pairs += counts.total() * (counts.total() - 1)
    return same / pairs


def test_by_default_a_speaker_keeps_his_emotion_and_often_has_his_partners():
    own, others = measure_persistence()
    assert own == pytest.approx(0.86, abs=0.03)
    assert others == pytest.approx(0.60, abs=0.06)


@pytest.mark.parametrize("scene_moods", [0.0, 0.8])
def test_without_moods_the_turns_of_a_dialogue_are_in_an_order_of_chance(scene_moods):
    by_chance = meet_by_chance(moods=0.0, scene_moods=scene_moods)
    assert measure_persistence(moods=0.0, scene_moods=scene_moods) == pytest.approx((by_chance, by_chance), abs=0.04)
    assert (by_chance > 0.34) == (scene_moods > 0)


def test_moods_need_no_scene():
    own, others = measure_persistence(scene_moods=0.0)
    assert own == pytest.approx(0.86, abs=0.03)
    assert others == pytest.approx(0.63, abs=0.06)


@pytest.mark.parametrize(("strength", "share"), [(0.0, 0.26), (0.8, 0.58)])
def test_a_scene_brings_out_its_emotion_and_without_strength_none(strength, share):
    counts = defaultdict(Counter)
    for dialogue in plan_corpus(SyntheticSettings(scale=0.5, scene_moods=strength)).dialogues:
        counts[dialogue.scene].update(one.emotion for one in dialogue.utterances if one.emotion in CLASSES)
    shares = [found[SCENES[scene].emotion] / found.total() for scene, found in counts.items()]
    assert np.mean(shares) == pytest.approx(share, abs=0.05)
    if strength > 0:
        assert all(found.most_common(1)[0][0] is SCENES[scene].emotion for scene, found in counts.items())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scale", [0.05, 0.1])
def test_sessions_1_to_4_have_every_class_in_every_scene_at_the_scale_of_the_quick_start_and_half(scale, seed):
    classes = defaultdict(set)
    for dialogue in plan_corpus(SyntheticSettings(scale=scale, seed=seed)).dialogues:
        if dialogue.session < 5:
            classes[dialogue.scene].update(one.emotion for one in dialogue.utterances)
    assert len(classes) == 4
    assert all(found >= set(CLASSES) for found in classes.values())


def test_the_scenes_are_those_of_the_real_corpus_and_share_no_word():
    assert set(SCENES) == {scene_of(name) for session in SESSIONS for name in dialogue_ids(session, scale=1.0)}
    words = [word for scene in SCENES.values() for word in scene.words]
    assert len(set(words)) == len(words) == 12 * 15


TURNS = [(Emotion.ANGER, True), (Emotion.FRUSTRATION, False), (Emotion.SADNESS, True), (Emotion.UNDECIDED, True)] * 9


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_labels_are_exchanged_among_those_of_the_four_classes_and_among_the_others(strength):
    weights = [
        weigh_classes(scene, strength, Emotion.NEUTRAL, strength) for scene in ("impro01", "impro02", "impro03") * 12
    ]
    for exchanged in (
        bring_out(TURNS, weights, np.random.default_rng(0)),
        keep_moods(TURNS, strength, np.random.default_rng(0)),
    ):
        assert Counter(emotion for emotion, _ in exchanged) == Counter(emotion for emotion, _ in TURNS)
        for (emotion, is_marked), (before, was_marked) in zip(exchanged, TURNS, strict=True):
            assert is_marked == was_marked and (emotion in CLASSES) == (before in CLASSES)


def test_at_full_strength_a_scene_gets_all_of_its_emotion_and_a_mood_lasts():
    scenes = ["impro01"] * 18 + ["impro02"] * 18
    weights = [weigh_classes(scene, 1.0, Emotion.NEUTRAL, 0.0) for scene in scenes]
    brought = bring_out(TURNS, weights, np.random.default_rng(0))
    assert [emotion for emotion, _ in brought[:18]].count(Emotion.ANGER) == 9
    kept = [emotion for emotion, is_marked in keep_moods(TURNS, 1.0, np.random.default_rng(0)) if is_marked]
    of_classes = [emotion for emotion in kept if emotion in CLASSES]
    assert of_classes == [of_classes[0]] * 9 + [of_classes[-1]] * 9


@pytest.mark.parametrize(("moods", "share"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)])
def test_a_turn_like_no_class_expresses_its_speakers_mood(moods, share):
    turns = TURNS * 20
    classes = express_moods(turns, moods, np.random.default_rng(0))
    last, followed = {}, []
    for (emotion, is_marked), expressed in zip(turns, classes, strict=True):
        if emotion in CLASSES:
            last[is_marked] = emotion
        if emotion in LIKENESSES:
            assert expressed is LIKENESSES[emotion]
        else:
            assert expressed in (None, last[is_marked])
            followed.append(expressed is not None)
    assert np.mean(followed) == pytest.approx(share, abs=0.1)


def test_moods_are_heard_in_turns_on_which_the_raters_disagree():
    """Their words tell the speaker's mood as those of the four classes do, and without moods they tell nothing."""
    for moods, share in ((0.95, 0.95 * 0.95 + 0.05 * 0.5), (0.0, 0.5)):
        right, last = [], {}
        for dialogue in plan_corpus(SyntheticSettings(scale=0.5, scene_moods=0.0, moods=moods)).dialogues:
            last.clear()
            for one in dialogue.utterances:
                if one.emotion in CLASSES:
                    last[one.is_marked] = one.emotion
                elif one.emotion is Emotion.UNDECIDED and one.is_marked in last:
                    first = last[one.is_marked] in MAIN_TELLS[Cue.TEXT].first_side
                    right.append((Cue.TEXT in one.main_sides) == first)
        assert np.mean(right) == pytest.approx(share, abs=0.04)


def share_most_frequent(**strengths):
    """Return how often a label is the most frequent one of its dialogue."""
    largest = total = 0
    for dialogue in plan_corpus(SyntheticSettings(scale=0.25, scene_moods=0.0, **strengths)).dialogues:
        counts = Counter(one.emotion for one in dialogue.utterances if one.emotion in CLASSES)
        largest, total = largest + max(counts.values(), default=0), total + counts.total()
    return largest / total


def test_a_dialogue_has_a_mood_of_its_own_whatever_its_scene():
    assert share_most_frequent(moods=0.0) < 0.45
    assert share_most_frequent() > 0.55
    by_mood = [weigh_classes("impro03", 0.8, mood, 1.0) for mood in CLASSES]
    for emotion in CLASSES:
        expected = 1.0 if emotion is SCENES["impro03"].emotion else 0.2
        # As without moods.
        assert np.mean([weights[emotion] for weights in by_mood]) == pytest.approx(expected)


def score_dialogues(**strengths):
    """Return the accuracy on Session 5 of the words of a turn alone, and of a chain over those of the dialogue."""
    ids, lines, emotions, bounds = [], [], [], [0]
    words = {"emotion_words": 1.0, "scene_words": 0.0, "scene_moods": 0.0}
    settings = SyntheticSettings(scale=1.0, cues=frozenset({Cue.TEXT}), **words, **strengths)
    for dialogue in plan_corpus(settings).dialogues:
        transcripts = compose_transcripts(settings, dialogue)
        for one in dialogue.utterances:
            ids.append(one.utterance_id)
            lines.append(transcripts[one.utterance_id])
            emotions.append(CLASSES.index(one.emotion) if one.emotion in CLASSES else -1)
        bounds.append(len(ids))
    emotions, speakers = np.array(emotions), np.array(["FM".index(name[-4]) for name in ids])
    is_trained = (emotions >= 0) & np.array([int(name[4]) < 5 for name in ids])
    dialogues = Dialogues(tuple(ids), np.array(bounds), speakers, emotions >= 0)
    trained = np.flatnonzero(is_trained)
    inputs = TurnInputs(tuple(lines), None)
    alone = TurnClassifier.fit(inputs.take(trained), emotions[trained]).read(inputs)[0]
    chain = fit_chain(dialogues, np.where(is_trained, emotions, -1))
    in_context = chain.smooth(dialogues, alone, Context.DIALOGUE)
    scored = (emotions >= 0) & ~is_trained
    return [(answers.argmax(axis=1) == emotions)[scored].mean() for answers in (alone, in_context)]


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("moods", "least", "most"), [(0.95, 0.08, 0.2), (0.0, -0.03, 0.03)])
def test_a_chain_over_emotion_words_gains_by_moods_and_nothing_without_them(moods, least, most):
    """A quarter of the corpus has 8 dialogues in Session 5, too few to show 8 points."""
    alone, in_context = np.mean([score_dialogues(seed=seed, moods=moods) for seed in range(1, 4)], axis=0)
    assert least < in_context - alone < most
