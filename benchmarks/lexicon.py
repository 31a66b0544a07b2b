"""What the words of a lexicon gain beside TF-IDF terms: `python -m benchmarks.lexicon CORPUS`.

A logistic regression (C = 1, classes balanced) over the terms of the four-class utterances of Sessions 1 to 4, with
and without what the lexicon knows of them. Each session and group of scenes is scored by a fit that has read neither.
Printed are both accuracies and their difference with a paired bootstrap over dialogues. Session 5 is not read.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from harness.corpus.index import build_index
from harness.corpus.layout import find_root
from harness.corpus.utterances import CLASSES, Utterance
from harness.features.lexica import Lexicon
from harness.features.text import count_terms, split_terms
from harness.scoring.metrics import confusion_matrix, unweighted_accuracy_of, weighted_accuracy_of
from harness.scoring.significance import paired_bootstrap
from harness.splits.scenes import find_group, group_scenes
from harness.store.records import Prediction

SESSIONS = (1, 2, 3, 4)


def predict(utterances: Sequence[Utterance], lexicon: Lexicon) -> list[Prediction]:
    """Answer each utterance by a regression that has read neither its session nor its group of scenes."""
    groups = group_scenes({one.utterance_id: one.emotion for one in utterances})
    place = np.array([(one.name.session, find_group(groups, one.scene)) for one in utterances])
    texts = np.array([one.transcript or "" for one in utterances], dtype=object)
    emotions = np.array([CLASSES.index(one.emotion) for one in utterances])
    answers = np.zeros((len(utterances), len(CLASSES)))
    for session, group in np.unique(place, axis=0):
        trained = (place[:, 0] != session) & (place[:, 1] != group)
        asked = (place[:, 0] == session) & (place[:, 1] == group)
        vectorizer = TfidfVectorizer(
            analyzer=partial(split_terms, lexicon=lexicon),
            sublinear_tf=True,
            vocabulary=sorted(count_terms(texts[trained], lexicon)),
        )
        regression = LogisticRegression(class_weight="balanced", max_iter=1000)
        regression.fit(vectorizer.fit_transform(texts[trained]), emotions[trained])
        answers[np.ix_(asked, regression.classes_)] = regression.predict_proba(vectorizer.transform(texts[asked]))
    return [
        Prediction(one.utterance_id, one.emotion, CLASSES[int(row.argmax())], tuple(map(float, row)))
        for one, row in zip(utterances, answers, strict=True)
    ]


def count_confusion(predictions: Sequence[Prediction]) -> np.ndarray:
    """Count each class and its answers, int64 (4, 4)."""
    rows = np.array([(CLASSES.index(one.emotion), CLASSES.index(one.predicted)) for one in predictions])
    return confusion_matrix(rows[:, 0], rows[:, 1])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="a corpus in IEMOCAP's layout")
    asked = parser.parse_args(arguments)
    index = build_index(find_root(asked.corpus))
    utterances = [one for one in index.utterances if one.emotion in CLASSES and one.name.session in SESSIONS]
    plain, with_lexicon = (predict(utterances, lexicon) for lexicon in (Lexicon.NONE, Lexicon.VADER))
    print(f"{len(utterances)} utterances")
    for name, metric in (("weighted", weighted_accuracy_of), ("unweighted", unweighted_accuracy_of)):
        found = paired_bootstrap([with_lexicon], [plain], metric, num_resamples=2000)
        before, after = (float(metric(count_confusion(each))) for each in (plain, with_lexicon))
        print(
            f"{name} accuracy: {100 * before:.1f} %, with the lexicon {100 * after:.1f} %; difference "
            f"{100 * found.difference:+.1f} ({100 * found.interval.low:+.1f} to {100 * found.interval.high:+.1f})"
        )


if __name__ == "__main__":
    main()
