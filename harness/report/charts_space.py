"""The pictures of each hyperparameter's values against the score.

Parallel coordinates that can be brushed: one axis a hyperparameter, one line a trial, the score last.

The importance of hyperparameters: its picture, its table, and what may be read from it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

from harness.report.chart_style import (
    CROSS,
    FIGURE_HEIGHT,
    Palette,
    Picture,
    failures_height,
    rounded,
    score_axis,
    shorten,
    title_tooltip,
)
from harness.report.findings import Findings, SearchedHyperparameter
from harness.report.importance import (
    MIN_TRIALS,
    Importance,
    JointImportance,
    count_groups,
    group_trials,
    trials_with,
)
from harness.report.statements import percent, plural
from harness.report.tables import Table, write_score
from harness.store.records import TrialRow, TrialStatus

PANEL_HEIGHT = 210
#: Pixels to the left of a panel for its axis and the axis's title, and between two panels.
AXIS_ROOM, PANEL_GAP = 80, 16
#: Panels in a row where there is room, and the least pixels of one with its axis.
MAX_COLUMNS, LEAST_PANEL = 3, 300
#: Trials that are drawn, evenly over the search where there are more.
MAX_TRIALS = 1000

#: How far a choice's points are spread, in its own width.
_SPREAD = 0.5
#: Labels of choices are turned where they have more letters than this together.
_LETTERS_IN_A_ROW = 24
_GOLDEN = 0.61803398875
_SCATTER_DATASET = "points"


def count_columns(num_panels: int, width: int) -> int:
    """Return how many panels stand in a row of so many pixels; the page's script does the same.

    Example:
        >>> count_columns(5, 720), count_columns(4, 1200), count_columns(5, 340)
        (2, 2, 1)
    """
    columns = min(num_panels, MAX_COLUMNS, max(1, width // LEAST_PANEL))
    return 2 if (num_panels, columns) == (4, 3) else columns


def panel_width(columns: int, width: int) -> int:
    """Return the pixels of a panel without its axis."""
    return (width - (columns - 1) * PANEL_GAP) // columns - AXIS_ROOM


def list_drawn(findings: Findings) -> list[TrialRow]:
    """Return the ended trials that are drawn: all, or ``MAX_TRIALS`` evenly over the search, and the best."""
    ended = [trial for trial in findings.trials if trial.status is not TrialStatus.RUNNING]
    if len(ended) <= MAX_TRIALS:
        return ended
    places = set(np.linspace(0, len(ended) - 1, MAX_TRIALS).round().astype(int).tolist())
    best = findings.finished[0].trial_id if findings.finished else None
    return [trial for place, trial in enumerate(ended) if place in places or trial.trial_id == best]


def draw_scatter(findings: Findings, palette: Palette, width: int) -> Picture | None:
    """Draw a panel for each hyperparameter: its values against the scores, failed trials at the bottom.

    Args:
        width: pixels of all panels of a row together

    Returns:
        None where no trial has ended, or nothing was searched
    """
    drawn = list_drawn(findings)
    if not drawn or not findings.search_space:
        return None
    columns = count_columns(len(findings.search_space), width)
    rows = [_describe_trial(findings, trial) for trial in drawn]
    panels = [
        _draw_panel(findings, palette, number, searched).properties(
            width=panel_width(columns, width), height=PANEL_HEIGHT
        )
        for number, searched in enumerate(findings.search_space)
    ]
    chart = alt.concat(*panels, columns=columns, spacing=PANEL_GAP)
    return Picture(chart, {_SCATTER_DATASET: rows})


def _describe_trial(findings: Findings, trial: TrialRow) -> dict[str, Any]:
    is_best = bool(findings.finished) and trial.trial_id == findings.finished[0].trial_id
    row: dict[str, Any] = {
        "trial": trial.trial_index,
        "shown": write_score(findings, trial.score) or str(trial.status),
    }
    if trial.score is not None:
        row["score"] = shorten(trial.score)
    row["kind"] = "best" if is_best else "failed" if trial.score is None else "finished"
    for number, searched in enumerate(findings.search_space):
        if searched.name not in trial.hyperparameters:
            continue
        value = trial.hyperparameters[searched.name]
        if searched.choices:
            jitter = _SPREAD * (trial.trial_index * _GOLDEN % 1 - 0.5)
            row[f"x{number}"] = round(searched.choices.index(str(value)) + jitter, 3)
        else:
            row[f"x{number}"] = shorten(float(value or 0))
    return row


def _draw_panel(
    findings: Findings, palette: Palette, number: int, searched: SearchedHyperparameter
) -> alt.LayerChart:
    field = f"x{number}"
    x = _x_axis(findings, field, searched)
    y = _y_axis(findings)
    value = f"datum.{field}"
    if searched.choices:
        value = f"{json.dumps(searched.choices)}[round(datum.{field})]"
    base = (
        alt.Chart(alt.NamedData(name=_SCATTER_DATASET))
        .transform_filter(f"isValid(datum.{field})")
        .transform_calculate(value=value)
    )
    tooltip = [
        alt.Tooltip("trial:Q", title="trial"),
        alt.Tooltip("value:N", title=title_tooltip(searched.name)),
        alt.Tooltip("shown:N", title="score"),
    ]
    is_crowded = len(findings.trials) > 200
    points = (
        base.transform_filter("datum.kind === 'finished'")
        .mark_circle(size=14 if is_crowded else 36, color=palette.quiet, opacity=0.6 if is_crowded else 0.9)
        .encode(x=x, y=y, tooltip=tooltip)
    )
    failed = (
        base.transform_filter("datum.kind === 'failed'")
        .mark_point(
            shape=CROSS,
            size=20 if is_crowded else 45,
            filled=False,
            stroke=palette.warning,
            strokeWidth=2,
            opacity=1,
        )
        .encode(x=x, y=alt.value(failures_height(findings, PANEL_HEIGHT)), tooltip=tooltip)
    )
    best = (
        base.transform_filter("datum.kind === 'best'")
        .mark_circle(size=110, color=palette.accent, stroke=palette.surface, strokeWidth=1.5, opacity=1)
        .encode(x=x, y=y, tooltip=tooltip)
    )
    return alt.layer(points, *_draw_medians(findings, palette, searched, x, y), failed, best)


def _draw_medians(
    findings: Findings, palette: Palette, searched: SearchedHyperparameter, x: alt.X, y: alt.Y
) -> list[alt.Chart]:
    """Draw the median score of each group of trials that the importance compares."""
    trials = trials_with(findings, searched)
    if len(trials) < MIN_TRIALS:
        return []
    groups = group_trials(searched, trials, count_groups(len(trials)))
    rows = []
    for group in range(groups.max() + 1):
        members = [trial for trial, place in zip(trials, groups, strict=True) if place == group]
        first, last = _ends(searched, members)
        median = float(np.median([trial.score or 0.0 for trial in members]))
        rows.append({"from": first, "to": last, "median": shorten(median)})
    return [
        alt.Chart(alt.Data(values=rows))
        .mark_rule(color=palette.second, strokeWidth=3, strokeCap="round")
        .encode(x=_named(x, "from:Q"), x2="to:Q", y=_named(y, "median:Q"))
    ]


def _ends(searched: SearchedHyperparameter, members: Sequence[TrialRow]) -> tuple[float, float]:
    values = [trial.hyperparameters[searched.name] for trial in members]
    if searched.choices:
        place = searched.choices.index(str(values[0]))
        return place - 0.35, place + 0.35
    numbers = [float(value or 0) for value in values]
    return shorten(min(numbers)), shorten(max(numbers))


def list_log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten for a logarithmic axis, and where these are fewer than three twice and five times them.

    Example:
        >>> list_log_ticks(0.0001, 0.01), list_log_ticks(150, 300)
        ([0.0001, 0.001, 0.01], [200.0])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    within = [tick for tick in ticks if low <= tick <= high]
    tens = [tick for tick in within if f"{tick:e}".startswith("1.0")]
    return tens if len(tens) > 2 else within or [low, high]


def _x_axis(findings: Findings, field: str, searched: SearchedHyperparameter) -> alt.X:
    look: dict[str, Any] = {"grid": False, "labelOverlap": "greedy", "labelFlush": True}
    if searched.choices:
        names = json.dumps(searched.choices)
        look |= {"values": list(range(len(searched.choices))), "labelExpr": f"{names}[datum.value]"}
        look |= {"labelFlush": False, "labelLimit": 110, "ticks": False}
        if sum(map(len, searched.choices)) > _LETTERS_IN_A_ROW:
            look |= {"labelAngle": -30, "labelAlign": "right", "labelOverlap": False}
        scale = alt.Scale(domain=[-0.5, len(searched.choices) - 0.5], nice=False, zero=False)
    else:
        values = [trial.hyperparameters.get(searched.name) for trial in findings.trials]
        is_whole = all(isinstance(value, int) for value in values if value is not None)
        look |= {"format": ".4~g", "tickCount": 4, **({"tickMinStep": 1} if is_whole else {})}
        if searched.is_log:
            look["values"] = list_log_ticks(searched.low, searched.high)
        scale = alt.Scale(
            type="log" if searched.is_log else "linear",
            domain=[searched.low, searched.high],
            nice=False,
            zero=False,
            padding=8,
        )
    title = searched.name + (" (log scale)" if searched.is_log else "")
    return alt.X(f"{field}:Q", title=title, axis=alt.Axis(titleLimit=220, **look), scale=scale)


def _y_axis(findings: Findings) -> alt.Y:
    shared = score_axis(findings)
    look: dict[str, Any] = {"tickCount": 4, "minExtent": 36, "maxExtent": 36, "labelLimit": 36}
    look["format"] = "%" if findings.scores_are_accuracies else ".3~g"
    if not findings.finished:
        # Only failures: the crosses need no axis of their own.
        return alt.Y("score:Q", title=shared["title"], axis=alt.Axis(**look, values=[]))
    return alt.Y("score:Q", title=shared["title"], axis=alt.Axis(**look), scale=shared["scale"])


def _named(channel: Any, field: str) -> Any:
    copied = channel.copy()
    copied.shorthand = field
    return copied


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

_PARALLEL_DATASET = "lines"


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
    data = alt.NamedData(name=_PARALLEL_DATASET)
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
    return Picture(alt.hconcat(*views, spacing=0, bounds="flush"), {_PARALLEL_DATASET: rows})


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


#: Pixels of a row.
_ROW_HEIGHT = 36
#: Auptimizer's proposers whose points follow from the scores before them.
_INDEPENDENT_PROPOSERS = ("random", "sequence", "passive")


def describe_importance(
    findings: Findings, importances: Sequence[Importance], joint: JointImportance | None
) -> list[str]:
    """Say which hyperparameters the score follows, what is left, and when the numbers say little."""
    if not importances:
        num_trials = plural(len(findings.finished), "trial")
        return [f"From {MIN_TRIALS} finished trials on; {num_trials} so far."]
    if all(math.isnan(one.share) and one.num_groups < one.num_trials for one in importances):
        return ["All finished trials have the same score: there is nothing to explain."]
    sentences = _describe_clear(importances)
    shares = [one.share for one in importances if not math.isnan(one.share)]
    if shares:
        rest = percent(max(0.0, 1 - sum(shares)))
        sentences.append(f"Left to combinations of several, to differences within a group, and to chance: {rest}.")
    if joint is not None:
        sentences.append(_describe_joint(joint))
    proposer = _proposer_of(findings)
    if proposer and proposer not in _INDEPENDENT_PROPOSERS:
        sentences.append(
            f"The proposer '{proposer}' may choose its points by earlier scores, so that hyperparameters move "
            "together: each share may belong to another one too."
        )
    return sentences


def _describe_clear(known: Sequence[Importance]) -> list[str]:
    without = [one for one in known if not one.has_interval]
    clear = [one for one in known if one.has_interval and one.low > 0]
    num_unclear = len(known) - len(clear) - len(without)
    sentences = []
    if clear:
        named = ", ".join(f"{one.name} ({100 * one.low:.0f} to {100 * one.high:.0f} %)" for one in clear)
        sentences.append(f"More than chance: {named}.")
    if num_unclear and not clear:
        num_trials = plural(max(one.num_trials for one in known), "trial")
        sentences.append(f"Every interval holds 0: {num_trials} do not show that any of them matters.")
    elif num_unclear == 1:
        sentences.append("The interval of the other one holds 0: the trials do not show that it matters.")
    elif num_unclear:
        sentences.append(
            f"The intervals of the other {num_unclear} hold 0: the trials do not show that they matter."
        )
    if without:
        named = ", ".join(one.name for one in without)
        sentences.append(f"No interval can be given for {named}: too few trials share a value there, or all do.")
    return sentences


def _describe_joint(joint: JointImportance) -> str:
    one, other = joint.names
    if joint.is_seen:
        return (
            f"{one} and {other} explain {percent(joint.share)} more together than each by itself: how much one "
            "matters depends on the other."
        )
    return "No pair explains clearly more together than each of the two by itself."


def _proposer_of(findings: Findings) -> str:
    settings = json.loads(findings.experiment.settings)
    return str(settings.get("proposer", "")) if isinstance(settings, dict) else ""


def tabulate_importance(importances: Sequence[Importance]) -> Table:
    """List each hyperparameter's share of the score's variation with its interval."""
    rows = [
        (
            one.name,
            _write_share(one),
            f"{100 * one.low:.0f} to {100 * one.high:.0f} %" if one.has_interval else "",
            str(one.num_groups),
            str(one.num_trials),
        )
        for one in importances
    ]
    columns = ("hyperparameter", "share of variation", "95 % interval", "groups", "trials")
    return Table("Importance of hyperparameters", columns, tuple(rows), frozenset(columns[1:]))


def _write_share(one: Importance) -> str:
    if not math.isnan(one.share):
        return percent(one.share)
    return "all scores are equal" if one.num_groups < one.num_trials else "each trial has another value"


def draw_importance(importances: Sequence[Importance], palette: Palette, width: int | str) -> Picture | None:
    """Draw each share with its interval, the greatest on top, those without one last; None of no share."""
    rows: list[dict[str, Any]] = [
        {
            "name": one.name,
            "share": rounded(one.share),
            "low": rounded(one.low),
            "high": rounded(one.high),
            "shown": percent(one.share),
        }
        for one in importances
        if not math.isnan(one.share)
    ]
    if not rows:
        return None
    base = alt.Chart(alt.NamedData(name="importances")).encode(
        y=alt.Y(
            "name:N",
            sort=[row["name"] for row in rows],
            title=None,
            axis=alt.Axis(ticks=False, domain=False, labelLimit=130, labelPadding=8),
        ),
        tooltip=[
            alt.Tooltip("name:N", title="hyperparameter"),
            alt.Tooltip("shown:N", title="share"),
            alt.Tooltip("low:Q", title="at least", format=".0%"),
            alt.Tooltip("high:Q", title="at most", format=".0%"),
        ],
    )
    title = "share of the score's variation"
    axis = alt.Axis(format="%", tickCount=5, title=title)
    x = alt.X("share:Q", axis=axis, scale=alt.Scale(domain=[0, 1], nice=False))
    ranges = (
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=6, strokeCap="round", color=palette.accent, opacity=0.3)
        .encode(x=alt.X("low:Q", axis=axis, scale=alt.Scale(domain=[0, 1], nice=False)), x2="high:Q")
    )
    dots = base.mark_circle(size=110, color=palette.accent, opacity=1).encode(x=x)
    chart = alt.layer(ranges, dots).properties(width=width, height=_ROW_HEIGHT * len(rows))
    return Picture(chart, {"importances": rows})
