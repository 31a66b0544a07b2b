"""The picture of how every trial learned, the best in front."""

from __future__ import annotations

import altair as alt

from harness.report.figures import FIGURE_HEIGHT, Palette, Picture, draw_baseline, rounded
from harness.report.findings import Findings


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
