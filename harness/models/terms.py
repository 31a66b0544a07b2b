"""TF-IDF over words, sentence marks and pairs, and a logistic regression whose C cross-validation chooses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from harness.corpus.utterances import TurnName
from harness.features.text import count_terms, split_terms

Probabilities = npt.NDArray[np.float64]

#: The values of C that cross-validation chooses from, and the folds of a single session. Ours.
TERM_COSTS, NUM_FOLDS = (0.3, 1.0, 3.0), 5


def term_vectorizer(transcripts: Sequence[str]) -> TfidfVectorizer:
    """Return TF-IDF over the terms of some transcripts, those of ``count_terms``; it is not fitted yet."""
    return TfidfVectorizer(analyzer=split_terms, sublinear_tf=True, vocabulary=sorted(count_terms(transcripts)))


def choose_cost(
    regression: LogisticRegression,
    names: Sequence[TurnName],
    transcripts: Sequence[str],
    emotions: npt.NDArray[np.int64],
) -> float:
    """Return the C of ``TERM_COSTS`` with the highest sum of weighted and unweighted accuracy in cross-validation.

    Both are of all folds together: each session, or dialogues in ``NUM_FOLDS`` parts where there is one session. Where
    fewer than two folds leave two classes to train on, it is 1.

    Args:
        regression: begins where it ended (``warm_start``) to save time; it stays as it is
        names: of the utterances, in the order of the transcripts
        emotions: int64 (num_utterances,)
    """
    folds = _number_folds(names)
    parts = [(folds != fold, folds == fold) for fold in np.unique(folds)]
    parts = [(trained, asked) for trained, asked in parts if len(np.unique(emotions[trained])) > 1]
    if len(parts) < 2:
        return 1.0
    predicted = np.full((len(TERM_COSTS), len(emotions)), -1)
    for trained, asked in parts:
        predicted[:, asked] = _predict_all(regression, transcripts, emotions, trained, asked)
    scores = [(each == emotions).mean() + _mean_recall(emotions, each) for each in predicted]
    return TERM_COSTS[int(np.argmax(scores))]


class TermRegression:
    """``term_vectorizer`` and a logistic regression with the C of ``choose_cost``.

    Attributes:
        cost: the chosen C
    """

    def __init__(self, regression: LogisticRegression, names: Sequence[TurnName]) -> None:
        """Take a regression, and the name of each utterance that ``fit`` is given."""
        self._regression = regression
        self._names = names
        self._vectorizer = TfidfVectorizer()
        self.cost = 1.0

    def fit(self, transcripts: Sequence[str], emotions: npt.NDArray[np.int64]) -> None:
        self.cost = choose_cost(self._regression, self._names, transcripts, emotions)
        self._vectorizer = term_vectorizer(transcripts)
        matrix = self._vectorizer.fit_transform(transcripts)
        self._regression = clone(self._regression).set_params(C=self.cost).fit(matrix, emotions)

    def predict_proba(self, transcripts: Sequence[str]) -> Probabilities:
        return np.asarray(self._regression.predict_proba(self._vectorizer.transform(transcripts)))


def _number_folds(names: Sequence[TurnName]) -> npt.NDArray[np.int64]:
    sessions = np.array([name.session for name in names])
    if len(np.unique(sessions)) > 1:
        return sessions
    dialogues = np.unique([name.dialogue_id for name in names], return_inverse=True)[1]
    return np.asarray(dialogues % NUM_FOLDS)


def _predict_all(
    regression: LogisticRegression,
    transcripts: Sequence[str],
    emotions: npt.NDArray[np.int64],
    trained: npt.NDArray[np.bool_],
    asked: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """Return what each of ``TERM_COSTS`` answers, int64 (num_costs, num_asked)."""
    known, new = (list(compress(transcripts, rows)) for rows in (trained, asked))
    vectorizer, fitted = term_vectorizer(known), clone(regression)
    matrix, scored = vectorizer.fit_transform(known), vectorizer.transform(new)
    return np.array(
        [fitted.set_params(C=cost).fit(matrix, emotions[trained]).predict(scored) for cost in TERM_COSTS]
    )


def _mean_recall(emotions: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64]) -> float:
    return float(np.mean([(predicted[emotions == emotion] == emotion).mean() for emotion in np.unique(emotions)]))
