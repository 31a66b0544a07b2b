"""The picture of whether the model's probabilities mean what they say."""

from __future__ import annotations

import altair as alt

from harness.report.figures import FIGURE_HEIGHT, Palette, Picture
from harness.report.findings import Findings


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
