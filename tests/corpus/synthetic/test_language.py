from collections import Counter

import numpy as np
import pytest

from harness.corpus.labels import read_transcripts
from harness.corpus.synthetic.plan import Damage, plan_corpus
from harness.corpus.synthetic.scenes import SCENES
from harness.corpus.synthetic.settings import Cue, SyntheticSettings
from harness.corpus.synthetic.text import (
    CUE_WORDS,
    FAINT_WORDS,
    PHRASES,
    Told,
    compose_line,
    compose_transcripts,
    encode_transcription_file,
    scene_words,
)

SETTINGS = SyntheticSettings()
SIDES = [(True, True), (True, False), (False, True), (False, False)]


@pytest.fixture(scope="module")
def plan():
    return plan_corpus(SETTINGS)


@pytest.fixture(scope="module")
def transcripts(plan):
    return {
        name: text
        for dialogue in plan.dialogues
        for name, text in compose_transcripts(SETTINGS, dialogue).items()
    }


def words_of(text):
    return text.lower().strip(".?").replace(",", "").split()


def test_no_word_stands_in_two_vocabularies():
    filling = {word for phrase in PHRASES for word in words_of(phrase)}
    vocabularies = [*CUE_WORDS.values(), *FAINT_WORDS.values(), filling]
    vocabularies += [scene_words(scene, side) for scene in SCENES for side in SIDES]
    counts = Counter(word for vocabulary in vocabularies for word in vocabulary)
    assert set(counts.values()) == {1}


@pytest.mark.parametrize("side", SIDES)
def test_a_line_draws_on_its_own_sides_alone(side):
    told = Told(side, "impro03", (not side[0], side[1]))
    others = {
        word
        for scene in SCENES
        for other in SIDES
        if (scene, other) != ("impro03", told.scene_side)
        for word in scene_words(scene, other)
    }
    for seed in range(20):
        words = set(words_of(compose_line(told, 7, np.random.default_rng(seed))))
        assert words & set(CUE_WORDS[side[0]]) and words & set(FAINT_WORDS[side[1]])
        assert not words & set(CUE_WORDS[not side[0]]) and not words & set(FAINT_WORDS[not side[1]])
        assert words & set(scene_words("impro03", told.scene_side)) and not words & others


def test_at_full_strength_the_words_show_what_was_planned():
    settings = SyntheticSettings(emotion_words=1.0, scene_words=1.0)
    for dialogue in plan_corpus(settings).dialogues:
        transcripts = compose_transcripts(settings, dialogue)
        for utterance in dialogue.utterances:
            if utterance.damage is None:
                words = set(words_of(transcripts[utterance.utterance_id]))
                side = (Cue.TEXT in utterance.main_sides, Cue.TEXT in utterance.faint_sides)
                assert words & set(CUE_WORDS[side[0]]) and not words & set(CUE_WORDS[not side[0]])
                assert words & set(scene_words(dialogue.scene, side))


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_a_strength_is_the_share_of_lines_that_show_it(strength):
    settings = SyntheticSettings(scale=0.25, emotion_words=strength, scene_words=strength)
    right = Counter()
    for dialogue in plan_corpus(settings).dialogues:
        transcripts = compose_transcripts(settings, dialogue)
        right["lines"] += len(transcripts)
        for utterance in dialogue.utterances:
            words = set(words_of(transcripts[utterance.utterance_id]))
            side = (Cue.TEXT in utterance.main_sides, Cue.TEXT in utterance.faint_sides)
            right["emotion"] += bool(words & set(CUE_WORDS[side[0]]))
            right["scene"] += bool(words & set(scene_words(dialogue.scene, side)))
    # Lines that show anything show the right one of two sides, and of 15 scenes' four sides.
    assert right["emotion"] / right["lines"] == pytest.approx(strength + (1 - strength) / 2, abs=0.03)
    assert right["scene"] / right["lines"] == pytest.approx(strength + (1 - strength) / 60, abs=0.03)


def test_telling_words_recur(transcripts):
    counts = Counter(word for text in transcripts.values() for word in words_of(text))
    assert min(counts[word] for words in CUE_WORDS.values() for word in words) > len(transcripts) / 50


def test_scripted_lines_are_shared_by_sessions_and_improvised_ones_mostly_not(transcripts):
    last = {name: text for name, text in transcripts.items() if name.startswith("Ses05")}
    earlier = {text for name, text in transcripts.items() if name not in last}
    share_scripted = np.mean([text in earlier for name, text in last.items() if "script" in name])
    share_improvised = np.mean([text in earlier for name, text in last.items() if "impro" in name])
    assert 0.15 < share_scripted < 0.5
    assert 0.02 < share_improvised < share_scripted


def test_few_lines_have_a_tag(transcripts):
    assert 0.005 < np.mean(["[" in text for text in transcripts.values()]) < 0.06


def test_the_file_reads_back_as_composed(plan, tmp_path):
    damages = set()
    for dialogue in plan.dialogues:
        path = tmp_path / f"{dialogue.dialogue_id}.txt"
        path.write_bytes(encode_transcription_file(SETTINGS, dialogue))
        composed = compose_transcripts(SETTINGS, dialogue)
        read, _ = read_transcripts(path)
        for utterance in dialogue.utterances:
            name = utterance.utterance_id
            damages.add(utterance.damage)
            if utterance.damage is Damage.NO_TRANSCRIPT:
                assert name not in read
            elif utterance.damage is Damage.NOT_UTF8:
                assert read[name] == f"{composed[name]} Café."
                assert b"\xe9" in path.read_bytes()
            else:
                assert read[name] == composed[name]
            assert (read.get(name) == "[LAUGHTER]") == (utterance.damage is Damage.ONLY_TAG)
            assert (": " in read.get(name, "")) == (utterance.damage is Damage.COLON)
    assert damages == {*Damage, None}


def test_the_file_has_lines_that_are_no_utterances_only_where_irregularities_are_wanted(plan):
    text = encode_transcription_file(SETTINGS, plan.dialogues[0]).decode()
    assert text.count("_MXX0 [") == 2
    assert "F: Yeah.\n" in text or "M: Yeah.\n" in text
    sound = SyntheticSettings(irregularities=False)
    lines = encode_transcription_file(sound, plan_corpus(sound).dialogues[0]).decode().splitlines()
    assert len(lines) == len(plan.dialogues[0].utterances)
