"""A turn's own classifier and vector: a logistic regression over its words, one over its speech, as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from harness.corpus.utterances import CLASSES, TurnName
from harness.errors import FeatureError, one_line
from harness.features.functionals import summarise_speech
from harness.features.store import Features
from harness.features.text import split_terms
from harness.files import read_npy, read_object, write_json, write_then_rename
from harness.models.class_weights import CLASS_WEIGHT, share_classes
from harness.models.hyperparameters import TurnVectors
from harness.models.terms import choose_cost, term_vectorizer
from harness.splits.protocol import ClassWeights

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

NUM_CLASSES = len(CLASSES)
#: Probabilities are at least this before a logarithm is taken.
SMALLEST = 1e-6
_RECORD_NAME = "turns.json"


@dataclass(frozen=True, eq=False)
class TurnInputs:
    """What a turn's own classifier reads of some turns.

    Attributes:
        words: the transcript of each, empty where there is none; None where words are not read
        speech: float64 (num_turns, 2 * num_columns), mean and deviation of each number of a frame, NaN where there is
            no sound; None where speech is not read
    """

    words: tuple[str, ...] | None
    speech: Floats | None

    @classmethod
    def read(cls, features: Features, vectors: TurnVectors) -> TurnInputs:
        """Read the turns of ``features``; the labels are not read.

        Raises:
            FeatureError: the corpus has no speech, and speech is read
        """
        words, speech = None, None
        if "text" in vectors.modalities:
            words = tuple(transcript or "" for transcript in features.transcripts)
        if "speech" in vectors.modalities:
            rows = np.flatnonzero(features.speech_lengths > 0)
            speech = np.full((len(features), 2 * len(features.speech_columns)), np.nan)
            if len(rows):
                speech[rows] = summarise_speech(features, rows)
        return cls(words, speech)

    def take(self, rows: Rows) -> TurnInputs:
        """Keep some turns."""
        words = None if self.words is None else tuple(self.words[row] for row in rows)
        return TurnInputs(words, None if self.speech is None else self.speech[rows])


@dataclass(frozen=True, eq=False)
class Regression:
    """A multinomial logistic regression as arrays.

    Attributes:
        prior: float64 (4,), the classes' shares of the loss: the answer for a turn without the input
        weights: float64 (num_features, 4)
        bias: float64 (4,), minus infinity for a class never trained on
    """

    prior: Floats
    weights: Floats
    bias: Floats

    @classmethod
    def fit(
        cls,
        values: Any,
        emotions: Rows,
        prior: Floats,
        seed: int,
        class_weights: ClassWeights,
        solver: str = "lbfgs",
        cost: float = 1.0,
    ) -> Regression:
        """Fit it.

        Args:
            values: floating (num_turns, num_features), sparse or not
            emotions: int64 (num_turns,), indices into ``CLASSES``
            prior: float64 (4,), of all training turns, with and without the input
            solver, cost: as scikit-learn names them; it calls the second C
        """
        weights, bias = np.zeros((values.shape[1], NUM_CLASSES)), np.full(NUM_CLASSES, -np.inf)
        known = np.unique(emotions)
        if len(known) == 1:
            bias[known] = 0.0
            return cls(prior, weights, bias)
        classifier = LogisticRegression(
            C=cost, solver=solver, max_iter=1000, random_state=seed, class_weight=CLASS_WEIGHT[class_weights]
        ).fit(values, emotions)
        # Of two classes scikit-learn holds the second alone, whose logit it is.
        bias[known] = 0.0
        fitted = known if len(known) > 2 else known[1:]
        weights[:, fitted], bias[fitted] = classifier.coef_.T, classifier.intercept_
        return cls(prior, weights, bias)

    def answer(self, products: Floats) -> Floats:
        """Return the probabilities of turns, float64 (num_turns, 4), from their values times ``weights``."""
        return np.asarray(softmax(products + self.bias, axis=1))


@dataclass(frozen=True, eq=False)
class WordReader:
    """The words of a turn: TF-IDF, its classifier, and a few numbers in its place.

    Attributes:
        components: float64 (svd_dimension, vocabulary), of a truncated singular value decomposition
    """

    vocabulary: tuple[str, ...]
    idf: Floats
    components: Floats
    regression: Regression

    @classmethod
    def fit(
        cls,
        words: tuple[str, ...],
        emotions: Rows,
        prior: Floats,
        svd_dimension: int,
        seed: int,
        class_weights: ClassWeights,
        names: Sequence[TurnName] | None = None,
    ) -> WordReader:
        rows = np.array([row for row, spoken in enumerate(words) if split_terms(spoken)], dtype=np.int64)
        if not len(rows):
            raise FeatureError(f"none of the {len(words)} training turns has words; expected at least one")
        spoken = [words[row] for row in rows]
        vectorizer, cost = term_vectorizer(spoken), 1.0
        matrix = vectorizer.fit_transform(spoken)
        if names is not None:
            regression = LogisticRegression(max_iter=1000, class_weight=CLASS_WEIGHT[class_weights], warm_start=True)
            cost = choose_cost(regression, [names[row] for row in rows], spoken, emotions[rows])
        dimension = min(svd_dimension, *matrix.shape)
        components = np.zeros((0, matrix.shape[1]))
        if dimension:
            components = TruncatedSVD(dimension, random_state=seed).fit(matrix).components_
        fitted = Regression.fit(matrix, emotions[rows], prior, seed, class_weights, cost=cost)
        return cls(tuple(vectorizer.get_feature_names_out()), vectorizer.idf_, components, fitted)

    def read(self, words: tuple[str, ...]) -> tuple[Floats, Floats]:
        """Return probabilities, float64 (num_turns, 4), and vectors, float64 (num_turns, svd_dimension)."""
        if not words:
            # scikit-learn refuses them.
            return np.zeros((0, NUM_CLASSES)), np.zeros((0, len(self.components)))
        vectorizer = TfidfVectorizer(analyzer=split_terms, sublinear_tf=True, vocabulary=list(self.vocabulary))
        vectorizer.idf_ = self.idf
        matrix = vectorizer.transform(words)
        probabilities = self.regression.answer(matrix @ self.regression.weights)
        probabilities[[not split_terms(spoken) for spoken in words]] = self.regression.prior
        return probabilities, np.asarray(matrix @ self.components.T)


@dataclass(frozen=True, eq=False)
class SpeechReader:
    """The speech of a turn: standardised functionals, and their classifier.

    Attributes:
        mean, deviation: float64 (num_features,), of the training turns that have sound
    """

    mean: Floats
    deviation: Floats
    regression: Regression

    @classmethod
    def fit(
        cls, speech: Floats, emotions: Rows, prior: Floats, seed: int, class_weights: ClassWeights
    ) -> SpeechReader:
        rows = np.flatnonzero(~np.isnan(speech).any(axis=1))
        if not len(rows):
            raise FeatureError(f"none of the {len(speech)} training turns has sound; expected at least one")
        mean, deviation = speech[rows].mean(axis=0), speech[rows].std(axis=0)
        deviation[deviation <= np.abs(mean) * np.finfo(np.float32).eps] = 1.0
        values = (speech[rows] - mean) / deviation
        return cls(mean, deviation, Regression.fit(values, emotions[rows], prior, seed, class_weights))

    def read(self, speech: Floats) -> tuple[Floats, Floats]:
        """Return probabilities, float64 (num_turns, 4), and standardised functionals, 0 where there is no sound."""
        is_lost = np.asarray(np.isnan(speech).any(axis=1))
        values = np.where(is_lost[:, None], 0.0, (speech - self.mean) / self.deviation)
        # Not BLAS, whose sums of one row may depend on how many rows there are.
        probabilities = self.regression.answer(np.einsum("tf,fc->tc", values, self.regression.weights))
        probabilities[is_lost] = self.regression.prior
        return probabilities, values


@dataclass(frozen=True, eq=False)
class TurnClassifier:
    """A turn's own classifier: it reads the turn alone, and is fitted on the turns whose labels train.

    Attributes:
        words, speech: None where they are not read; where both are, their probabilities are averaged
    """

    words: WordReader | None
    speech: SpeechReader | None

    @classmethod
    def fit(
        cls,
        inputs: TurnInputs,
        emotions: Rows,
        svd_dimension: int = 0,
        seed: int = 0,
        class_weights: ClassWeights = ClassWeights.NONE,
        names: Sequence[TurnName] | None = None,
    ) -> TurnClassifier:
        """Fit it on turns of which all have a label.

        Args:
            emotions: int64 (num_turns,), indices into ``CLASSES``
            svd_dimension: numbers of a turn's words in its vector; fewer where there are fewer turns or words
            names: of the turns, for the C of the words' regression by ``choose_cost``; None for 1, where many are
                fitted, one for each fold

        Raises:
            FeatureError: no turn has the words, or the sound, to train on
        """
        prior = share_classes(class_weights, emotions)
        words, speech = None, None
        if inputs.words is not None:
            words = WordReader.fit(inputs.words, emotions, prior, svd_dimension, seed, class_weights, names)
        if inputs.speech is not None:
            speech = SpeechReader.fit(inputs.speech, emotions, prior, seed, class_weights)
        return cls(words, speech)

    @property
    def vectors(self) -> TurnVectors:
        """What is read."""
        if self.words is None:
            return TurnVectors.FUNCTIONALS
        return TurnVectors.TFIDF if self.speech is None else TurnVectors.BOTH

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that are read."""
        return self.vectors.modalities

    @property
    def embedding_source(self) -> str:
        """The origin of the numbers that stand for words, in one sentence."""
        return "TF-IDF of a turn's words, fitted on the training utterances"

    def answer(self, turns: Features) -> tuple[Floats, Floats]:
        """Return what ``read`` does, of the turns of some features; their labels are not read.

        Raises:
            FeatureError: as ``TurnInputs.read``
        """
        return self.read(TurnInputs.read(turns, self.vectors))

    def read(self, inputs: TurnInputs) -> tuple[Floats, Floats]:
        """Return the probabilities of each turn's class, and other numbers that stand for the turn.

        Returns:
            float64 (num_turns, 4), 0 for a class never trained on; and float64 (num_turns, width)
        """
        parts = []
        if self.words is not None and inputs.words is not None:
            parts.append(self.words.read(inputs.words))
        if self.speech is not None and inputs.speech is not None:
            parts.append(self.speech.read(inputs.speech))
        answers, vectors = zip(*parts, strict=True)
        return np.mean(answers, axis=0), np.concatenate(vectors, axis=1)

    def save(self, directory: Path) -> None:
        """Write JSON and ``.npy`` files into ``directory``, which is made where it does not exist."""
        directory.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Floats] = {}
        if self.words is not None:
            arrays |= {"words_idf": self.words.idf, "words_components": self.words.components}
            arrays |= _name_arrays("words", self.words.regression)
        if self.speech is not None:
            arrays |= {"speech_mean": self.speech.mean, "speech_deviation": self.speech.deviation}
            arrays |= _name_arrays("speech", self.speech.regression)
        for name, array in arrays.items():
            with write_then_rename(directory / f"{name}.npy") as stream:
                np.save(stream, array, allow_pickle=False)
        vocabulary = None if self.words is None else self.words.vocabulary
        write_json(directory / _RECORD_NAME, {"vectors": self.vectors, "vocabulary": vocabulary})

    @classmethod
    def load(cls, directory: Path) -> TurnClassifier:
        """Read the files that ``save`` wrote.

        Raises:
            FeatureError: a file is missing or damaged
        """
        try:
            record = read_object(directory / _RECORD_NAME)
            modalities = TurnVectors(record["vectors"]).modalities
            words, speech = None, None
            if "text" in modalities:
                vocabulary = tuple(record["vocabulary"])
                size = len(vocabulary)
                words = WordReader(
                    vocabulary=vocabulary,
                    idf=_load_array(directory, "words_idf", (size,)),
                    components=_load_array(directory, "words_components", (None, size)),
                    regression=_load(directory, "words", size),
                )
            if "speech" in modalities:
                mean = _load_array(directory, "speech_mean", (None,))
                deviation = _load_array(directory, "speech_deviation", mean.shape)
                if not (deviation >= np.finfo(np.float64).tiny).all():
                    raise ValueError(f"speech_deviation has {deviation.min()}; expected deviations above 0")
                speech = SpeechReader(mean, deviation, _load(directory, "speech", len(mean)))
            return cls(words, speech)
        except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise FeatureError(
                f"fitted turns {str(directory)!r}: cannot be read ({one_line(error)}); train the model again"
            ) from error


def _name_arrays(part: str, regression: Regression) -> Mapping[str, Floats]:
    return {
        f"{part}_prior": regression.prior, f"{part}_weights": regression.weights, f"{part}_bias": regression.bias
    }  # fmt: skip


def _load(directory: Path, part: str, num_features: int) -> Regression:
    return Regression(
        prior=_load_array(directory, f"{part}_prior", (NUM_CLASSES,)),
        weights=_load_array(directory, f"{part}_weights", (num_features, NUM_CLASSES)),
        bias=_load_array(directory, f"{part}_bias", (NUM_CLASSES,)),
    )


def _load_array(directory: Path, name: str, shape: tuple[int | None, ...]) -> Floats:
    array = read_npy(directory / f"{name}.npy")
    is_right = len(array.shape) == len(shape) and all(
        expected in (None, found) for found, expected in zip(array.shape, shape, strict=True)
    )
    if array.dtype != np.float64 or not is_right or np.isnan(array).any():
        raise ValueError(f"{name} is {array.dtype.str} {array.shape}; expected <f8 {shape} without NaN")
    return array
