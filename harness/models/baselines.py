"""Baselines: systems of a few lines, fitted by scikit-learn on training utterances alone.

They read the prepared features as they are: a protocol's scaling, padding, masks and zeros concern the networks. Its
class weights are the baselines' too, and its scaling by speaker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from harness.corpus.utterances import CLASSES, parse_utterance_id
from harness.errors import FeatureError
from harness.features.fitted import measure_background
from harness.features.functionals import compute_functionals, read_frames, summarise_speech
from harness.features.store import Features
from harness.features.text import split_words
from harness.models.class_weights import CLASS_WEIGHT
from harness.models.kernel_svm import SessionSvm
from harness.models.terms import TermRegression
from harness.splits.protocol import ClassWeights

Probabilities = npt.NDArray[np.float64]

#: Ours: with the 100 of scikit-learn the seed moves the score of real speech half as far again.
NUM_TREES = 500
#: Frames of an utterance that vote, and the number that tells which. Source: as ``fit_speech_framewise``.
NUM_LOUDEST, _ENERGY = 2, "energy"


@dataclass(frozen=True)
class FittedBaseline:
    """A baseline after training.

    Attributes:
        prior: float64 (4,), the classes' shares of the training utterances: the answer for an
            utterance without the baseline's input
        has_input: True for each utterance that has the baseline's input, bool (num_utterances,)
        classify: the probabilities of utterances of which all have it, float64 (num_rows, 4)
    """

    prior: Probabilities
    has_input: Callable[[Features], npt.NDArray[np.bool_]]
    classify: Callable[[Features, npt.NDArray[np.int64]], Probabilities]

    def probabilities(self, features: Features) -> Probabilities:
        """Return float64 (num_utterances, 4) in the order of ``CLASSES``; 0 for a class never trained on."""
        answers = np.tile(self.prior, (len(features), 1))
        rows = np.flatnonzero(self.has_input(features))
        if len(rows):
            answers[rows] = self.classify(features, rows)
        return answers

    def num_without_input(self, features: Features) -> int:
        """Count the utterances without the baseline's input, which are answered with the prior."""
        return int((~self.has_input(features)).sum())


def fit_majority(train: Features, seed: int, class_weights: ClassWeights = ClassWeights.NONE) -> FittedBaseline:
    """Answer every utterance with the classes' shares of training, so that the largest class is predicted."""
    prior = _prior(train)
    return FittedBaseline(prior, _all_of, lambda features, rows: np.tile(prior, (len(rows), 1)))


def fit_text_logistic(train: Features, seed: int, class_weights: ClassWeights = ClassWeights.NONE) -> FittedBaseline:
    """Fit TF-IDF over the words, sentence marks and pairs of the transcript, and a logistic regression on it.

    Cross-validation over the training utterances chooses C. An utterance without a word is not trained on, and is
    answered with the prior.
    """
    regression = LogisticRegression(
        max_iter=1000, random_state=seed, class_weight=CLASS_WEIGHT[class_weights], warm_start=True
    )
    names = [parse_utterance_id(train.utterance_ids[row]) for row in np.flatnonzero(has_words(train))]
    return _fit(train, "words", TermRegression(regression, names), has_words, _words)


def fit_speech_forest(train: Features, seed: int, class_weights: ClassWeights = ClassWeights.NONE) -> FittedBaseline:
    """Fit a random forest on the mean and the standard deviation of each number of a frame.

    They are taken over an utterance's real frames. One without a frame is not trained on, and is
    answered with the prior.
    """
    classifier = RandomForestClassifier(
        n_estimators=NUM_TREES, random_state=seed, n_jobs=1, class_weight=CLASS_WEIGHT[class_weights]
    )
    return _fit(train, "speech", classifier, has_speech, summarise_speech)


