"""What a trial fits before it trains, held against what training alone gives.

Scaling is computed anew in another way than trials do; word vectors are trained anew in the same, on the
transcripts of training alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from harness.corpus.utterances import Utterance
from harness.features.fitted import FittedFeatures, fit_features
from harness.features.gathered import Features
from harness.features.scaling import ColumnScaling
from harness.features.speech import SpeechSettings, column_names
from harness.features.text import split_words
from harness.splits import Protocol

#: Largest distance of a fitted number from training's own that rounding to float32 explains, in deviations of the
#: column. A choice: an utterance that lies one deviation off moves the mean of 3000 by thirty times as much.
TOLERANCE = 1e-5

#: Numbers of a word vector in the check: whose words were read does not depend on how many there are.
_DIMENSION = 16

_CHUNK_ROWS = 64


class Statistics(StrEnum):
    """What is fitted besides the vocabulary."""

    SPEECH = "speech scaling"
    MOCAP = "mocap scaling and imputation"
    VECTORS = "word vectors"


@dataclass(frozen=True)
class FittedCheck:
    """Something fitted, beside what training alone gives. The means of motion are also what fills in lost markers.

    Attributes:
        distance: of what is fitted from training's own, at its worst: of scaling in deviations of the column
        distance_of_both: the same of what training and validation together give: what a leak would show, 0
            where validation has nothing of the modality
    """

    statistics: Statistics
    distance: float
    distance_of_both: float

    @property
    def is_leaking(self) -> bool:
        """Whether something other than training was fitted on."""
        return not self.distance <= TOLERANCE

    @property
    def can_tell(self) -> bool:
        """Whether a leak of validation would be larger than the tolerance."""
        return self.distance_of_both > TOLERANCE


@dataclass(frozen=True)
class VocabularyCheck:
    """Words that a fitted vocabulary knows although what was trained on lacks them.

    Attributes:
        stage: ``"search"`` or ``"final training"``
        num_words: of the vocabulary
        leaked: words that training lacks, sorted
        num_utterances: scored utterances that say one of them
        num_scored: utterances that the stage scores
    """

    stage: str
    num_words: int
    leaked: tuple[str, ...]
    num_utterances: int
    num_scored: int


def check_statistics(fitted: FittedFeatures, train: Features, validation: Features) -> tuple[FittedCheck, ...]:
    """Hold fitted scalings against the mean and deviation of training alone, in float64 and in two passes.

    Args:
        fitted: what `fit_features` gave, as a trial calls it
    """
    checks = []
    for statistics, scaling in ((Statistics.SPEECH, fitted.speech), (Statistics.MOCAP, fitted.mocap)):
        if scaling is not None:
            own = _measure(statistics, [train])
            both = _measure(statistics, [train, validation])
            checks.append(FittedCheck(statistics, _distance(scaling, own), _distance_of(both, own)))
    return tuple(checks)


_Moments = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def _measure(statistics: Statistics, parts: Sequence[Features]) -> _Moments:
    """Return mean and deviation of every column; 0 and 1 as ``ColumnScaling`` has them where there is none."""
    sums, counts = _add_up((rows, np.ones_like(rows)) for rows in _rows(statistics, parts))
    mean = sums / np.maximum(counts, 1)
    squares, _ = _add_up(((rows - mean) ** 2, np.ones_like(rows)) for rows in _rows(statistics, parts))
    deviation = np.sqrt(squares / np.maximum(counts, 1))
    deviation[deviation <= np.abs(mean) * np.finfo(np.float32).eps] = 1.0
    return mean, deviation


def _add_up(pairs: Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]) -> _Moments:
    total, counts = np.zeros(()), np.zeros(())
    for values, ones in pairs:
        total = total + np.nansum(values, axis=0)
        counts = counts + np.where(np.isnan(values), 0.0, ones).sum(axis=0)
    return np.asarray(total), np.asarray(counts)


def _rows(statistics: Statistics, parts: Sequence[Features]) -> Iterator[npt.NDArray[np.float64]]:
    """Yield frames or windows, float64 (num_rows, num_columns), NaN where a marker was lost."""
    for features in parts:
        for first in range(0, len(features), _CHUNK_ROWS):
            chosen = np.arange(first, min(first + _CHUNK_ROWS, len(features)))
            if statistics is Statistics.SPEECH:
                frames = features.speech(chosen)
                yield np.concatenate(
                    [one[:length] for one, length in zip(frames, features.speech_lengths[chosen], strict=True)]
                ).astype(np.float64)
            else:
                windows = features.mocap(chosen)
                yield windows.reshape(-1, windows.shape[2]).astype(np.float64)


def _distance(scaling: ColumnScaling, own: _Moments) -> float:
    return _distance_of((scaling.mean.astype(np.float64), scaling.std.astype(np.float64)), own)


def _distance_of(found: _Moments, own: _Moments) -> float:
    mean, deviation = own
    # A mean far from 0 beside its deviation is rounded to float32 as coarsely as it is far.
    rounding = np.abs(mean) * np.finfo(np.float32).eps
    of_means = np.maximum(np.abs(found[0] - mean) - rounding, 0.0) / deviation
    of_deviations = np.abs(found[1] - deviation) / deviation
    return float(max(of_means.max(), of_deviations.max()))


def check_word_vectors(train: Sequence[Utterance], validation: Sequence[Utterance], protocol: Protocol) -> FittedCheck:
    """Hold the vectors of training's words, fitted as a trial fits them, against vectors of its transcripts alone."""
    # Imported here: it imports gensim, which takes a second.
    from harness.features.word_vectors import train_word_vectors

    features, extra = _text_alone(train), _text_alone(validation)
    fitted = fit_features(features, ("text",), protocol, None, _DIMENSION, 0, vocabulary_extra=extra)
    assert fitted.tokenizer is not None and fitted.embedding is not None
    own = train_word_vectors(features.transcripts, _DIMENSION, 0)
    both = train_word_vectors(features.transcripts + extra.transcripts, _DIMENSION, 0)
    numbers = {word: fitted.tokenizer.encode_words([word])[0] for word in own.index_to_key}
    return FittedCheck(
        Statistics.VECTORS,
        distance=max((float(np.abs(fitted.embedding[numbers[word]] - own[word]).max()) for word in numbers), default=0),
        distance_of_both=max((float(np.abs(both[word] - own[word]).max()) for word in numbers), default=0),
    )


def check_vocabulary(
    stage: str, train: Sequence[Utterance], scored: Sequence[Utterance], protocol: Protocol
) -> VocabularyCheck:
    """Fit the vocabulary as a training does, and find the words that only what is scored can have given it."""
    fitted = fit_features(_text_alone(train), ("text",), protocol, None, None, 0, vocabulary_extra=_text_alone(scored))
    assert fitted.tokenizer is not None
    vocabulary = fitted.tokenizer.vocabulary
    known = {word for utterance in train for word in split_words(utterance.transcript or "")}
    leaked = set(vocabulary) - known
    says_one = [utterance for utterance in scored if leaked & set(split_words(utterance.transcript or ""))]
    return VocabularyCheck(stage, len(vocabulary), tuple(sorted(leaked)), len(says_one), len(scored))


def _text_alone(utterances: Sequence[Utterance]) -> Features:
    """Hold utterances as features of their words, without sound and motion."""
    settings = SpeechSettings()
    return Features.from_arrays(utterances, settings, column_names(settings), {})
