"""Features against what they replace: `python benchmarks/features.py`.

The memoised chroma table against pyAudioAnalysis as it comes; windows of motion against np.array_split and
np.nanmean; a GloVe file against gensim's own reader. Runs are interleaved; medians and their ratio are printed.
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gensim.models import KeyedVectors

from harness.features.mocap import average_windows
from harness.features.speech import SAMPLING_RATE, SpeechSettings, short_term_library
from harness.features.word_vectors import read_word_vectors

NUM_RUNS = 5


def compare(name: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    """Time two functions in turn, after one run of each that is not counted."""
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(NUM_RUNS + 1):
        for label, run in (("ours", ours), ("theirs", theirs)):
            began = time.perf_counter()
            run()
            if number:
                seconds[label].append(time.perf_counter() - began)
    medians = {label: statistics.median(values) for label, values in seconds.items()}
    spread = ", ".join(f"{label} {min(values):.4f} to {max(values):.4f}" for label, values in seconds.items())
    print(
        f"{name}: {medians['ours']:.4f} s against {medians['theirs']:.4f} s, "
        f"{medians['theirs'] / medians['ours']:.1f} times faster ({spread})"
    )


def compare_speech(generator: np.random.Generator) -> None:
    """One minute of sound through pyAudioAnalysis, its chroma table kept or made again for every frame."""
    settings, library = SpeechSettings(), short_term_library()
    samples = generator.normal(size=60 * SAMPLING_RATE) * 3000
    memoised = library.chroma_features_init

    def extract(table: Callable[..., object]) -> np.ndarray:
        library.chroma_features_init = table
        features, _ = library.feature_extraction(
            samples, SAMPLING_RATE, settings.window_samples, settings.hop_samples, deltas=False
        )
        library.chroma_features_init = memoised
        return np.asarray(features)

    assert (extract(memoised) == extract(memoised.__wrapped__)).all()
    compare("34 features of 60 s", lambda: extract(memoised), lambda: extract(memoised.__wrapped__))


def compare_windows(generator: np.random.Generator) -> None:
    """The rows of a mean utterance, 4.6 s at 119.9 rows a second, with and without lost markers."""
    for share in (0.0, 0.2):
        rows = generator.normal(size=(552, 189)).astype(np.float32)
        rows[generator.random(rows.shape) < share] = np.nan
        compare(
            f"200 windows, {share:.0%} lost",
            lambda rows=rows: average_windows(rows, 200),
            lambda rows=rows: np.stack([np.nanmean(part, axis=0) for part in np.array_split(rows, 200)]),
        )


def compare_vectors(generator: np.random.Generator, num_words: int = 20_000) -> None:
    """A file of 300-d vectors of which a corpus's 3000 words are kept, against reading all of it."""
    words = [f"word{number}" for number in range(num_words)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.txt"
        with path.open("w") as stream:
            for word in words:
                stream.write(word + " " + " ".join(f"{value:.5f}" for value in generator.normal(size=300)) + "\n")
        compare(
            f"3000 of {num_words} word vectors",
            lambda: read_word_vectors(path, words[::7][:3000]),
            lambda: KeyedVectors.load_word2vec_format(str(path), no_header=True),
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}")
    random = np.random.default_rng(0)
    compare_speech(random)
    compare_windows(random)
    compare_vectors(random)
