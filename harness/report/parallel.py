"""Parallel coordinates that can be brushed: one axis a hyperparameter, one line a trial, the score last."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from harness.report.figures import FIGURE_HEIGHT, Palette, Picture, title_tooltip
from harness.report.findings import Findings, SearchedHyperparameter
from harness.store.records import TrialRow

#: Lines that are drawn; above it the best ones, since a browser follows a brush no longer.
MAX_LINES = 300
#: Pixels of the strip at each axis that takes the brush.
AXIS_WIDTH = 18
#: What a strip between two axes is named, so that the page can set its width.
SEGMENT_PREFIX = "segment"
#: Pixels between an axis's title and its upper end.
TITLE_GAP = 12
#: Pixels beside the first and the last axis, for what stands at their ticks.
LABEL_ROOM = 56

_DATASET = "lines"


@dataclass(frozen=True)
class Axis:
    """One axis: a hyperparameter, or the score.

    Attributes:
        values: of each line, as the axis shows them; the index of a choice
        domain: lowest and highest value that the axis shows
    """

    title: str
    values: tuple[float, ...]
    domain: tuple[float, float]
    choices: tuple[str, ...] = ()
    is_log: bool = False
    is_share: bool = False

    def height_of(self, value: float) -> float:
        """Return where on the axis a value is, from 0 at its bottom to 1."""
        low, high = self.domain
        if self.is_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return round((value - low) / (high - low), 4)


def list_lines(findings: Findings) -> list[TrialRow]:
    """Return the best finished trials that have every searched hyperparameter, at most ``MAX_LINES``."""
    names = {searched.name for searched in findings.search_space}
    whole = [trial for trial in findings.finished if names <= trial.hyperparameters.keys()]
    return whole[:MAX_LINES]


def build_axes(findings: Findings, lines: Sequence[TrialRow]) -> list[Axis]:
    """Return an axis for each searched hyperparameter, and the score's."""
    axes = [_hyperparameter_axis(searched, lines) for searched in findings.search_space]
    scores = tuple(float(trial.score or 0.0) for trial in lines)
    is_share = findings.scores_are_accuracies
    return [*axes, Axis("score", scores, _pad(min(scores), max(scores)), is_share=is_share)]


def _hyperparameter_axis(searched: SearchedHyperparameter, lines: Sequence[TrialRow]) -> Axis:
    tried = [trial.hyperparameters[searched.name] for trial in lines]
    if searched.choices:
        indices = tuple(float(searched.choices.index(str(value))) for value in tried)
        return Axis(searched.name, indices, (-0.5, len(searched.choices) - 0.5), searched.choices)
    numbers = tuple(float(value or 0) for value in tried)
    return Axis(searched.name, numbers, _pad(searched.low, searched.high), is_log=searched.is_log)


def _pad(low: float, high: float) -> tuple[float, float]:
    if low < high:
        return low, high
    room = abs(low) / 2 or 0.5
    return low - room, high + room


def draw_parallel_coordinates(findings: Findings, palette: Palette, segment_width: int) -> Picture | None:
    """Draw the finished trials' points; dragging along an axis keeps the lines that pass there.

    Args:
        segment_width: pixels between two axes

    Returns:
        None where no trial has finished, or nothing was searched
    """
    lines = list_lines(findings)
    if not lines or not findings.search_space:
        return None
    axes = build_axes(findings, lines)
    # The best line is drawn last, over the others.
    rows = [_describe_line(axes, number, trial) for number, trial in enumerate(lines)][::-1]
    data = alt.NamedData(name=_DATASET)
    brushes = [
        alt.selection_interval(
            name=f"brush{number}",
            encodings=["y"],
            mark=alt.BrushConfig(fill=palette.accent, fillOpacity=0.25, stroke=palette.accent),
        )
        for number in range(len(axes))
    ]
    is_kept: Any = brushes[0]
    for brush in brushes[1:]:
        is_kept = is_kept & brush
    line = _LineStyle(palette, axes, is_kept, segment_width + AXIS_WIDTH)
    views: list[alt.Chart | alt.LayerChart] = []
    for number, axis in enumerate(axes):
        if number:
            views.append(_draw_segment(data, number, line, segment_width))
        views.append(
            _draw_axis(data, axis, number, line, is_last=number == len(axes) - 1, brush=brushes[number])
        )
    return Picture(alt.hconcat(*views, spacing=0, bounds="flush"), {_DATASET: rows})