def fit_speech_svm(train: Features, seed: int, class_weights: ClassWeights = ClassWeights.NONE) -> FittedBaseline:
    """Fit a support vector machine with a radial basis function on the functionals of speech.

    Its C is chosen by accuracy on sessions of the training utterances that the machine was fitted without, as is the
    factor that makes probabilities of its scores. An utterance without a frame is not trained on, and is answered with
    the prior.
    """
    sessions = np.array([utterance.name.session for utterance in train.utterances])
    classifier = SessionSvm(sessions[has_speech(train)], class_weights)
    return _fit(train, "speech", classifier, has_speech, compute_functionals)


def fit_speech_framewise(train: Features, seed: int, class_weights: ClassWeights = ClassWeights.NONE) -> FittedBaseline:
    """Fit a random forest on the loudest frames of each utterance, and let it vote on those of an answered one.

    An utterance without a frame is not trained on, and is answered with the prior.

    Raises:
        FeatureError: as the others; or the frames have no energy

    Source:
        Chernykh and Prikhodko, arXiv 1701.08071v2, section 4.2. Choices of ours: the answered utterance's two loudest
        frames vote, not all of them; and the forest's size.
    """
    forest = RandomForestClassifier(
        n_estimators=NUM_TREES, random_state=seed, n_jobs=1, class_weight=CLASS_WEIGHT[class_weights]
    )
    return _fit(train, "speech", _FrameVotes(forest), has_speech, loudest_frames)


def fit_average(train: Features, seed: int, class_weights: ClassWeights = ClassWeights.NONE) -> FittedBaseline:
    """Fit ``text_logistic`` and ``speech_forest``, and answer with the mean of their probabilities."""
    return average([fit(train, seed, class_weights) for fit in (fit_text_logistic, fit_speech_forest)])


def average(parts: Sequence[FittedBaseline]) -> FittedBaseline:
    """Answer with the mean of some baselines' probabilities, all fitted on the same utterances.

    An utterance without the input of one of them has the prior in place of that one's answer.
    """

    def classify(features: Features, rows: npt.NDArray[np.int64]) -> Probabilities:
        answers: Probabilities = np.mean([part.probabilities(features) for part in parts], axis=0)
        return answers[rows]

    def has_input(features: Features) -> npt.NDArray[np.bool_]:
        return np.asarray(np.any([part.has_input(features) for part in parts], axis=0))

    return FittedBaseline(parts[0].prior, has_input, classify)


class Fit(Protocol):
    """Fits a baseline."""

    def __call__(
        self, train: Features, seed: int, class_weights: ClassWeights = ClassWeights.NONE
    ) -> FittedBaseline: ...


@dataclass(frozen=True)
class Baseline:
    """A baseline by its name.

    Attributes:
        title: as the tables print it
        modalities: those that it reads
        fit: from training utterances, a seed and the weights of the classes
        is_random: whether the seed changes anything
        parts: names of the baselines that it is the average of
        is_for_all: whether it stands beside every model that is scored; the others are rows of `harness tables` alone
    """

    name: str
    title: str
    modalities: tuple[str, ...]
    fit: Fit
    is_random: bool = False
    parts: tuple[str, ...] = ()
    is_for_all: bool = True


_BASELINES = (
    Baseline("majority", "majority class", (), fit_majority),
    Baseline("text_logistic", "TF-IDF, logistic regression", ("text",), fit_text_logistic),
    Baseline("speech_forest", "random forest on speech", ("speech",), fit_speech_forest, is_random=True),
    Baseline("speech_svm", "SVM on functionals of speech", ("speech",), fit_speech_svm),
    Baseline(
        "text_speech_average",
        "average of TF-IDF and forest",
        ("text", "speech"),
        fit_average,
        is_random=True,
        parts=("text_logistic", "speech_forest"),
    ),
    Baseline(
        "speech_framewise",
        "forest on the two loudest frames",
        ("speech",),
        fit_speech_framewise,
        is_random=True,
        is_for_all=False,
    ),
)

BASELINES: Mapping[str, Baseline] = {baseline.name: baseline for baseline in _BASELINES}


