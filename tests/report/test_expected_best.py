from pathlib import Path

import numpy as np

from harness.report.chart_style import PAPER
from harness.report.charts import draw_expected_best
from harness.report.statements import describe_expected_best
from harness.report.tables import tabulate_expected_best
from harness.store.store import ResultsStore
from tests.report.pictures import draw_to_svg, rows_of
from tests.report.searches import begin_search, findings_of, run_search, run_trial, with_trials


def test_sentence_says_what_the_second_half_brought(searched: Path) -> None:
    findings = findings_of(searched)
    text = describe_expected_best(findings)
    assert text.startswith(
        "Going from 5 to 10 trials brought an expected 2.3 points (72.7 % to 75.0 %). How far another search's gain "
        "would lie from it, these trials cannot say."
    )
    assert text.endswith("one standard error of an accuracy over the 20 validation utterances is 9.7 points.")


def test_score_that_is_no_accuracy_has_no_points(searched: Path) -> None:
    findings = with_trials(findings_of(searched), [], [{}] * 4, [8.0, 4.0, 2.0, 1.0], target="min")
    text = describe_expected_best(findings)
    assert text.startswith("Going from 2 to 4 trials brought an expected 0.833 (1.833 to 1). ")
    assert "points" not in text and "%" not in text


def test_two_trials_are_too_few(store: ResultsStore, results_path: Path) -> None:
    eid = begin_search(store)
    run_trial(store, eid, 0, 2, 0.5)
    run_trial(store, eid, 1, 2, 0.6)
    findings = findings_of(results_path)
    assert findings.expected_best is None
    assert describe_expected_best(findings) == "From 3 finished trials on; 2 trials so far."
    assert tabulate_expected_best(findings).rows == ()


def test_table_halves_the_number_of_trials(searched: Path) -> None:
    findings = findings_of(searched)
    rows = tabulate_expected_best(findings).rows
    assert [row[0] for row in rows] == ["1", "2", "5", "10"]
    assert rows[0][1] == "62.5 %" and rows[-1][1:] == ("75.0 %", "not known")


def test_table_halves_the_number_of_trials_of_a_long_search(searched: Path) -> None:
    scores = np.random.default_rng(0).random(999).tolist()
    findings = with_trials(findings_of(searched), [], [{}] * 999, scores)
    rows = tabulate_expected_best(findings).rows
    assert [int(row[0]) for row in rows] == [1, 3, 7, 15, 31, 62, 124, 249, 499, 999]
    assert [row[2] != "not known" for row in rows] == [True] * 8 + [False] * 2


def test_picture_has_the_interval_where_it_holds(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=16)
    findings = findings_of(results_path)
    picture = draw_expected_best(findings, PAPER)
    rows = rows_of(picture)
    assert [row["trials"] for row in rows] == list(range(1, 17))
    assert rows[-1]["expected"] == 0.75 and rows[0]["low"] < 0.625 < rows[0]["high"]
    assert [row["trials"] for row in rows if "low" in row] == [1, 2, 3, 4]
    assert "expected best validation accuracy" in draw_to_svg(picture)
