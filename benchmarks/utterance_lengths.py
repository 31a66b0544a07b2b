"""Invented features of the corpus's real lengths: random values, mapped from files as prepared ones are."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.corpus.utterances import CLASSES, Emotion, Utterance
from harness.features.fitted import FittedFeatures, MocapScaling, SpeechScaling
from harness.features.speech import SpeechSettings, column_names
from harness.features.store import Features
from harness.features.text import Tokenizer
from harness.splits.protocol import Protocol

#: Of the logarithm of the words of an utterance, so that the mean is 11.6 and the 95th percentile 33,
#: and of its seconds, 4.6 and 11.2. Source: the annotations of the corpus's 4936 utterances.
WORDS_MEAN, WORDS_DEVIATION = 2.080, 0.861
SECONDS_MEAN, SECONDS_DEVIATION = 1.293, 0.683
MOST_WORDS, FEWEST_SECONDS, MOST_SECONDS = 98, 0.58, 34.1

#: Of the logarithms of words and seconds. A choice: who talks longer says more, at a speed that varies.
CORRELATION = 0.9

NUM_WORDS, EMBEDDING_DIMENSION = 3000, 300


@dataclass(frozen=True)
class UtteranceLengths:
    """The lengths of some utterances.

    Attributes:
        words: int64 (num_utterances,), at least 1
        seconds: float64 (num_utterances,)
    """

    words: np.ndarray
    seconds: np.ndarray

    def num_frames(self, settings: SpeechSettings) -> np.ndarray:
        """Frames of each utterance, int64 (num_utterances,): whole windows, at most ``max_frames``."""
        frames = 1 + np.floor((self.seconds - settings.window) / settings.hop + 1e-6)
        return np.clip(frames, 1, settings.max_frames).astype(np.int64)


def draw_lengths(num_utterances: int, generator: np.random.Generator) -> UtteranceLengths:
    """Draw words and seconds together, evenly from every part of their distributions.

    Each quantile is drawn once, so that the means are the corpus's whatever the seed.
    """
    normal = statistics.NormalDist()
    quantiles = np.array([normal.inv_cdf((rank + 0.5) / num_utterances) for rank in range(num_utterances)])
    spread = CORRELATION * quantiles + np.sqrt(1 - CORRELATION**2) * generator.normal(size=num_utterances)
    seconds = np.empty(num_utterances)
    seconds[np.argsort(spread)] = np.exp(SECONDS_MEAN + SECONDS_DEVIATION * quantiles)
    words = np.rint(np.exp(WORDS_MEAN + WORDS_DEVIATION * quantiles)).astype(np.int64)
    order = generator.permutation(num_utterances)
    return UtteranceLengths(
        np.clip(words, 1, MOST_WORDS)[order], np.clip(seconds, FEWEST_SECONDS, MOST_SECONDS)[order]
    )


@dataclass(frozen=True)
class InventedCorpus:
    """Utterances of two parts, ``train`` and ``validation``, whose arrays lie in a folder.

    Attributes:
        max_frames: of an utterance; the product's own are 100
    """

    directory: Path
    num_train: int = 3000
    num_validation: int = 838
    max_frames: int = 100
    seed: int = 0

    @property
    def settings(self) -> SpeechSettings:
        return SpeechSettings(max_frames=self.max_frames)

    @property
    def parts(self) -> dict[str, int]:
        """Utterances of each part."""
        return {"train": self.num_train, "validation": self.num_validation}

    def lengths(self, part: str) -> UtteranceLengths:
        return draw_lengths(self.parts[part], self._generator(part))

    def write(self) -> None:
        """Write the frames and the windows of both parts, 600 MB at the full size."""
        for part, num_utterances in self.parts.items():
            generator = self._generator(part, "values")
            frames = self.lengths(part).num_frames(self.settings)
            shape = (num_utterances, self.max_frames, len(column_names(self.settings)))
            speech = generator.standard_normal(shape, dtype=np.float32)
            speech[np.arange(self.max_frames) >= frames[:, None]] = 0.0
            np.save(self.directory / f"{part}_speech.npy", speech)
            mocap = generator.standard_normal((num_utterances, 200, 189), dtype=np.float32)
            np.save(self.directory / f"{part}_mocap.npy", mocap)

    def open(self, part: str) -> Features:
        """Map what ``write`` wrote; words and classes are drawn again, the same every time."""
        lengths, generator = self.lengths(part), self._generator(part, "words")
        shares = 1.0 / np.arange(3, NUM_WORDS + 3)  # as often as Zipf's law has it
        words = generator.choice(NUM_WORDS, size=int(lengths.words.sum()), p=shares / shares.sum())
        ends = np.cumsum(lengths.words)
        utterances = [
            Utterance(
                utterance_id=f"Ses01F_impro01_F{row:03d}",
                emotion=Emotion(CLASSES[generator.integers(len(CLASSES))]),
                valence=2.5,
                activation=2.5,
                dominance=2.5,
                start=0.0,
                end=float(lengths.seconds[row]),
                transcript=" ".join(f"w{word}" for word in words[end - count : end]),
                wav_path=None,
                num_mocap_rows=round(lengths.seconds[row] * 119.9),
            )
            for row, (end, count) in enumerate(zip(ends, lengths.words, strict=True))
        ]
        arrays = {
            "speech": np.load(self.directory / f"{part}_speech.npy", mmap_mode="r"),
            "speech_lengths": lengths.num_frames(self.settings),
            "mocap": np.load(self.directory / f"{part}_mocap.npy", mmap_mode="r"),
            "mocap_rows": np.array([utterance.num_mocap_rows for utterance in utterances]),
        }
        return Features.from_arrays(utterances, self.settings, column_names(self.settings), arrays)

    def fit(self, modalities: Iterable[str], protocol: Protocol) -> FittedFeatures:
        """Return what a trial would have fitted: a vocabulary of 3000 words with random vectors, and the unit scale."""
        wanted = tuple(modalities)
        columns = column_names(self.settings)
        tokenizer = Tokenizer(tuple(f"w{number}" for number in range(NUM_WORDS)))
        vectors = np.random.default_rng(self.seed).normal(scale=0.1, size=(tokenizer.num_ids, EMBEDDING_DIMENSION))
        return FittedFeatures(
            modalities=wanted,
            protocol=protocol,
            speech_settings=self.settings,
            speech_columns=columns,
            tokenizer=tokenizer if "text" in wanted else None,
            embedding=vectors.astype(np.float32) if "text" in wanted else None,
            embedding_source="random",
            speech=SpeechScaling(*_unit_scale(len(columns))) if "speech" in wanted else None,
            mocap=MocapScaling(*_unit_scale(189)) if "mocap" in wanted else None,
        )

    def _generator(self, *purpose: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *(ord(letter) for letter in "/".join(purpose))])


def _unit_scale(num_columns: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(num_columns, np.float32), np.ones(num_columns, np.float32)
