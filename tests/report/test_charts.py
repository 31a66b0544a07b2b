"""The charts of trials, of the best trial, of costs and of the test set."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.corpus.utterances import CLASSES
from harness.report.chart_style import FIGURE_HEIGHT, PAGE, PAPER
from harness.report.charts import (
    draw_confusion,
    draw_costs,
    draw_dialogue,
    draw_expected_best,
    draw_failures,
    draw_history,
    draw_learning_curves,
    draw_reliability,
    draw_scenes,
)
from harness.report.findings import Findings
from harness.report.statements import describe_expected_best
from harness.report.tables import tabulate_costs, tabulate_expected_best
from harness.store.records import ScoreKind, TrialStatus
from harness.store.store import ResultsStore
from tests.report.pictures import draw_to_svg, rows_of
from tests.report.scored import PROBED, score, score_whole_opening
from tests.report.searches import (
    begin_search,
    begin_trial,
    fail_trial,
    findings_of,
    run_search,
    run_trial,
    with_trials,
)
from tests.scored import answer, answer_dialogues
from tests.store.experiments import an_opening

TURNS = ("F000", "F002", "M002")


@pytest.mark.parametrize("target", ["max", "min"])
def test_history_holds_the_best_so_far(store: ResultsStore, results_path: Path, target: str) -> None:
    run_search(store, num_trials=3, target=target)
    rows = [row for row in rows_of(draw_history(findings_of(results_path), PAPER)) if "best" in row]
    assert [row["score"] for row in rows] == [0.5, 0.625, 0.75, None]
    assert [row["best"] for row in rows] == ([0.5, 0.625, 0.75, 0.75] if target == "max" else [0.5] * 4)
    assert rows[3]["shown"] == "crashed"


def test_history_draws_each_trial_the_failure_and_the_baseline(
    store: ResultsStore, results_path: Path
) -> None:
    run_search(store, num_trials=5)
    svg = draw_to_svg(draw_history(findings_of(results_path), PAPER))
    assert svg.count(PAPER.warning) == 1
    assert svg.count(f'fill="{PAPER.quiet}"') == 5
    assert "always &#39;neutral&#39;: 50.0 %" in svg or "always 'neutral': 50.0 %" in svg


def test_history_of_failures_alone_is_drawn(store: ResultsStore, results_path: Path) -> None:
    fail_trial(store, begin_search(store), 0)
    assert PAPER.warning in draw_to_svg(draw_history(findings_of(results_path), PAPER))


@pytest.mark.parametrize(("target", "height"), [("max", FIGURE_HEIGHT - 8), ("min", 8)])
def test_failures_stand_at_the_end_that_is_worse(
    store: ResultsStore, results_path: Path, target: str, height: int
) -> None:
    run_search(store, num_trials=3, target=target)
    layers = draw_history(findings_of(results_path), PAPER).to_dict()["layer"]
    assert layers[-1]["encoding"]["y"] == {"value": height}


def test_learning_curves_have_the_best_in_front(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=4)
    chart = draw_learning_curves(findings_of(results_path), PAPER)
    rows = rows_of(chart)
    assert [row["trial"] for row in rows if "trial" in row] == [0, 1, 2]
    best = {row["epoch"]: row["accuracy"] for row in rows if row.get("of") == "best: validation"}
    assert best == {1: 0.1875, 2: 0.375, 3: 0.5625, 4: 0.75}
    svg = draw_to_svg(chart)
    assert svg.index(f'stroke="{PAPER.quiet}"') < svg.index(f'stroke="{PAPER.accent}"')


def test_learning_curves_are_drawn_before_any_trial_has_finished(
    store: ResultsStore, results_path: Path
) -> None:
    eid = begin_search(store)
    begin_trial(store, eid, 0, 3, num_epochs=3)
    begin_trial(store, eid, 1, 3, num_epochs=0)
    chart = draw_learning_curves(findings_of(results_path), PAPER)
    assert [row["accuracy"] for row in rows_of(chart)] == [[0.1667, 0.3333, 0.5]]
    assert f'stroke="{PAPER.quiet}"' in draw_to_svg(chart)


def test_confusion_shows_counts_and_shares_of_a_row(searched: Path) -> None:
    chart = draw_confusion(findings_of(searched), PAPER)
    (cell,) = [row for row in rows_of(chart) if (row["said"], row["predicted"]) == ("neutral", "neutral")]
    assert (cell["count"], cell["share"]) == (8, 0.8)
    svg = draw_to_svg(chart)
    assert ">80%<" in svg and ">excitement<" in svg


def test_a_dot_for_each_bin_that_is_used(store: ResultsStore, results_path: Path) -> None:
    score_whole_opening(store, run_search(store))
    for look, width in ((PAPER, 720), (PAGE, "container")):
        spec = draw_reliability(findings_of(results_path), look).to_dict()
        rows = spec["datasets"]["reliability"]
        assert sum(row["utterances"] for row in rows) == 48
        assert all(0 <= row["right"] <= 1 and 0.25 <= row["confidence"] <= 1 for row in rows)
        assert spec["width"] == width


def test_scenes_are_drawn_by_modality_with_the_models_own_score_below(store: ResultsStore, results_path: Path) -> None:
    score_whole_opening(store, run_search(store), probes=PROBED)
    for look, width in ((PAPER, 720), (PAGE, "container")):
        spec = draw_scenes(findings_of(results_path), look).to_dict()
        rows = [(row["reader"], row["scenes"], row["accuracy"]) for row in spec["datasets"]["scenes"]]
        assert rows == [
            ("words", "scenes shared", 0.75),
            ("words", "scored scene left out", 0.25),
            ("speech", "scenes shared", 0.5),
            ("speech", "scored scene left out", 0.5),
            ("the model", "scenes shared", 0.625),
        ]
        assert spec["width"] == width
    picture = draw_scenes(findings_of(results_path), PAPER)
    assert picture.reading[1].startswith("On this synthetic corpus, words alone score 75.0 %")
    svg = draw_to_svg(picture)
    assert ">chance<" in svg and ">75.0%<" in svg and ">scored scene left out<" in svg


def test_the_models_own_pair_is_drawn_where_it_was_trained_without_the_scored_scenes(
    store: ResultsStore, results_path: Path
) -> None:
    opening_id = score_whole_opening(store, run_search(store), probes=PROBED)
    for seed in (1, 2):
        predictions = answer_dialogues([[True, False, False, False]] * 12)
        store.record_test_scores(opening_id, score(seed, ScoreKind.SCENES_LEFT_OUT, predictions))
    rows = rows_of(draw_scenes(findings_of(results_path), PAPER))
    of_model = [(row["scenes"], row["accuracy"]) for row in rows if row.get("reader") == "the model"]
    assert of_model == [("scenes shared", 0.625), ("scored scene left out", 0.25)]


def test_one_dialogue_is_drawn_turn_by_turn_whatever_the_model_has_right_in_it(
    store: ResultsStore, results_path: Path
) -> None:
    eid = run_search(store)
    opening_id = store.record_opening(an_opening(eid, seeds=(1,)))
    answers = [answer(f"Ses05F_impro01_F{turn:03d}", 0, 0) for turn in range(2)]
    # Of as many scored turns, the first by id; the turns F001, M000 and M001 are not scored.
    for dialogue in ("Ses05M_impro02", "Ses05F_impro03"):
        answers += [answer(f"{dialogue}_{name}", emotion, 1) for name, emotion in zip(TURNS, (0, 1, 2), strict=True)]
    store.record_test_scores(opening_id, score(1, ScoreKind.VALIDATION_CHOSEN, answers))
    alone = [answer(found.utterance_id, CLASSES.index(found.emotion), 2) for found in answers]
    store.record_test_scores(opening_id, score(1, ScoreKind.BASELINE_OWN_TURN, alone, epoch=None))
    for look, width in ((PAPER, 720), (PAGE, "container")):
        figure = draw_dialogue(findings_of(results_path), look)
        assert figure.reading[1] == "Of the 3 scored turns of Ses05F_impro03, 1 are right alone and 1 in context."
        assert figure.to_dict()["width"] == width
        assert figure.table is not None and figure.table.rows[0] == (
            *("Ses05F_impro03_F000", "anger", "neutral", "excitement"),
        )
        found = {(row["row"], row["turn"]): row["emotion"] for row in rows_of(figure)}
        assert len(found) == 3 * (3 + 3)
        assert [found[f"F: {row}", 2] for row in ("raters", "turn alone", "in context")] == [
            "excitement", "neutral", "excitement"
        ]  # fmt: skip
        assert {found["F: raters", 1], found["M: raters", 0], found["M: in context", 1]} == {"not scored"}
    svg = draw_to_svg(draw_dialogue(findings_of(results_path), PAPER))
    assert ">M: in context<" in svg and ">not scored<" in svg


def test_a_model_that_reads_no_context_has_one_row_of_answers(store: ResultsStore, results_path: Path) -> None:
    space = [{"name": "context", "range": ["none"], "type": "choice"}]
    eid = run_search(store, system="chain", search_space=json.dumps(space))
    opening_id = store.record_opening(an_opening(eid, seeds=(1,)))
    answers = [answer(f"Ses05F_impro03_{name}", 0, 0) for name in TURNS]
    for kind, epoch in ((ScoreKind.VALIDATION_CHOSEN, 1), (ScoreKind.BASELINE_OWN_TURN, None)):
        store.record_test_scores(opening_id, score(1, kind, answers, epoch=epoch))
    figure = draw_dialogue(findings_of(results_path), PAPER)
    assert figure.reading[1] == "Of the 3 scored turns of Ses05F_impro03, 3 are right alone."
    assert figure.table is not None and figure.table.rows[0] == ("Ses05F_impro03_F000", "anger", "anger")
    assert {row["row"] for row in rows_of(figure)} == {
        f"{speaker}: {row}" for speaker in "FM" for row in ("raters", "turn alone")
    }
    assert "in context<" not in draw_to_svg(figure)


def test_a_system_without_context_has_no_picture_of_a_dialogue(store: ResultsStore, results_path: Path) -> None:
    score_whole_opening(store, run_search(store))
    assert draw_dialogue(findings_of(results_path), PAPER).chart is None


def test_an_evaluation_without_probes_has_no_picture_of_scenes(store: ResultsStore, results_path: Path) -> None:
    score_whole_opening(store, run_search(store))
    assert draw_scenes(findings_of(results_path), PAPER).chart is None


def test_nothing_is_drawn_before_the_test_set_was_scored(store: ResultsStore, results_path: Path) -> None:
    run_search(store)
    assert draw_reliability(findings_of(results_path), PAPER).chart is None
    assert draw_scenes(findings_of(results_path), PAPER).chart is None


def test_sentence_says_what_the_second_half_brought(searched: Path) -> None:
    findings = findings_of(searched)
    text = describe_expected_best(findings)
    assert text.startswith(
        "Going from 5 to 10 trials brought an expected 2.3 points (72.7 % to 75.0 %). These trials cannot show how "
        "much the gain would differ in another search."
    )
    # Each dialogue with two utterances has a right one and a wrong one: the error is below that of utterances, 9.7.
    assert text.endswith("the 20 validation utterances, from a bootstrap over dialogues, is 7.5 points.")


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
    assert describe_expected_best(findings) == "This needs 3 finished trials; 2 finished so far."
    assert tabulate_expected_best(findings).rows == ()


def test_table_halves_the_number_of_trials(searched: Path) -> None:
    findings = findings_of(searched)
    rows = tabulate_expected_best(findings).rows
    assert [row[0] for row in rows] == ["1", "2", "5", "10"]
    assert rows[0][1] == "62.5 %" and rows[-1][1:] == ("75.0 %", "62.0 % to 99.9 %")


def test_table_halves_the_number_of_trials_of_a_long_search(searched: Path) -> None:
    scores = np.random.default_rng(0).random(999).tolist()
    findings = with_trials(findings_of(searched), [], [{}] * 999, scores)
    rows = tabulate_expected_best(findings).rows
    assert [int(row[0]) for row in rows] == [1, 3, 7, 15, 31, 62, 124, 249, 499, 999]
    assert all(" % to " in row[2] for row in rows)


def test_picture_has_a_band_over_the_whole_curve(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=16)
    findings = findings_of(results_path)
    picture = draw_expected_best(findings, PAPER)
    rows = rows_of(picture)
    assert [row["trials"] for row in rows] == list(range(1, 17))
    assert rows[-1]["expected"] == 0.75 and rows[0]["low"] < 0.625 < rows[0]["high"]
    assert all(row["low"] < row["expected"] < row["high"] <= 1 for row in rows)
    assert "The shaded band holds the true line" in picture.caption
    assert "expected best validation accuracy" in draw_to_svg(picture)


@pytest.mark.parametrize("target", ["max", "min"])
def test_a_score_that_is_no_accuracy_has_no_band_which_is_said(searched: Path, target: str) -> None:
    findings = with_trials(findings_of(searched), [], [{}] * 4, [8.0, 4.0, 2.0, 1.0], target=target)
    findings = replace(findings, experiment=replace(findings.experiment, system=""))
    picture = draw_expected_best(findings, PAPER)
    assert not any("low" in row for row in rows_of(picture)) and "area" in draw_to_svg(picture)
    assert {row[2] for row in tabulate_expected_best(findings).rows} == {"not known"}
    assert "There is no confidence band, because this score is no accuracy" in picture.caption


def taking(findings: Findings, seconds: float, num_bytes: int | None = 2**30) -> Findings:
    trials = tuple(
        replace(trial, duration_seconds=seconds * (1 + trial.trial_index), peak_memory_bytes=num_bytes)
        for trial in findings.trials
    )
    return replace(findings, trials=trials, failures=())


def test_time_and_memory_are_summed_up(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=2)
    table = tabulate_costs(taking(findings_of(results_path), 60))
    assert table.rows == (
        ("time of a trial", "1 min 0 s", "2 min 0 s", "3 min 0 s", "6 min 0 s"),
        ("time of an epoch", "1.5 s", "1.5 s", "1.5 s", "12 s"),
        ("peak memory of a trial", "1.1 GB", "1.1 GB", "1.1 GB", ""),
    )
    assert table.note == (
        "3 attempts took 6 min 0 s together; with 1 thread each, at most 6 min 0 s of processor time."
    )


def test_every_attempt_counts_also_those_that_were_made_again(
    store: ResultsStore, results_path: Path
) -> None:
    eid = begin_search(store)
    fail_trial(store, eid, 0)
    run_trial(store, eid, 0, 3, 0.5)
    begin_trial(store, eid, 1, 3)
    findings = findings_of(results_path)
    assert [(trial.trial_index, trial.attempt) for trial in findings.attempts] == [
        (0, 1),
        (0, 2),
        (1, 1),
    ]
    assert tabulate_costs(findings).note.startswith(
        "2 attempts took 1 min 35 s together, 0 s of it in failed attempts;"
    )
    picture = draw_costs(findings, PAPER)
    assert [row["status"] for row in rows_of(picture)] == ["crashed", "finished"]


@pytest.mark.parametrize(
    ("seconds", "num_bytes", "titles"),
    [
        (10.0, 2**29, ["time of a trial, seconds", "peak memory, MB"]),
        (100.0, 2**30, ["time of a trial, minutes", "peak memory, GB"]),
        (7200.0, None, ["time of a trial, hours"]),
    ],
)
def test_axes_name_their_unit(
    store: ResultsStore, results_path: Path, seconds: float, num_bytes: int | None, titles: list[str]
) -> None:
    run_search(store, num_trials=2)
    picture = draw_costs(taking(findings_of(results_path), seconds, num_bytes), PAPER)
    panels = picture.to_dict()["concat"]
    assert [panel["layer"][0]["encoding"]["y"]["title"] for panel in panels] == titles
    assert rows_of(picture)[0]["took"] in ("10 s", "1 min 40 s", "2 h 0 min")


def test_values_are_in_the_axis_unit(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=1)
    picture = draw_costs(taking(findings_of(results_path), 90, 10**9), PAPER)
    assert [(row["seconds"], row["bytes"]) for row in rows_of(picture)] == [(1.5, 1), (3, 1)]
    svg = draw_to_svg(picture)
    assert svg.count(f'stroke="{PAPER.warning}"') == 2 and svg.count(f'fill="{PAPER.quiet}"') == 2


def test_search_without_an_ended_trial_costs_nothing_yet(store: ResultsStore, results_path: Path) -> None:
    begin_trial(store, begin_search(store), 0, 3)
    findings = findings_of(results_path)
    assert draw_costs(findings, PAPER).chart is None
    assert tabulate_costs(findings).rows == () and tabulate_costs(findings).note == ""


def test_failures_are_counted_by_cause(store: ResultsStore, results_path: Path) -> None:
    eid = begin_search(store)
    for trial_index, status in enumerate([TrialStatus.DIVERGED, TrialStatus.CRASHED, TrialStatus.CRASHED]):
        fail_trial(store, eid, trial_index, status)
    picture = draw_failures(findings_of(results_path), PAPER)
    assert [(row["cause"], row["attempts"]) for row in rows_of(picture)] == [("crashed", 2), ("diverged", 1)]
    assert draw_to_svg(picture).count(f'fill="{PAPER.warning}"') == 2


def test_no_failures_are_not_drawn(store: ResultsStore, results_path: Path) -> None:
    run_trial(store, begin_search(store), 0, 1, 0.5)
    assert draw_failures(findings_of(results_path), PAPER).chart is None


@pytest.mark.parametrize("width", [300, 720, 1400])
@pytest.mark.parametrize("num_trials", [2, 3, 4])
def test_no_whole_number_stands_twice_on_an_axis(
    store: ResultsStore, results_path: Path, num_trials: int, width: int
) -> None:
    """With three trials the axis read "0 1 1 2 2"."""
    run_search(store, num_trials=num_trials)
    svg = draw_to_svg(draw_history(findings_of(results_path), replace(PAPER, width=width)))
    labels = [re.findall(r">([0-9]+)</text>", axis) for axis in svg.split("role-axis-label")[1:]]
    trials = next(found for found in labels if found)
    assert trials[0] == "0" and len(trials) == len(set(trials))


def test_no_change_is_never_minus_nothing(searched: Path) -> None:
    findings = findings_of(searched)
    assert findings.expected_best is not None
    findings.__dict__["expected_best"] = replace(findings.expected_best, from_half=-1e-9)
    assert "brought an expected 0.0 points (" in describe_expected_best(findings)
