"""The report's pictures, as Vega-Lite: what came of each trial, and how it learned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

from harness.corpus.utterances import CLASSES
from harness.metrics import confusion_matrix, predicted_classes
from harness.report.findings import Findings
from harness.report.sentences import CLASS_NAMES
from harness.report.tables import write_score
from harness.store.records import TrialStatus

FIGURE_HEIGHT = 300
#: Pixels of a figure that is written to a file; on the page each takes what its column has.
STATIC_WIDTH = 720


@dataclass(frozen=True)
class Palette:
    """Colours by what they are for; on the page CSS variables, so that dark mode is CSS alone.

    Attributes:
        steps: from the lowest scores to the highest
    """

    ink: str
    quiet: str
    grid: str
    accent: str
    second: str
    warning: str
    surface: str
    steps: tuple[str, ...]


#: For files: on white paper.
PAPER = Palette(
    ink="#1d2433",
    quiet="#8a93a6",
    grid="#e3e7ee",
    accent="#0b62d6",
    second="#b4540a",
    warning="#c2283b",
    surface="#ffffff",
    steps=("#c9d3e3", "#9dbbe8", "#5f97e6", "#0b62d6", "#083f8c"),
)
_NAMES = ("ink", "quiet", "grid", "accent", "second", "warning", "surface")
#: For the page, whose style sheet holds the colours of light and dark.
PAGE = Palette(
    **{name: f"var(--{name})" for name in _NAMES}, steps=tuple(f"var(--step{n})" for n in range(1, 6))
)


@dataclass(frozen=True)
class Picture:
    """A chart, and its larger data, which altair would copy and check number by number.

    Attributes:
        chart: names its data
        datasets: rows by name, plain values that JSON has
    """

    chart: alt.TopLevelMixin
    datasets: Mapping[str, Sequence[Mapping[str, Any]]]

    def to_dict(self, validate: bool = True) -> dict[str, Any]:
        """Return the specification in Vega-Lite.

        Args:
            validate: hold the chart, without its data, against Vega-Lite's schema
        """
        spec: dict[str, Any] = self.chart.to_dict(validate=validate)
        return {**spec, "datasets": {**spec.get("datasets", {}), **self.datasets}}


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
    y_axis = _score_axis(findings)
    tooltip = [alt.Tooltip("trial:Q", title="trial"), alt.Tooltip("shown:N", title="score")]
    scored = base.transform_filter("isValid(datum.score)")
    line = base.transform_filter("isValid(datum.best)").mark_line(
        interpolate="step-after", color=palette.accent, strokeWidth=2
    )
    points = scored.mark_circle(size=45 if len(rows) <= 200 else 14, color=palette.quiet, opacity=0.9)
    failed = base.transform_filter(
        f"datum.status !== '{TrialStatus.FINISHED}' && datum.status !== '{TrialStatus.RUNNING}'"
    ).mark_point(shape="cross", size=55, filled=True, color=palette.warning, angle=45)
    bottom = alt.value(FIGURE_HEIGHT - 8)
    layers: list[alt.Chart] = [
        *_draw_baseline(findings, palette),
        line.encode(y=alt.Y("best:Q", **y_axis)),
        points.encode(y=alt.Y("score:Q", **y_axis), tooltip=tooltip),
        failed.encode(y=bottom, tooltip=tooltip),
    ]
    return Picture(alt.layer(*layers).properties(width=width, height=FIGURE_HEIGHT), {"trials": rows})


def draw_learning_curves(findings: Findings, palette: Palette, width: int | str) -> Picture:
    """Draw every trial's validation accuracy by epoch, and the best one in front with its training."""
    best = findings.best
    by_id = {trial.trial_id: trial for trial in findings.trials}
    others = [
        {
            "trial": by_id[trial_id].trial_index,
            "accuracy": [_round(epoch.validation_accuracy) for epoch in epochs],
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
    lines = (
        alt.Chart(alt.NamedData(name="curves"))
        .transform_flatten(["accuracy"])
        .transform_window(epoch="row_number()", groupby=["trial"])
        .mark_line(color=palette.quiet, strokeWidth=1, opacity=0.45 if len(others) <= 100 else 0.2)
        .encode(x=x, y=y, detail="trial:N", tooltip=[alt.Tooltip("trial:N", title="trial")])
    )
    layers: list[alt.Chart] = [*_draw_baseline(findings, palette), lines]
    if best is not None:
        layers += _draw_best_curves(findings, palette, x, y)
    return Picture(alt.layer(*layers).properties(width=width, height=FIGURE_HEIGHT), {"curves": others})


def _draw_best_curves(findings: Findings, palette: Palette, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    assert findings.best is not None
    epochs = findings.epochs.get(findings.best.trial_id, [])
    rows = [
        {"epoch": epoch.epoch, "accuracy": _round(accuracy), "of": of}
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
            "share": _round(counts[row, column] / totals[row]),
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
    return Picture(alt.layer(cells, large, small).properties(width=width, height=FIGURE_HEIGHT), {"cells": rows})


def style(palette: Palette) -> dict[str, Any]:
    """Return Vega-Lite's configuration: fonts and colours of whatever is no mark."""
    axis = {
        "domainColor": palette.quiet,
        "tickColor": palette.quiet,
        "gridColor": palette.grid,
        "labelColor": palette.ink,
        "titleColor": palette.ink,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
    }
    return {
        "background": None if palette is PAGE else palette.surface,
        "font": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
        "axis": axis,
        "legend": {"labelColor": palette.ink, "titleColor": palette.ink, "labelFontSize": 12},
        "view": {"stroke": None},
        "text": {"color": palette.ink},
    }


def _score_axis(findings: Findings) -> dict[str, Any]:
    if findings.scores_are_accuracies:
        return {
            "title": "validation accuracy",
            "axis": alt.Axis(format="%"),
            "scale": alt.Scale(zero=False),
        }
    return {"title": "score", "axis": alt.Axis(), "scale": alt.Scale(zero=False)}


def _draw_baseline(findings: Findings, palette: Palette) -> list[alt.Chart]:
    baseline = findings.baseline
    if baseline is None or not findings.scores_are_accuracies:
        return []
    name = CLASS_NAMES.get(baseline.emotion, str(baseline.emotion))
    row: Mapping[str, Any] = {
        "share": baseline.share,
        "label": f"always '{name}': {100 * baseline.share:.1f} %",
    }
    base = alt.Chart(alt.Data(values=[row])).encode(y="share:Q")
    return [
        base.mark_rule(color=palette.ink, strokeDash=[2, 3], opacity=0.7),
        base.mark_text(align="right", baseline="bottom", dy=-3, color=palette.ink).encode(
            text="label:N", x=alt.value("width")
        ),
    ]


def _round(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None
