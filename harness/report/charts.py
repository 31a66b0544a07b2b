"""The picture of what came of each trial, in the order of the search.

The picture of how every trial learned, the best in front.

The picture of what the best trial took each class of the validation utterances for.

The picture of whether the model's probabilities mean what they say.

The best score to expect of a search of so many trials, so that one sees whether there were enough.

What a search cost: time and memory of its trials, and what failed of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import altair as alt
import numpy as np

from harness.corpus.utterances import CLASSES
from harness.report.chart_style import (
    CROSS,
    FIGURE_HEIGHT,
    Palette,
    Picture,
    draw_baseline,
    failures_height,
    rounded,
    score_axis,
    shorten,
)
from harness.report.charts_space import PANEL_GAP, PANEL_HEIGHT, count_columns, panel_width
from harness.report.findings import Findings
from harness.report.statements import CLASS_NAMES, plural
from harness.report.tables import Table, trial_seconds, write_score
from harness.scoring.metrics import confusion_matrix, predicted_classes
from harness.scoring.search import ExpectedBest, estimate_expected_best, list_halvings
from harness.store.records import TrialRow, TrialStatus
from harness.wording import write_bytes, write_duration


def draw_history(findings: Findings, palette: Palette, width: int | str) -> Picture:
    """Draw each trial's score by its index, the best so far, the failures and the baseline."""
    best_so_far = math.nan
    better = max if findings.experiment.target == "max" else min
    rows: list[dict[str, Any]] = []
    for trial in findings.trials:
        if trial.score is not None:
            best_so_far = trial.score if math.isnan(best_so_far) else better(best_so_far, trial.score)
        rows.append(
            {
                "trial": trial.trial_index,
                "score": trial.score,
                "best": None if math.isnan(best_so_far) else best_so_far,
                "shown": write_score(findings, trial.score) or str(trial.status),
                "status": str(trial.status),
            }
        )
    base = alt.Chart(alt.NamedData(name="trials")).encode(
        x=alt.X(
            "trial:Q",
            title="trial",
            axis=alt.Axis(tickMinStep=1, format="d"),
            scale=alt.Scale(nice=False, padding=10),
        )
    )
    y_axis = score_axis(findings)
    tooltip = [alt.Tooltip("trial:Q", title="trial"), alt.Tooltip("shown:N", title="score")]
    scored = base.transform_filter("isValid(datum.score)")
    line = base.transform_filter("isValid(datum.best)").mark_line(
        interpolate="step-after", color=palette.accent, strokeWidth=2
    )
    points = scored.mark_circle(size=45 if len(rows) <= 200 else 14, color=palette.quiet, opacity=0.9)
    failures = [str(status) for status in TrialStatus if status.is_failure]
    failed = base.transform_filter(alt.FieldOneOfPredicate(field="status", oneOf=failures)).mark_point(
        shape=CROSS,
        size=55 if len(rows) <= 200 else 25,
        filled=False,
        stroke=palette.warning,
        strokeWidth=2,
        opacity=1,
    )
    layers: list[alt.Chart] = [
        *draw_baseline(findings, palette),
        line.encode(y=alt.Y("best:Q", **y_axis)),
        points.encode(y=alt.Y("score:Q", **y_axis), tooltip=tooltip),
        failed.encode(y=alt.value(failures_height(findings, FIGURE_HEIGHT)), tooltip=tooltip),
    ]
    return Picture(alt.layer(*layers).properties(width=width, height=FIGURE_HEIGHT), {"trials": rows})


def draw_learning_curves(findings: Findings, palette: Palette, width: int | str) -> Picture:
    """Draw every trial's validation accuracy by epoch, and the best one in front with its training."""
    best = findings.best
    by_id = {trial.trial_id: trial for trial in findings.trials}
    others = [
        {
            "trial": by_id[trial_id].trial_index,
            "accuracy": [rounded(epoch.validation_accuracy) for epoch in epochs],
        }
        for trial_id, epochs in findings.epochs.items()
        if trial_id in by_id and (best is None or trial_id != best.trial_id)
    ]
    x = alt.X(
        "epoch:Q",
        title="epoch",
        axis=alt.Axis(tickMinStep=1, format="d"),
        scale=alt.Scale(nice=False, padding=10),
    )
    y = alt.Y("accuracy:Q", title="accuracy", axis=alt.Axis(format="%"), scale=alt.Scale(zero=False))
    opacity = 0.45 if len(others) <= 100 else 0.2 if len(others) <= 300 else 0.08
    lines = (
        alt.Chart(alt.NamedData(name="curves"))
        .transform_flatten(["accuracy"])
        .transform_window(epoch="row_number()", groupby=["trial"])
        .mark_line(color=palette.quiet, strokeWidth=1, opacity=opacity)
        .encode(x=x, y=y, detail="trial:N", tooltip=[alt.Tooltip("trial:N", title="trial")])
    )
    layers: list[alt.Chart] = [*draw_baseline(findings, palette), lines]
    if best is not None:
        layers += _draw_best_curves(findings, palette, x, y)
    return Picture(alt.layer(*layers).properties(width=width, height=FIGURE_HEIGHT), {"curves": others})


