"""TF-IDF of terms, and that cross-validation over the sessions chooses the C of the regression on it."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from harness.corpus.utterances import parse_utterance_id
from harness.features.text import split_terms
from harness.models.baselines import BASELINES
from harness.models.hyperparameters import TurnVectors
from harness.models.terms import TERM_COSTS, TermRegression, _number_folds
from harness.models.turns import TurnClassifier, TurnInputs
from tests.invented_features import invent_features


@pytest.mark.parametrize("num_sessions", [1, 3], ids=["dialogues", "sessions"])
def test_cross_validation_chooses_c_and_what_it_scores_has_no_part_in_it(num_sessions):
    generator = np.random.default_rng(0)
    emotions = list(generator.integers(4, size=120))
    # Words of which half tell nothing, so that little regularisation learns them by heart.
    transcripts = [
        " ".join([f"tells{emotion if generator.random() < 0.5 else generator.integers(4)}"]
                 + [f"noise{generator.integers(60)}" for _ in range(6)])
        for emotion in emotions
    ]
    ids = [f"Ses0{1 + row % num_sessions}F_impro{row % 7 + 1:02d}_F{row:03d}" for row in range(120)]
    names = [parse_utterance_id(name) for name in ids]
    regression = TermRegression(LogisticRegression(max_iter=1000), names)
    folds = _number_folds(names)
    assert len(np.unique(folds)) == (5 if num_sessions == 1 else 3)
    by_heart = TermRegression(LogisticRegression(max_iter=1000), names)
    regression.fit(transcripts, np.array(emotions))
    # Labels by chance: nothing is gained by any C. Of noise by heart in every session: the largest.
    by_heart.fit([f"word{row // 10}" for row in range(120)], np.repeat([0, 1, 2, 3] * 3, 10))
    assert regression.cost < TERM_COSTS[-1] and by_heart.cost in TERM_COSTS
    found = regression.predict_proba(transcripts)
    plain = TfidfVectorizer(analyzer=split_terms, sublinear_tf=True, vocabulary=regression._vectorizer.vocabulary)
    matrix = plain.fit_transform(transcripts)
    expected = LogisticRegression(C=regression.cost, max_iter=1000).fit(matrix, emotions).predict_proba(matrix)
    assert found == pytest.approx(expected, abs=1e-3)


def test_a_turns_classifier_with_the_names_of_its_turns_is_the_baseline_of_words():
    train, asked = invent_features(120, cue=1), invent_features(40, cue=1, seed=9)
    names = [utterance.name for utterance in train.utterances]
    inputs = TurnInputs.read(train, TurnVectors.TFIDF)
    classifier = TurnClassifier.fit(inputs, train.emotions, names=names)
    expected = BASELINES["text_logistic"].fit(train, 1).probabilities(asked)
    np.testing.assert_allclose(classifier.answer(asked)[0], expected, atol=1e-6)
    # Many are fitted where a dialogue is read, one for each fold: their C is 1.
    regression = TermRegression(LogisticRegression(max_iter=1000), names)
    regression.fit([utterance.transcript for utterance in train.utterances], train.emotions)
    plain = TurnClassifier.fit(inputs, train.emotions).answer(asked)[0]
    assert np.allclose(plain, expected, atol=1e-6) is (regression.cost == 1.0)
