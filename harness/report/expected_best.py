"""The best score to expect of a search of so many trials, so that one sees whether there were enough."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np

from harness.report.figures import FIGURE_HEIGHT, Palette, Picture, score_axis, shorten
from harness.report.findings import Findings
from harness.report.sentences import plural
from harness.report.tables import Table, write_score
from harness.scoring.expected_best import ExpectedBest, estimate_expected_best, list_halvings

#: Finished trials below which a curve over their number is not drawn.
MIN_TRIALS = 3


def expected_best_of(findings: Findings) -> ExpectedBest | None:
    """Estimate it of the finished trials; None where there are fewer than three."""
    if len(findings.finished) < MIN_TRIALS:
        return None
    scores = np.array([trial.score for trial in findings.finished], dtype=np.float64)
    return estimate_expected_best(scores, findings.experiment.target)


def describe_expected_best(findings: Findings, found: ExpectedBest | None) -> str:
    """Say in words what the second half of the trials brought, and whether validation could tell."""
    if found is None:
        return f"From {MIN_TRIALS} finished trials on; {plural(len(findings.finished), 'trial')} so far."
    num_trials = len(findings.finished)
    half = max(1, num_trials // 2)
    before, after = (
        write_score(findings, float(found.expected[np.searchsorted(found.num_trials, count)]))
        for count in (half, num_trials)
    )
    unit = " points" if findings.scores_are_accuracies else ""
    text = (
        f"Going from {half} to {num_trials} trials brought an expected {_write_gain(findings, found.from_half)}{unit} "
        f"({before} to {after}). How far another search's gain would lie from it, these trials cannot say."
    )
    if findings.scores_are_accuracies and findings.predictions and findings.best is not None:
        share = findings.best.score or 0.0
        error = (share * (1 - share) / len(findings.predictions)) ** 0.5
        text += (
            f" For comparison: one standard error of an accuracy over the {len(findings.predictions)} "
            f"validation utterances is {100 * error:.1f} points."
        )
    return text


def _write_gain(findings: Findings, gain: float) -> str:
    return f"{100 * gain:.1f}" if findings.scores_are_accuracies else f"{gain:.3g}"


def tabulate_expected_best(findings: Findings, found: ExpectedBest | None) -> Table:
    """List the expected best of all finished trials, of half of them, and so on."""
    rows = []
    if found is not None:
        for count in list_halvings(int(found.num_trials[-1])):
            at = int(np.searchsorted(found.num_trials, count))
            interval = "not known"
            if not np.isnan(found.low[at]):
                low, high = (write_score(findings, float(bound[at])) for bound in (found.low, found.high))
                interval = f"{low} to {high}"
            rows.append((str(count), write_score(findings, float(found.expected[at])), interval))
    columns = ("trials", "expected best", "95 % interval")
    return Table("Expected best score", columns, tuple(rows), frozenset(columns))


def draw_expected_best(
    findings: Findings, found: ExpectedBest, palette: Palette, width: int | str
) -> Picture:
    """Draw the expected best by the number of trials, and its interval as far as it is known."""
    rows: list[dict[str, Any]] = []
    for count, mean, low, high in zip(found.num_trials, found.expected, found.low, found.high, strict=True):
        row = {"trials": int(count), "expected": shorten(mean), "shown": write_score(findings, float(mean))}
        if not np.isnan(low):
            row |= {"low": shorten(low), "high": shorten(high)}
        rows.append(row)
    y = score_axis(findings)
    y["title"] = "expected best " + ("validation accuracy" if findings.scores_are_accuracies else "score")
    x = alt.X(
        "trials:Q",
        title="finished trials",
        axis=alt.Axis(tickMinStep=1, format="d"),
        scale=alt.Scale(nice=False, padding=10),
    )
    base = alt.Chart(alt.NamedData(name="expected")).encode(x=x)
    band = (
        base.transform_filter("isValid(datum.low)")
        .mark_area(color=palette.accent, opacity=0.16)
        .encode(y=alt.Y("low:Q", **y), y2="high:Q")
    )
    line = base.mark_line(color=palette.accent, strokeWidth=2.5).encode(y=alt.Y("expected:Q", **y))
    points = base.mark_circle(color=palette.accent, size=40 if len(rows) <= 40 else 10, opacity=1).encode(
        y=alt.Y("expected:Q", **y),
        tooltip=[alt.Tooltip("trials:Q", title="trials"), alt.Tooltip("shown:N", title="expected best")],
    )
    return Picture(
        alt.layer(band, line, points).properties(width=width, height=FIGURE_HEIGHT), {"expected": rows}
    )
