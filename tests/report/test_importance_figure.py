import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.report.chart_style import PAPER
from harness.report.charts_space import draw_importance
from harness.report.importance import (
    Importance,
    JointImportance,
    describe_importance,
    list_importances,
    tabulate_importance,
)
from tests.report.pictures import draw_to_svg, rows_of
from tests.report.searches import findings_of, with_trials

CLEAR = Importance("adamlr", 0.61, 0.4, 0.82, 3, 30)
UNCLEAR = Importance("dropout", 0.04, 0.0, 0.31, 3, 30)
NOTHING = Importance("finalfc", 0.0, 0.0, 0.2, 3, 30)
WITHOUT = Importance("optimizer", 0.9, math.nan, math.nan, 29, 30)


def test_clear_and_unclear_hyperparameters_are_told_apart(searched: Path) -> None:
    assert describe_importance(findings_of(searched), [CLEAR, UNCLEAR, NOTHING], None) == [
        "More than chance: adamlr (40 to 82 %).",
        "The intervals of the other 2 hold 0: the trials do not show that they matter.",
        "Left to combinations of several, to differences within a group, and to chance: 35.0 %.",
    ]


def test_trials_that_show_nothing_are_said_to(searched: Path) -> None:
    assert describe_importance(findings_of(searched), [UNCLEAR, NOTHING], None)[0] == (
        "Every interval holds 0: 30 trials do not show that any of them matters."
    )


def test_a_share_without_an_interval_is_not_said_to_hold_0(searched: Path) -> None:
    nothing_known = "No interval can be given for optimizer: too few trials share a value there, or all do."
    findings = findings_of(searched)
    assert describe_importance(findings, [CLEAR, WITHOUT], None)[:2] == [
        "More than chance: adamlr (40 to 82 %).",
        nothing_known,
    ]
    assert describe_importance(findings, [UNCLEAR, WITHOUT], None)[:2] == [
        "Every interval holds 0: 30 trials do not show that any of them matters.",
        nothing_known,
    ]
    assert describe_importance(findings, [WITHOUT], None)[0] == nothing_known
    assert tabulate_importance([WITHOUT]).rows == (("optimizer", "90.0 %", "", "29", "30"),)


@pytest.mark.parametrize(("num_values", "said"), [(28, "%"), (30, "each trial has another value")])
def test_a_share_without_an_interval_comes_last(searched: Path, num_values: int, said: str) -> None:
    generator = np.random.default_rng(0)
    space = [
        {"name": "one by one", "range": [f"v{number}" for number in range(num_values)], "type": "choice"},
        {"name": "adamlr", "range": [0, 1], "type": "float"},
    ]
    values = generator.random(30)
    points = [{"one by one": f"v{number % num_values}", "adamlr": float(value)} for number, value in enumerate(values)]
    findings = with_trials(findings_of(searched), space, points, (values + 0.1 * generator.random(30)).tolist())
    first, last = list_importances(findings)
    assert (first.name, first.has_interval, last.name, last.has_interval) == ("adamlr", True, "one by one", False)
    assert describe_importance(findings, [first, last], None)[1].startswith("No interval can be given for one by")
    assert tabulate_importance([first, last]).rows[1][1].endswith(said)


@pytest.mark.parametrize(
    ("joint", "sentence"),
    [
        (
            JointImportance(("adamlr", "dropout"), 0.2, 0.001),
            "adamlr and dropout explain 20.0 % more together than each by itself: how much one matters "
            "depends on the other.",
        ),
        (
            JointImportance(("adamlr", "dropout"), 0.2, 0.2),
            "No pair explains clearly more together than each of the two by itself.",
        ),
    ],
    ids=["more", "no more"],
)
def test_pairs_are_told(searched: Path, joint: JointImportance, sentence: str) -> None:
    assert describe_importance(findings_of(searched), [CLEAR], joint)[-1] == sentence


@pytest.mark.parametrize(("proposer", "is_warned"), [("random", False), ("hyperopt", True), ("", False)])
def test_proposer_that_learns_is_named(searched: Path, proposer: str, is_warned: bool) -> None:
    findings = findings_of(searched)
    changed = replace(findings.experiment, settings=f'{{"proposer": "{proposer}"}}')
    said = describe_importance(replace(findings, experiment=changed), [CLEAR], None)
    assert ("'hyperopt' may choose its points by earlier scores" in said[-1]) == is_warned


def test_few_trials_are_said_to_be_few(searched: Path) -> None:
    assert describe_importance(findings_of(searched), [], None) == [
        "From 12 finished trials on; 10 trials so far."
    ]


def test_equal_scores_are_not_drawn(searched: Path) -> None:
    equal = replace(CLEAR, share=math.nan, low=math.nan, high=math.nan)
    assert draw_importance(findings_of(searched), [equal], None, PAPER).chart is None
    assert describe_importance(findings_of(searched), [equal], None) == [
        "All finished trials have the same score: there is nothing to explain."
    ]
    assert tabulate_importance([equal]).rows == (("adamlr", "all scores are equal", "", "3", "30"),)


def test_table_and_picture_have_every_share_with_its_interval(searched: Path) -> None:
    assert tabulate_importance([CLEAR, UNCLEAR]).rows == (
        ("adamlr", "61.0 %", "40 to 82 %", "3", "30"),
        ("dropout", "4.0 %", "0 to 31 %", "3", "30"),
    )
    picture = draw_importance(findings_of(searched), [CLEAR, UNCLEAR], None, PAPER)
    assert [(row["name"], row["low"], row["share"], row["high"]) for row in rows_of(picture)] == [
        ("adamlr", 0.4, 0.61, 0.82),
        ("dropout", 0.0, 0.04, 0.31),
    ]
    svg = draw_to_svg(picture)
    assert svg.index(">adamlr<") < svg.index(">dropout<") and svg.count(f'fill="{PAPER.accent}"') == 2