def loudest_frames(features: Features, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the ``NUM_LOUDEST`` real frames of the most energy of each utterance, the loudest first.

    The energy is that of the signal after the library has divided it by its peak: a number that orders the frames of
    one utterance, and says nothing of how loud it is beside another.

    Args:
        rows: utterances that have a frame

    Returns:
        float64 (num_rows, NUM_LOUDEST, num_columns); NaN in place of a frame that an utterance does not have

    Raises:
        FeatureError: the frames have no energy
    """
    if _ENERGY not in features.speech_columns:
        raise FeatureError(
            f"baseline: the frames of speech have no {_ENERGY!r}, and their first number is "
            f"{features.speech_columns[0]!r}; expected the speech features 'short-term', 'deltas', 'loud', "
            "'detailed' or 'short-windows'"
        )
    column, found = features.speech_columns.index(_ENERGY), []
    for frames, lengths in read_frames(features, rows):
        frames[np.arange(frames.shape[1]) >= lengths[:, None]] = np.nan
        # NaN is sorted last.
        loudest = np.argsort(-frames[:, :, column], axis=1, kind="stable")[:, :NUM_LOUDEST]
        found.append(np.take_along_axis(frames, loudest[:, :, None], axis=1))
    return np.concatenate(found)


class _FrameVotes:
    """A classifier of utterances by the votes of their frames, float64 (num_rows, num_frames, num_columns).

    The probability of a class is the share of the frames that vote for it. A thousandth of the frames' mean
    probability is added, which decides between classes with as many votes.
    """

    def __init__(self, forest: RandomForestClassifier) -> None:
        self._forest = forest

    def fit(self, frames: npt.NDArray[np.float64], emotions: npt.NDArray[np.int64]) -> None:
        is_real = ~np.isnan(frames[:, :, 0])
        self._forest.fit(frames[is_real], np.repeat(emotions, is_real.sum(axis=1)))

    def predict_proba(self, frames: npt.NDArray[np.float64]) -> Probabilities:
        is_real = ~np.isnan(frames[:, :, 0])
        found = self._forest.predict_proba(frames[is_real])
        votes = np.zeros((*is_real.shape, found.shape[1]))
        votes[is_real] = np.eye(found.shape[1])[found.argmax(axis=1)] + 1e-3 * found
        counts = votes.sum(axis=1)
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def _fit(
    train: Features,
    what: str,
    classifier: Any,
    has_input: Callable[[Features], npt.NDArray[np.bool_]],
    read: Callable[[Features, npt.NDArray[np.int64]], Any],
) -> FittedBaseline:
    rows = np.flatnonzero(has_input(train))
    emotions = train.emotions[rows]
    known = np.unique(emotions)
    background = measure_background(train) if what == "speech" else None
    if not len(known):
        raise FeatureError(
            f"baseline: none of the {len(train)} training utterances has {what}; expected at least one"
        )
    if len(known) > 1:
        classifier.fit(read(train.against(background), rows), emotions)

    def classify(features: Features, asked: npt.NDArray[np.int64]) -> Probabilities:
        answers = np.zeros((len(asked), len(CLASSES)))
        answers[:, known] = (
            classifier.predict_proba(read(features.against(background), asked)) if len(known) > 1 else 1.0
        )
        return answers

    return FittedBaseline(_prior(train), has_input, classify)


def _prior(train: Features) -> Probabilities:
    counts = np.bincount(train.emotions, minlength=len(CLASSES))
    return np.asarray(counts / counts.sum())


def _words(features: Features, rows: npt.NDArray[np.int64]) -> list[str]:
    transcripts = features.transcripts
    return [transcripts[row] or "" for row in rows]


def has_words(features: Features) -> npt.NDArray[np.bool_]:
    """Return bool (num_utterances,), True for each utterance whose transcript has a word."""
    return np.array([bool(split_words(transcript or "")) for transcript in features.transcripts], dtype=bool)


def has_speech(features: Features) -> npt.NDArray[np.bool_]:
    """Return bool (num_utterances,), True for each utterance with a frame of speech."""
    return np.asarray(features.speech_lengths > 0)


def _all_of(features: Features) -> npt.NDArray[np.bool_]:
    return np.ones(len(features), dtype=bool)