def _draw_best_curves(findings: Findings, palette: Palette, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    assert findings.best is not None
    epochs = findings.epochs.get(findings.best.trial_id, [])
    rows = [
        {"epoch": epoch.epoch, "accuracy": rounded(accuracy), "of": of}
        for epoch in epochs
        for of, accuracy in (
            ("best: validation", epoch.validation_accuracy),
            ("best: training", epoch.train_accuracy),
        )
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, y=y)
    names = ["best: validation", "best: training"]
    curves = base.mark_line(strokeWidth=2.5).encode(
        color=alt.Color(
            "of:N",
            scale=alt.Scale(domain=names, range=[palette.accent, palette.second]),
            legend=alt.Legend(
                orient="top", title=None, symbolType="stroke", symbolStrokeWidth=3, labelLimit=220
            ),
        ),
        strokeDash=alt.StrokeDash("of:N", scale=alt.Scale(domain=names, range=[[1, 0], [5, 3]]), legend=None),
        tooltip=[
            alt.Tooltip("of:N", title="curve"),
            alt.Tooltip("epoch:Q"),
            alt.Tooltip("accuracy:Q", format=".1%"),
        ],
    )
    chosen = (
        base.transform_filter(f"datum.epoch === {findings.best.best_epoch or 0} && datum.of === '{names[0]}'")
        .mark_point(
            size=110, filled=True, color=palette.accent, stroke=palette.surface, strokeWidth=2, opacity=1
        )
        .encode(
            tooltip=[alt.Tooltip("epoch:Q", title="chosen epoch"), alt.Tooltip("accuracy:Q", format=".1%")]
        )
    )
    return [curves, chosen]


def draw_confusion(findings: Findings, palette: Palette, width: int | str) -> Picture:
    """Draw what the best trial took each validation utterance for, shaded by share of the class."""
    emotions, predicted = predicted_classes(findings.predictions)
    counts = confusion_matrix(emotions, predicted)
    totals = np.maximum(counts.sum(axis=1), 1)
    names = [CLASS_NAMES[emotion] for emotion in CLASSES]
    rows = [
        {
            "said": names[row],
            "predicted": names[column],
            "count": int(counts[row, column]),
            "share": rounded(counts[row, column] / totals[row]),
        }
        for row in range(len(names))
        for column in range(len(names))
    ]
    base = alt.Chart(alt.NamedData(name="cells")).encode(
        x=alt.X(
            "predicted:N",
            sort=names,
            title="the model said (rows: the raters)",
            axis=alt.Axis(orient="top", labelAngle=0, ticks=False, labelFontSize=11, labelOverlap=False),
        ),
        y=alt.Y("said:N", sort=names, title=None, axis=alt.Axis(ticks=False)),
        tooltip=[
            alt.Tooltip("said:N", title="raters said"),
            alt.Tooltip("predicted:N", title="model said"),
            alt.Tooltip("count:Q", title="utterances"),
            alt.Tooltip("share:Q", title="share of the class", format=".1%"),
        ],
    )
    cells = base.mark_rect(color=palette.accent, stroke=palette.surface, strokeWidth=2).encode(
        opacity=alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.04, 1]), legend=None)
    )
    ink = alt.when("datum.share > 0.5").then(alt.value(palette.surface)).otherwise(alt.value(palette.ink))
    large = base.mark_text(fontSize=15, fontWeight=600, dy=-8).encode(text="count:Q", color=ink)
    small = base.mark_text(fontSize=11, dy=9).encode(text=alt.Text("share:Q", format=".0%"), color=ink)
    return Picture(
        alt.layer(cells, large, small).properties(width=width, height=FIGURE_HEIGHT), {"cells": rows}
    )


