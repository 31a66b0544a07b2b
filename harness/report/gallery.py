"""Every picture of the report, each with what it shows in words and where its numbers stand."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.confusion import draw_confusion
from harness.report.costs import draw_costs, draw_failures, tabulate_costs
from harness.report.expected_best import (
    describe_expected_best,
    draw_expected_best,
    expected_best_of,
    tabulate_expected_best,
)
from harness.report.figures import PAGE, STATIC_WIDTH, Palette, Picture, failures_place
from harness.report.findings import Findings
from harness.report.history import draw_history
from harness.report.importance import find_joint_importance, list_importances
from harness.report.importance_figure import describe_importance, draw_importance, tabulate_importance
from harness.report.learning_curves import draw_learning_curves
from harness.report.parallel import AXIS_WIDTH, LABEL_ROOM, MAX_LINES, draw_parallel_coordinates
from harness.report.reliability import draw_reliability
from harness.report.scatter import MAX_TRIALS, draw_scatter, list_drawn
from harness.report.tables import Table, tabulate_causes, write_score
from harness.report.test_session import name_opening


@dataclass(frozen=True)
class Figure:
    """One picture.

    Attributes:
        name: of its element and its files
        caption: what it shows, also for those who do not see it
        picture: None where there is nothing to draw yet
        reading: what is to be read from it, in sentences; also where nothing can be drawn, and why
        table: its numbers, where no other table of the page has them
    """

    name: str
    title: str
    caption: str
    picture: Picture | None
    reading: tuple[str, ...] = ()
    table: Table | None = None


def draw_figures(findings: Findings, palette: Palette) -> list[Figure]:
    """Draw every picture of the report.

    Args:
        palette: ``PAGE`` for pictures as wide as their column, ``PAPER`` for files
    """
    width = "container" if palette is PAGE else STATIC_WIDTH
    return [
        _show_history(findings, palette, width),
        _show_learning_curves(findings, palette, width),
        _show_expected_best(findings, palette, width),
        _show_importance(findings, palette, width),
        _show_scatter(findings, palette),
        _show_parallel_coordinates(findings, palette),
        Figure(
            "confusion",
            "Validation confusion of the best trial",
            "Rows are what the raters said, columns what the model said; counts of utterances, and shares of "
            "their row.",
            draw_confusion(findings, palette, width) if findings.predictions else None,
            () if findings.predictions or findings.is_running else ("No predictions have been recorded.",),
        ),
        Figure(
            "costs",
            "Time and memory",
            "How long each attempt took, and the most memory that it held; crosses failed.",
            draw_costs(findings, palette, STATIC_WIDTH),
            table=tabulate_costs(findings),
        ),
        Figure(
            "failures",
            "Failures by cause",
            "Attempts that ended without a score, by what ended them.",
            draw_failures(findings, palette, width),
            () if findings.failures else ("No attempt has failed.",),
            tabulate_causes(findings),
        ),
        _show_reliability(findings, palette, width),
    ]


def _show_history(findings: Findings, palette: Palette, width: int | str) -> Figure:
    has_ended = any(trial.ended_at is not None for trial in findings.trials)
    best = findings.best
    reading = (
        ()
        if best is None
        else (f"The best is trial {best.trial_index}: {write_score(findings, best.score)}.",)
    )
    return Figure(
        "history",
        "Optimisation history",
        f"Each trial's score (dots), the best so far (line) and failed trials (crosses {failures_place(findings)}).",
        draw_history(findings, palette, width) if has_ended else None,
        reading,
    )


def _show_learning_curves(findings: Findings, palette: Palette, width: int | str) -> Figure:
    best = findings.best
    reading: tuple[str, ...] = ()
    if not findings.epochs and not findings.is_running:
        reading = ("No epoch has been recorded.",)
    elif findings.epochs and best is not None and best.best_epoch is not None:
        reading = (f"Validation chose epoch {best.best_epoch} of {best.num_epochs} for the best trial.",)
    return Figure(
        "learning-curves",
        "Learning curves",
        "Validation accuracy of every trial by epoch, the best trial in front with the epoch that validation "
        "chose; dashed, its accuracy on what it trained on.",
        draw_learning_curves(findings, palette, width) if findings.epochs else None,
        reading,
    )


def _show_expected_best(findings: Findings, palette: Palette, width: int | str) -> Figure:
    found = expected_best_of(findings)
    return Figure(
        "expected-best",
        "Were there enough trials?",
        "The best score to expect of a search of so many trials (line): the mean over all ways to choose so many "
        "of the finished ones, each once. Shaded: a 95 % interval (jackknife over trials), up to a quarter of them: "
        "beyond, too few trials decide the best for an interval that holds. The line cannot rise above the best "
        "score seen, and says nothing of trials that were not run.",
        None if found is None else draw_expected_best(findings, found, palette, width),
        (describe_expected_best(findings, found),),
        tabulate_expected_best(findings, found),
    )


def _show_importance(findings: Findings, palette: Palette, width: int | str) -> Figure:
    importances = list_importances(findings)
    num_trials = max((one.num_trials for one in importances), default=0)
    return Figure(
        "importance",
        "Importance of hyperparameters",
        "How much of the variation of the scores' ranks each hyperparameter explains by itself (dot), less what "
        f"chance would; n = {num_trials} finished trials in groups of neighbouring values. The bar is a 95 % "
        "interval; one that begins at 0 says nothing.",
        draw_importance(importances, palette, width),
        tuple(describe_importance(findings, importances, find_joint_importance(findings))),
        tabulate_importance(importances),
    )


def _show_scatter(findings: Findings, palette: Palette) -> Figure:
    drawn, ended = len(list_drawn(findings)), sum(trial.ended_at is not None for trial in findings.trials)
    which = (
        "" if drawn == ended else f" Only {MAX_TRIALS} of {ended} trials, evenly over the search, are drawn."
    )
    return Figure(
        "hyperparameters",
        "Each hyperparameter against the score",
        f"One dot a finished trial, the large one the best; crosses {failures_place(findings)} failed. The short "
        f"lines are medians of trials with neighbouring values, or with the same choice.{which}",
        draw_scatter(findings, palette, STATIC_WIDTH),
    )


def _show_parallel_coordinates(findings: Findings, palette: Palette) -> Figure:
    num_axes = len(findings.search_space) + 1
    segment_width = (STATIC_WIDTH - num_axes * AXIS_WIDTH - 2 * LABEL_ROOM) // max(1, num_axes - 1)
    drawn = min(len(findings.finished), MAX_LINES)
    which = "" if drawn == len(findings.finished) else f" Only the best {drawn} are drawn."
    return Figure(
        "parallel-coordinates",
        "Parallel coordinates",
        "One line a finished trial; the stronger its colour, the better. Drag along an axis to keep the lines "
        f"that pass there; click beside the mark to let go. That needs a mouse or a finger: for the keyboard, the "
        f"table of all trials has the same numbers.{which}",
        draw_parallel_coordinates(findings, palette, segment_width),
    )


def _show_reliability(findings: Findings, palette: Palette, width: int | str) -> Figure:
    scored = findings.scored_opening
    return Figure(
        "reliability",
        "Do the probabilities mean what they say?",
        "On the test set: how often answers of a confidence are right, bin by bin; larger dots have more "
        "utterances. On the dashed line 70 % confidence is right in 70 % of the cases; below it, the model "
        "promises too much.",
        draw_reliability(findings, palette, width),
        () if scored is None else (name_opening(scored),),
    )
