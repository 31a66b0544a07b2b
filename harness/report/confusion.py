"""The picture of what the best trial took each class of the validation utterances for."""

from __future__ import annotations

import altair as alt
import numpy as np

from harness.corpus.utterances import CLASSES
from harness.report.figures import FIGURE_HEIGHT, Palette, Picture, rounded
from harness.report.findings import Findings
from harness.report.sentences import CLASS_NAMES
from harness.scoring.metrics import confusion_matrix, predicted_classes


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