def draw_reliability(findings: Findings, palette: Palette, width: int | str) -> Picture | None:
    """Draw accuracy against confidence on the test set, bin by bin; None before it was scored.

    On the dashed line a confidence of 70 % is right in 70 % of the cases; below it the model promises too
    much. The larger a dot, the more utterances are in its bin.

    Args:
        palette: ``PAGE`` for pictures as wide as their column, ``PAPER`` for files
        width: pixels, or ``"container"``
    """
    if findings.scored_opening is None:
        return None
    bins = findings.scored_opening.assessment.calibrations[0].calibration.bins
    rows = [
        {
            "confidence": round(found.mean_confidence, 4),
            "right": round(found.accuracy, 4),
            "utterances": found.num_utterances,
        }
        for found in bins
        if found.num_utterances
    ]
    shares = alt.Scale(domain=[0, 1], nice=False)
    x = alt.X("confidence:Q", title="mean confidence", axis=alt.Axis(format="%"), scale=shares)
    y = alt.Y("right:Q", title="right", axis=alt.Axis(format="%"), scale=shares)
    diagonal = (
        alt.Chart(alt.Data(values=[{"confidence": 0, "right": 0}, {"confidence": 1, "right": 1}]))
        .mark_line(color=palette.ink, strokeDash=[2, 3], opacity=0.7)
        .encode(x=x, y=y)
    )
    base = alt.Chart(alt.NamedData(name="reliability")).encode(x=x, y=y)
    line = base.mark_line(color=palette.accent, strokeWidth=1.5)
    dots = base.mark_circle(
        color=palette.accent, stroke=palette.surface, strokeWidth=1.5, opacity=1
    ).encode(
        size=alt.Size("utterances:Q", scale=alt.Scale(range=[30, 500]), legend=None),
        tooltip=[
            alt.Tooltip("confidence:Q", title="mean confidence", format=".1%"),
            alt.Tooltip("right:Q", format=".1%"),
            alt.Tooltip("utterances:Q"),
        ],
    )
    chart = alt.layer(diagonal, line, dots).properties(width=width, height=FIGURE_HEIGHT)
    return Picture(chart, {"reliability": rows})


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


#: Pixels of a cause's bar with what is between two.
_BAR_HEIGHT = 40
_MINUTE, _HOUR, _MEGABYTE, _GIGABYTE = 60, 3600, 10**6, 10**9


@dataclass(frozen=True)
class Panel:
    """One measure of the attempts.

    Attributes:
        field: of the rows that has its numbers; ``shown`` has them as a person writes them
        unit_size: how many seconds or bytes one step of the axis's numbers is
        most: the largest, in seconds or bytes
    """

    field: str
    shown: str
    title: str
    unit: str
    unit_size: int
    most: float


def list_attempts(findings: Findings) -> list[TrialRow]:
    """Return every attempt that is known, in the order of the trials: the latest of each, and all that failed."""
    attempts = {trial.trial_id: trial for trial in (*findings.trials, *findings.failures)}
    return sorted(attempts.values(), key=lambda trial: (trial.trial_index, trial.attempt))


def tabulate_costs(findings: Findings) -> Table:
    """Say how long trials and epochs took, how much memory they had, and what all of it adds up to."""
    attempts = list_attempts(findings)
    seconds = [took for trial in attempts if (took := trial_seconds(trial)) is not None]
    epochs = [
        epoch.seconds
        for recorded in findings.epochs.values()
        for epoch in recorded
        if np.isfinite(epoch.seconds)
    ]
    memory = [trial.peak_memory_bytes for trial in attempts if trial.peak_memory_bytes]
    rows = []
    if seconds:
        rows.append(("time of a trial", *_spread(seconds, write_duration), write_duration(sum(seconds))))
    if epochs:
        rows.append(("time of an epoch", *_spread(epochs, _write_short), write_duration(sum(epochs))))
    if memory:
        rows.append(("peak memory of a trial", *_spread(memory, write_bytes), ""))
    columns = ("what", "least", "median", "most", "all together")
    return Table(
        "Time and memory",
        columns,
        tuple(rows),
        frozenset(columns[1:]),
        note=_describe_total(findings, seconds),
    )


def _spread(values: Sequence[float], write: Callable[[float], str]) -> tuple[str, str, str]:
    return write(float(min(values))), write(float(np.median(values))), write(float(max(values)))