@dataclass(frozen=True)
class _LineStyle:
    palette: Palette
    axes: Sequence[Axis]
    is_kept: Any
    title_limit: int

    def color(self) -> alt.Color:
        return alt.Color(
            "score_height:Q",
            scale=alt.Scale(type="quantize", domain=[0, 1], range=list(self.palette.steps)),
            legend=None,
        )

    def opacity(self) -> Any:
        return alt.when(self.is_kept).then(alt.value(0.85)).otherwise(alt.value(0.06))

    def tooltip(self) -> list[alt.Tooltip]:
        fields = [alt.Tooltip("trial:N", title="trial")]
        return fields + [
            alt.Tooltip(f"shown{n}:N", title=title_tooltip(axis.title)) for n, axis in enumerate(self.axes)
        ]


def _describe_line(axes: Sequence[Axis], number: int, trial: TrialRow) -> dict[str, Any]:
    row: dict[str, Any] = {"trial": trial.trial_index}
    for n, axis in enumerate(axes):
        value = axis.values[number]
        row[f"value{n}"] = float(f"{value:.6g}")
        row[f"height{n}"] = axis.height_of(value)
        if axis.choices:
            row[f"shown{n}"] = axis.choices[int(value)]
        else:
            row[f"shown{n}"] = f"{100 * value:.1f} %" if axis.is_share else f"{value:.4g}"
    low, high = min(axes[-1].values), max(axes[-1].values)
    row["score_height"] = round((axes[-1].values[number] - low) / (high - low), 4) if high > low else 1
    return row


def _draw_segment(data: alt.NamedData, number: int, line: _LineStyle, width: int) -> alt.Chart:
    height = alt.Scale(domain=[0, 1], nice=False)
    return (
        alt.Chart(data, name=f"{SEGMENT_PREFIX}{number}")
        .mark_rule(strokeWidth=1.5, strokeCap="round")
        .encode(
            x=alt.value(0),
            x2=alt.value("width"),
            y=alt.Y(f"height{number - 1}:Q", axis=None, scale=height),
            y2=f"height{number}:Q",
            color=line.color(),
            opacity=line.opacity(),
            tooltip=line.tooltip(),
        )
        .properties(width=width, height=FIGURE_HEIGHT)
    )


def _draw_axis(
    data: alt.NamedData, axis: Axis, number: int, line: _LineStyle, is_last: bool, brush: alt.Parameter
) -> alt.LayerChart:
    scale = alt.Scale(
        type="log" if axis.is_log else "linear", domain=list(axis.domain), nice=False, zero=False
    )
    look: dict[str, Any] = {"orient": "right" if is_last else "left", "grid": False, "domain": True}
    look["labelLimit"] = LABEL_ROOM
    if axis.choices:
        names = json.dumps(axis.choices)
        look |= {"values": list(range(len(axis.choices))), "labelExpr": f"{names}[datum.value]"}
    else:
        look |= {"format": "%" if axis.is_share else ".4~g", "tickCount": 5}
    ticks = (
        alt.Chart(data, name=f"axis{number}")
        .mark_rule(strokeWidth=1.5)
        .encode(
            x=alt.value(0),
            x2=alt.value("width"),
            y=alt.Y(f"value{number}:Q", scale=scale, title=None, axis=alt.Axis(**look)),
            color=line.color(),
            opacity=line.opacity(),
        )
        .add_params(brush)
    )
    # A text of our own: the titles of Vega move with each axis's uppermost label.
    title = (
        alt.Chart(alt.Data(values=[{}]))
        .mark_text(
            text=axis.title,
            limit=line.title_limit,
            fontSize=12,
            fontWeight=600,
            color=line.palette.ink,
            align="center",
            baseline="bottom",
        )
        .encode(x=alt.value(AXIS_WIDTH / 2), y=alt.value(-TITLE_GAP))
    )
    return alt.layer(ticks, title).properties(width=AXIS_WIDTH, height=FIGURE_HEIGHT)
