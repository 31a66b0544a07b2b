"""Features read as the published code reads them: slowly, and with the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from harness.corpus.audio import SAMPLING_RATE
from harness.corpus.layout import CorpusLayout
from harness.corpus.utterances import Utterance
from harness.features.mocap import MOCAP_COLUMNS, NUM_WINDOWS
from harness.features.speech import SpeechSettings, short_term_library


def extract_as_published(
    layout: CorpusLayout, dialogue_id: str, settings: SpeechSettings
) -> list[np.ndarray]:
    """The frames of each recording of a dialogue, from pyAudioAnalysis as it comes."""
    library = short_term_library()
    memoised = library.chroma_features_init
    library.chroma_features_init = memoised.__wrapped__
    try:
        return [
            library.feature_extraction(
                wavfile.read(path)[1],
                SAMPLING_RATE,
                settings.window_samples,
                settings.hop_samples,
                deltas=False,
            )[0].T[: settings.max_frames]
            for path in layout.utterance_wav_paths(dialogue_id)
        ]
    finally:
        library.chroma_features_init = memoised


def read_motion_as_published(
    layout: CorpusLayout, dialogue_id: str, utterances: Sequence[Utterance]
) -> list[np.ndarray]:
    """The windows of each utterance, its rows found in the text of each file, line by line.

    A lost marker makes the mean of its window NaN.
    """
    return [
        np.concatenate(
            [_read_lines(layout.mocap_path(dialogue_id, stream), utterance) for stream in MOCAP_COLUMNS],
            axis=1,
        )
        for utterance in utterances
    ]


def _read_lines(path: Path, utterance: Utterance) -> np.ndarray:
    rows = []
    for line in path.read_text().split("\n")[2:]:
        fields = line.split(" ")
        if len(fields) >= 2 and utterance.start < float(fields[1]) < utterance.end:
            rows.append(np.array(fields[2:]).astype(float))
    return np.stack([np.mean(part, axis=0) for part in np.array_split(np.array(rows), NUM_WINDOWS)])
