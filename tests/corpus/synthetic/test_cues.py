"""What a plain linear reader learns from the sounds, words and motions themselves, and what it must not."""

import re

import numpy as np
import pytest

from harness.corpus.layout import MocapStream
from harness.corpus.synthetic.motion import move, rows_of
from harness.corpus.synthetic.plan import plan_corpus
from harness.corpus.synthetic.settings import Cue, SyntheticSettings
from harness.corpus.synthetic.text import compose_transcripts
from harness.corpus.synthetic.writer import LETTERS, record_dialogue
from harness.corpus.utterances import CLASSES

pytestmark = pytest.mark.long


def hear(samples):
    """Mean and deviation over windows of the logarithmic power in 24 bands, relative to the peak."""
    sound = samples / max(1, np.abs(samples).max())
    padded = np.pad(sound, (0, max(0, 3200 - len(sound))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 3200)[::1600]
    power = np.abs(np.fft.rfft(windows)) ** 2
    edges = np.unique(np.geomspace(10, power.shape[1], 25).astype(int))
    bands = np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-3)
    return np.concatenate([bands.mean(axis=0), bands.std(axis=0)])


def see(rows, num_columns):
    if len(rows) == 0:
        return np.full(num_columns, np.nan)
    counts = np.isfinite(rows).sum(axis=0)
    return np.where(counts > 0, np.nansum(rows, axis=0) / np.maximum(counts, 1), np.nan)


def perceive(settings, cues):
    """Return an array (num_utterances, num_columns) of each of ``cues``, and the classes and sessions."""
    perceived = {cue: [] for cue in cues}
    emotions, sessions = [], []
    for dialogue in plan_corpus(settings).dialogues:
        utterances = [utterance for utterance in dialogue.utterances if utterance.emotion in CLASSES]
        emotions += [CLASSES.index(utterance.emotion) for utterance in utterances]
        sessions += [dialogue.session] * len(utterances)
        for cue in cues:
            perceived[cue] += perceive_dialogue(settings, dialogue, utterances, cue)
    if Cue.TEXT in cues:
        words = sorted(set().union(*perceived[Cue.TEXT]))
        perceived[Cue.TEXT] = [[float(word in text) for word in words] for text in perceived[Cue.TEXT]]
    return {cue: np.array(rows) for cue, rows in perceived.items()}, np.array(emotions), np.array(sessions)


def perceive_dialogue(settings, dialogue, utterances, cue):
    if cue is Cue.TEXT:
        texts = compose_transcripts(settings, dialogue)
        return [set(re.findall("[a-z']+", texts[one.utterance_id].lower())) for one in utterances]
    if cue is Cue.SPEECH:
        channels = record_dialogue(settings, dialogue).astype(float)
        bounds = [(round(one.start * 16000), round(one.end * 16000)) for one in utterances]
        near = [LETTERS.index(one.speaker_letter) for one in utterances]
        return [hear(channels[first:last, at]) for (first, last), at in zip(bounds, near, strict=True)]
    stream = MocapStream(cue.value)
    values = move(settings, dialogue, stream)
    return [see(values[rows_of(settings, one)], stream.num_columns) for one in utterances]


def score(columns, emotions, sessions, ridge):
    """Share right in Session 5 of a ridge regression on Sessions 1 to 4."""
    train = sessions < 5
    mean, deviation = np.nanmean(columns[train], axis=0), np.nanstd(columns[train], axis=0)
    scaled = np.nan_to_num((columns - mean) / np.where(deviation > 0, deviation, 1))
    scaled = np.hstack([scaled, np.ones((len(scaled), 1))])
    answers = np.eye(len(CLASSES))[emotions[train]]
    normal = scaled[train].T @ scaled[train] + ridge * np.eye(scaled.shape[1])
    weights = np.linalg.solve(normal, scaled[train].T @ answers)
    return np.mean((scaled[~train] @ weights).argmax(axis=1) == emotions[~train])


RIDGES = {Cue.SPEECH: 30.0, Cue.TEXT: 100.0, Cue.FACE: 300.0, Cue.HAND: 30.0, Cue.HEAD: 10.0}
CHANCE = 0.35


def scores_alone(seen, emotions, sessions):
    return {cue: score(columns, emotions, sessions, RIDGES[cue]) for cue, columns in seen.items()}


def test_each_modality_tells_a_part_and_together_they_tell_most():
    # Without the moods of scenes: with them, few dialogues tie an actor's build to few emotions.
    seen, emotions, sessions = perceive(SyntheticSettings(scene_moods=0.0, moods=0.0), list(Cue))
    alone = scores_alone(seen, emotions, sessions)
    assert all(CHANCE + 0.05 < share < 0.68 for share in alone.values()), alone
    together = np.hstack([seen[cue] for cue in Cue])
    assert score(together, emotions, sessions, ridge=300.0) > max(alone.values()) + 0.15


@pytest.mark.parametrize("planted", Cue)
def test_a_cue_that_is_planted_alone_is_found(planted):
    seen, emotions, sessions = perceive(SyntheticSettings(scale=0.2, cues=frozenset({planted})), [planted])
    assert score(seen[planted], emotions, sessions, RIDGES[planted]) > CHANCE + 0.07


def test_without_cues_nothing_is_found():
    seen, emotions, sessions = perceive(SyntheticSettings(scale=0.2, cues=frozenset()), list(Cue))
    alone = scores_alone(seen, emotions, sessions)
    assert all(share < CHANCE + 0.04 for share in alone.values()), alone