def _write_short(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else write_duration(seconds)


def _describe_total(findings: Findings, seconds: Sequence[float]) -> str:
    if not seconds:
        return ""
    text = f"{plural(len(seconds), 'attempt')} took {write_duration(sum(seconds))} together"
    if findings.failures:
        failed = sum(trial_seconds(trial) or 0.0 for trial in findings.failures)
        text += f", {write_duration(failed)} of it failed ones"
    if findings.environment is not None:
        threads = findings.environment.threads
        text += (
            f"; with {plural(threads, 'thread')} each, at most {write_duration(threads * sum(seconds))} of "
            "processor time"
        )
    experiment = findings.experiment
    if experiment.ended_at is None or experiment.ended_at < experiment.created_at:
        return f"{text}."
    began, ended = (datetime.fromisoformat(time) for time in (experiment.created_at, experiment.ended_at))
    whole = write_duration((ended - began).total_seconds())
    return f"{text}. From the search's beginning to its end: {whole}."


def draw_costs(findings: Findings, palette: Palette, width: int) -> Picture | None:
    """Draw each attempt's time and peak memory by its trial; None where none has ended.

    Args:
        width: pixels of both panels of a row together
    """
    rows: list[dict[str, Any]] = []
    for trial in list_attempts(findings):
        took = trial_seconds(trial)
        if took is None:
            continue
        row: dict[str, Any] = {"trial": trial.trial_index, "status": str(trial.status), "seconds": took}
        row["took"] = write_duration(took)
        if trial.peak_memory_bytes:
            row |= {"bytes": trial.peak_memory_bytes, "memory": write_bytes(trial.peak_memory_bytes)}
        rows.append(row)
    if not rows:
        return None
    panels = _list_panels(rows)
    for panel in panels:
        for row in rows:
            if panel.field in row:
                row[panel.field] = shorten(row[panel.field] / panel.unit_size)
    columns = count_columns(len(panels), width)
    drawn = [
        _draw_panel(palette, panel, is_crowded=len(rows) > 200).properties(
            width=panel_width(columns, width), height=PANEL_HEIGHT
        )
        for panel in panels
    ]
    return Picture(alt.concat(*drawn, columns=columns, spacing=PANEL_GAP), {"attempts": rows})


def _list_panels(rows: Sequence[Mapping[str, Any]]) -> list[Panel]:
    most_seconds = max(1.0, *(row["seconds"] for row in rows))
    unit, size = ("seconds", 1)
    if most_seconds >= 2 * _MINUTE:
        unit, size = ("minutes", _MINUTE) if most_seconds < 2 * _HOUR else ("hours", _HOUR)
    panels = [Panel("seconds", "took", "time of a trial", unit, size, most_seconds)]
    most_bytes = max(row.get("bytes", 0) for row in rows)
    if most_bytes:
        unit, size = ("GB", _GIGABYTE) if most_bytes >= _GIGABYTE else ("MB", _MEGABYTE)
        panels.append(Panel("bytes", "memory", "peak memory", unit, size, most_bytes))
    return panels


def _draw_panel(palette: Palette, panel: Panel, is_crowded: bool) -> alt.LayerChart:
    base = (
        alt.Chart(alt.NamedData(name="attempts"))
        .transform_filter(f"isValid(datum.{panel.field})")
        .encode(
            x=alt.X(
                "trial:Q",
                title="trial",
                axis=alt.Axis(tickMinStep=1, tickCount=5, format="d", grid=False),
                scale=alt.Scale(nice=False, zero=False, padding=8),
            ),
            y=alt.Y(
                f"{panel.field}:Q",
                title=f"{panel.title}, {panel.unit}",
                axis=alt.Axis(tickCount=4, minExtent=36, maxExtent=36, labelLimit=36, format=",.2~f"),
                scale=alt.Scale(domain=[0, panel.most / panel.unit_size], nice=True),
            ),
            tooltip=[
                alt.Tooltip("trial:Q", title="trial"),
                alt.Tooltip(f"{panel.shown}:N", title=panel.title),
                alt.Tooltip("status:N", title="how it ended"),
            ],
        )
    )
    size, opacity = (14, 0.6) if is_crowded else (36, 0.9)
    finished = base.transform_filter(f"datum.status === '{TrialStatus.FINISHED}'").mark_circle(
        size=size, color=palette.quiet, opacity=opacity
    )
    failed = base.transform_filter(f"datum.status !== '{TrialStatus.FINISHED}'").mark_point(
        shape=CROSS, size=45, filled=False, stroke=palette.warning, strokeWidth=2, opacity=1
    )
    return alt.layer(finished, failed)


def draw_failures(findings: Findings, palette: Palette, width: int | str) -> Picture | None:
    """Draw how many attempts ended by which cause; None where none failed."""
    counts = Counter(str(trial.status) for trial in findings.failures)
    if not counts:
        return None
    rows = [{"cause": cause, "attempts": count} for cause, count in counts.most_common()]
    base = alt.Chart(alt.NamedData(name="causes")).encode(
        y=alt.Y("cause:N", sort=[str(row["cause"]) for row in rows], title=None, axis=alt.Axis(ticks=False)),
        x=alt.X(
            "attempts:Q",
            # The numbers stand at the bars.
            axis=None,
            scale=alt.Scale(nice=False, domain=[0, 1.12 * counts.most_common(1)[0][1]]),
        ),
        tooltip=[alt.Tooltip("cause:N", title="cause"), alt.Tooltip("attempts:Q", title="attempts")],
    )
    bars = base.mark_bar(color=palette.warning, opacity=0.85, height=20)
    numbers = base.mark_text(align="left", dx=6, fontSize=12, fontWeight=600, color=palette.ink).encode(
        text="attempts:Q"
    )
    chart = alt.layer(bars, numbers).properties(width=width, height=_BAR_HEIGHT * len(rows))
    return Picture(chart, {"causes": rows})
