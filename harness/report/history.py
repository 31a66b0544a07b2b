"""The picture of what came of each trial, in the order of the search."""

from __future__ import annotations

import math
from typing import Any

import altair as alt

from harness.report.figures import (
    CROSS,
    FIGURE_HEIGHT,
    Palette,
    Picture,
    draw_baseline,
    failures_height,
    score_axis,
)
from harness.report.findings import Findings
from harness.report.tables import write_score
from harness.store.records import TrialStatus


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
    failed = base.transform_filter(
        f"datum.status !== '{TrialStatus.FINISHED}' && datum.status !== '{TrialStatus.RUNNING}'"
    ).mark_point(
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
