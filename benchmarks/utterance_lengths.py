"""Invented features of the corpus's real lengths: random values, mapped from files as prepared ones are."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from harness.corpus.utterances import CLASSES, Emotion, Utterance
from harness.features.fitted import FittedFeatures
from harness.features.frames import UNSCALED, frame_columns
from harness.features.scaling import ColumnScaling
from harness.features.speech import SPEECH_VARIANTS, SpeechKind, SpeechSettings, column_names
from harness.features.store import Features
from harness.features.text import Tokenizer
from harness.splits.protocol import DEFAULT_SPEECH_VARIANT, Protocol

#: Of the logarithm of the words of an utterance, so that the mean is 11.6 and the 95th percentile 33,
#: and of its seconds, 4.6 and 11.2. Source: the annotations of the corpus's 4936 utterances.
WORDS_MEAN, WORDS_DEVIATION = 2.080, 0.861
SECONDS_MEAN, SECONDS_DEVIATION = 1.293, 0.683
MOST_WORDS, FEWEST_SECONDS, MOST_SECONDS = 98, 0.58, 34.1

#: Of the logarithms of words and seconds. A choice: who talks longer says more, at a speed that varies.
CORRELATION = 0.9

NUM_WORDS, EMBEDDING_DIMENSION = 3000, 300

#: Frames of 10 ms of a voiced segment, and of the gaps between two, evenly from and to: about three segments a second,
#: one a syllable or two. A choice.
VOICED_FRAMES, UNVOICED_FRAMES = (5, 35), (5, 25)
#: Of utterances that have ratings; the corpus has them for all.
LOWEST_RATING, HIGHEST_RATING = 1.0, 5.0


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
        max_frames: of an utterance; None for the product's own
        speech_features: one of ``SPEECH_VARIANTS``; beside short frames there is no motion
    """

    directory: Path
    num_train: int = 3000
    num_validation: int = 838
    max_frames: int | None = None
    seed: int = 0
    speech_features: str = DEFAULT_SPEECH_VARIANT

    @cached_property
    def settings(self) -> SpeechSettings:
        settings = SPEECH_VARIANTS[self.speech_features]
        return settings if self.max_frames is None else replace(settings, max_frames=self.max_frames)

    @property
    def parts(self) -> dict[str, int]:
        """Utterances of each part."""
        return {"train": self.num_train, "validation": self.num_validation}

    def lengths(self, part: str) -> UtteranceLengths:
        return draw_lengths(self.parts[part], self._generator(part))

    def write(self) -> None:
        """Write the frames and the windows of both parts: 600 MB at the full size, of short frames 330 MB."""
        for part, num_utterances in self.parts.items():
            generator = self._generator(part, "values")
            shape = (num_utterances, self.settings.max_frames, len(column_names(self.settings)))
            # What is not written takes no room on the disk.
            path = self.directory / f"{part}_speech.npy"
            speech = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
            for row, num_frames in enumerate(self.lengths(part).num_frames(self.settings)):
                speech[row, :num_frames] = generator.standard_normal((num_frames, shape[2]), dtype=np.float32)
                if self.settings.kind is SpeechKind.FRAMES:
                    speech[row, :num_frames, frame_columns(*UNSCALED)] = draw_voiced(num_frames, generator)
            speech.flush()
            if self.settings.holds_motion:
                mocap = generator.standard_normal((num_utterances, 200, 189), dtype=np.float32)
                np.save(self.directory / f"{part}_mocap.npy", mocap)

    def open(self, part: str) -> Features:
        """Map what ``write`` wrote; words and classes are drawn again, the same every time."""
        lengths, generator = self.lengths(part), self._generator(part, "words")
        shares = 1.0 / np.arange(3, NUM_WORDS + 3)  # as often as Zipf's law has it
        words = generator.choice(NUM_WORDS, size=int(lengths.words.sum()), p=shares / shares.sum())
        ends = np.cumsum(lengths.words)
        ratings = self._generator(part, "ratings").uniform(LOWEST_RATING, HIGHEST_RATING, (2, len(ends)))
        utterances = [
            Utterance(
                utterance_id=f"Ses01F_impro01_F{row:03d}",
                emotion=Emotion(CLASSES[generator.integers(len(CLASSES))]),
                valence=float(ratings[0, row]),
                activation=float(ratings[1, row]),
                dominance=2.5,
                start=0.0,
                end=float(lengths.seconds[row]),
                transcript=" ".join(name_word(word) for word in words[end - count : end]),
                wav_path=None,
                num_mocap_rows=round(lengths.seconds[row] * 119.9),
            )
            for row, (end, count) in enumerate(zip(ends, lengths.words, strict=True))
        ]
        arrays = {
            "speech": np.load(self.directory / f"{part}_speech.npy", mmap_mode="r"),
            "speech_lengths": lengths.num_frames(self.settings),
        }
        if self.settings.holds_motion:
            arrays["mocap"] = np.load(self.directory / f"{part}_mocap.npy", mmap_mode="r")
            arrays["mocap_rows"] = np.array([utterance.num_mocap_rows for utterance in utterances])
        return Features.from_arrays(utterances, self.settings, column_names(self.settings), arrays)

    def fit(self, modalities: Iterable[str], protocol: Protocol) -> FittedFeatures:
        """Return what a trial would have fitted: a vocabulary of 3000 words with random vectors, and the unit scale."""
        wanted = tuple(modalities)
        columns = column_names(self.settings)
        tokenizer = Tokenizer(tuple(name_word(number) for number in range(NUM_WORDS)))
        vectors = np.random.default_rng(self.seed).normal(scale=0.1, size=(tokenizer.num_ids, EMBEDDING_DIMENSION))
        return FittedFeatures(
            modalities=wanted,
            protocol=protocol,
            speech_settings=self.settings,
            speech_columns=columns,
            tokenizer=tokenizer if "text" in wanted else None,
            embedding=vectors.astype(np.float32) if "text" in wanted else None,
            embedding_source="random",
            speech=ColumnScaling(*_unit_scale(len(columns))) if "speech" in wanted else None,
            mocap=ColumnScaling(*_unit_scale(189)) if "mocap" in wanted else None,
        )

    def _generator(self, *purpose: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *(ord(letter) for letter in "/".join(purpose))])


def name_word(number: int) -> str:
    """Name a word by its number in letters, three or four as common words have them.

    Example:
        >>> name_word(0), name_word(27), name_word(2999)
        ('waa', 'wbb', 'welj')
    """
    letters = ""
    while number or len(letters) < 2:
        number, letter = divmod(number, 26)
        letters = chr(ord("a") + letter) + letters
    return f"w{letters}"


def draw_voiced(num_frames: int, generator: np.random.Generator) -> np.ndarray:
    """Draw voiced and unvoiced segments in turn: float32 (num_frames,), 1 where a frame is voiced."""
    ranges = (UNVOICED_FRAMES, VOICED_FRAMES)
    lengths = [generator.integers(*bounds, num_frames, endpoint=True) for bounds in ranges]
    is_voiced = np.tile(np.array([0.0, 1.0], np.float32), num_frames)
    return np.repeat(is_voiced, np.stack(lengths, axis=1).ravel())[:num_frames]


def _unit_scale(num_columns: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(num_columns, np.float32), np.ones(num_columns, np.float32)
