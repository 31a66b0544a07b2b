"""Every row from `paper` to `careful` is an experiment that `aup` accepts, and a line of the table."""

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import choices
from harness.scoring.assessment import Assessment, BaselineComparison, Score
from harness.scoring.significance import McNemar
from harness.scoring.statistics import Interval, Spread
from harness.search.experiment_file import read_experiment_file
from harness.store.records import ScoreKind

ROWS = [(reads, row) for reads, rows in choices.ROWS.items() for row in rows()]


@pytest.mark.parametrize(("reads", "row"), ROWS, ids=[f"{reads}: {row.title}" for reads, row in ROWS])
def test_every_row_is_an_experiment_that_is_accepted(reads, row, tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(choices, "run_command", lambda title, folder, *command: commands.append(command))
    choices.run_row(row, tmp_path / "row", tmp_path / "corpus", max_epochs=7, num_seeds=3)
    settings = read_experiment_file(tmp_path / "row" / "experiment.json")
    assert (settings.num_samples, settings.training.max_epochs) == (1, 7)
    for parameter in settings.space.parameters:
        assert parameter.choices == (row.point.get(parameter.name, 0.5),)
    assert {parameter.name for parameter in settings.space.parameters} == set(row.point or {"dropout": 0.5})
    retrain = ("harness", "retrain-best", "--test", "--seeds", "3")
    assert commands == [("aup", "experiment.json"), (*retrain, *(("--with", "svm") if row.added else ()))]


def test_the_rows_add_one_choice_after_the_other():
    first, *_, network, regression, lexicon, last = choices.text_rows()
    assert first.protocol == {"base": "paper"} and not first.added
    assert last.protocol == {"base": "strict", "kept_weights": "smoothed", "scenes": "disjoint"}
    assert first.point.items() < network.point.items() and regression.point.items() < lexicon.point.items()
    assert (network.system, regression.system, last.point) == ("text2", "text_terms", lexicon.point)
    assert [row.title for row in choices.speech_rows() if row.added] == [
        "a support vector machine over functionals answers too"
    ]


def spread(mean, num_values=3):
    return Spread(mean, math.nan, math.nan, math.nan, num_values)


def score(name, mean, low, high, averaged):
    return Score(name, (mean,) * 3, spread(mean), Interval(low, high, 0.95, "dialogues", False), averaged)


def baseline(kind, weighted, unweighted):
    return BaselineComparison(kind, spread(weighted, 1), spread(unweighted, 1), {}, McNemar(0, 0, 1.0))


FOUND = Assessment(
    kind=ScoreKind.VALIDATION_CHOSEN,
    leading="weighted accuracy",
    num_seeds=3,
    num_utterances=40,
    num_dialogues=12,
    scores=(
        score("weighted accuracy", 0.75, 0.714, 0.788, 0.758),
        score("unweighted accuracy", 0.751, 0.699, 0.797, 0.762),
        score("macro F1", 0.1, 0.0, 0.2, 0.1),
    ),
    classes=(),
    groups=(),
    confusion=np.zeros((4, 4)),
    comparisons=(
        baseline(ScoreKind.BASELINE_MAJORITY, 0.4, 0.25),
        baseline(ScoreKind.BASELINE_SPEECH_FOREST, 0.7, 0.6),
        baseline(ScoreKind.BASELINE_TEXT_LOGISTIC, 0.65, 0.69),
    ),
    calibrations=(),
    seed_calibrations=(),
    scenes=(),
    num_without_words=0,
)


@pytest.mark.parametrize(
    ("num_seeds", "of_seeds"),
    [(3, ("; mean of seeds 75.8", "; mean of seeds 76.2")), (1, ("", ""))],
    ids=["seeds", "an ensemble"],
)
def test_a_row_has_both_accuracies_and_the_baseline_of_the_highest_weighted_one(num_seeds, of_seeds):
    row = next(choices.speech_rows())
    assert choices.describe_row(1, row, replace(FOUND, num_seeds=num_seeds)) == (
        f"| 1. paper | 75.0 [71.4, 78.8]{of_seeds[0]} | 75.1 [69.9, 79.7]{of_seeds[1]} | random forest on speech: "
        "70.0, 60.0 |"
    )


def test_a_row_that_has_not_been_run_has_no_scores(tmp_path):
    assert choices.read_row(tmp_path) is None
