"""Features that never were a corpus: small, in memory, with a cue where a test wants one."""

import numpy as np

from harness.corpus.utterances import CLASSES, Emotion, Utterance
from harness.features.speech import SpeechSettings, column_names
from harness.features.store import Features

SETTINGS = SpeechSettings()
WORDS = ("oh", "well", "right", "now")


def invent_features(num_utterances, cue=1.0, seed=0, with_mocap=False, settings=SETTINGS, cue_column=0):
    """Utterances whose class is told by a column of their frames, and by one word, where ``cue`` is set."""
    columns = column_names(settings)
    rng = np.random.default_rng(seed)
    emotions = rng.integers(0, 4, num_utterances)
    lengths = rng.integers(2, 9, num_utterances)
    speech = np.zeros((num_utterances, settings.max_frames, len(columns)), np.float32)
    utterances = []
    for row, (emotion, length) in enumerate(zip(emotions, lengths, strict=True)):
        speech[row, :length] = rng.normal(size=(length, len(columns)))
        speech[row, :length, cue_column] += cue * 4.0 * emotion
        word = WORDS[emotion] if cue else WORDS[rng.integers(4)]
        utterances.append(
            Utterance(
                utterance_id=f"Ses0{1 + row % 4}F_impro01_{'FM'[row % 2]}{row:03d}",
                emotion=Emotion(CLASSES[emotion]),
                valence=2.5,
                activation=2.5,
                dominance=2.5,
                start=float(row),
                end=row + 1.0,
                transcript=" ".join(["so"] * (length % 3) + [word]),
                wav_path=None,
                num_mocap_rows=200,
            )
        )
    arrays = {"speech": speech, "speech_lengths": lengths.astype(np.int64)}
    if with_mocap:
        arrays["mocap"] = rng.normal(size=(num_utterances, 200, 189)).astype(np.float32)
        arrays["mocap_rows"] = np.full(num_utterances, 200)
    return Features.from_arrays(utterances, settings, columns, arrays)
