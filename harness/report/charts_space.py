"""The charts of the search space: each hyperparameter against the score, parallel coordinates, importance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

from harness.report.chart_style import (
    FIGURE_HEIGHT,
    MANY_TRIALS,
    PANEL_HEIGHT,
    PANEL_Y_AXIS,
    RINGS,
    SHARES,
    STATIC_WIDTH,
    Figure,
    Look,
    choice_ticks,
    failures_height,
    failures_place,
    list_choices,
    mark_crosses,
    mark_rings,
    place_panels,
    rounded,
    score_axis,
    shorten,
    title_tooltip,
    tooltips,
)
from harness.report.findings import Findings, SearchedHyperparameter
from harness.report.importance import (
    MIN_TRIALS,
    Importance,
    JointImportance,
    count_groups,
    describe_importance,
    group_trials,
    tabulate_importance,
)
from harness.report.statements import name_ranked, percent, write_score
from harness.store.records import TrialRow, TrialStatus

#: Trials that the scatter draws, evenly over the search where there are more.
MAX_TRIALS = 1000
#: How far a choice's points are spread, in its own width.
_SPREAD = 0.5
_GOLDEN = 0.61803398875
#: Labels of choices are turned where they have more letters than this together.
_LETTERS_IN_A_ROW = 24

#: Lines of the parallel coordinates; of more trials the best ones, since a browser follows a brush no longer.
MAX_LINES = 300
#: Pixels of the strip at each axis that takes the brush.
AXIS_WIDTH = 18
#: The name of a strip between two axes, by which the page sets its width.
SEGMENT_PREFIX = "segment"
#: Pixels beside the first and the last axis, for the labels of their ticks.
LABEL_ROOM = 56
#: Pixels between an axis's title and its upper end.
_TITLE_GAP = 12

#: Pixels of a row of the importances.
_ROW_HEIGHT = 36


def list_drawn(findings: Findings) -> list[TrialRow]:
    """Return the ended trials that are drawn, or ``MAX_TRIALS`` evenly and the best; pruned ones where they count."""
    left_out = {TrialStatus.RUNNING} if findings.counts_pruned else {TrialStatus.RUNNING, TrialStatus.PRUNED}
    ended = [trial for trial in findings.counted if trial.status not in left_out]
    if len(ended) <= MAX_TRIALS:
        return ended
    places = set(np.linspace(0, len(ended) - 1, MAX_TRIALS).round().astype(int).tolist())
    best = findings.finished[0].trial_id if findings.finished else None
    return [trial for place, trial in enumerate(ended) if place in places or trial.trial_id == best]


def draw_scatter(findings: Findings, look: Look) -> Figure:
    """Draw a panel for each hyperparameter: its values against the scores, failed trials at the worse end."""
    drawn = list_drawn(findings)
    num_left_out = 0 if findings.counts_pruned else findings.num_pruned
    num_ended = sum(trial.ended_at is not None for trial in findings.trials) - num_left_out
    pruned = f" {RINGS}" if findings.counts_pruned else " Pruned trials are left out."
    left_out = f" Only {MAX_TRIALS} of {num_ended} trials are drawn, spread evenly over the search."
    figure = Figure(
        "hyperparameters",
        "Each hyperparameter against the score",
        f"Each dot is a finished trial, the large one is the best; crosses {failures_place(findings)} are failed "
        "trials. The short lines are medians of trials with neighbouring values, or with the same choice."
        + ("" if len(drawn) == num_ended else left_out)
        + (pruned if findings.num_pruned else ""),
    )
    if not drawn or not findings.search_space:
        return figure
    # One value has no panel: the spread of its dots would look like values.
    searched = [(n, each) for n, each in enumerate(findings.search_space) if not each.has_one_value]
    if not searched:
        return figure
    rows = [_describe_trial(findings, trial) for trial in drawn]
    panels = [_draw_panel(findings, look, f"x{n}", each) for n, each in searched]
    return figure.show(place_panels(panels), points=rows)


def _describe_trial(findings: Findings, trial: TrialRow) -> dict[str, Any]:
    is_best = bool(findings.finished) and trial.trial_id == findings.finished[0].trial_id
    is_pruned = trial.status is TrialStatus.PRUNED
    shown = write_score(findings, trial.score) or str(trial.status)
    row: dict[str, Any] = {"trial": trial.trial_index, "shown": f"{shown}, pruned" if is_pruned else shown}
    if trial.score is not None:
        row["score"] = shorten(trial.score)
    row["kind"] = "best" if is_best else "failed" if trial.score is None else "pruned" if is_pruned else "finished"
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


def _draw_panel(findings: Findings, look: Look, field: str, searched: SearchedHyperparameter) -> alt.LayerChart:
    x, y = _x_axis(findings, field, searched), _y_axis(findings)
    value = f"{list_choices(searched.choices)}[round(datum.{field})]" if searched.choices else f"datum.{field}"
    base = (
        alt.Chart(alt.NamedData(name="points"))
        .transform_filter(f"isValid(datum.{field})")
        .transform_calculate(value=value)
    )
    finished, failed, best, pruned = (
        base.transform_filter(f"datum.kind === '{kind}'") for kind in ("finished", "failed", "best", "pruned")
    )
    size, opacity, cross = (14, 0.6, 20) if len(findings.trials) > MANY_TRIALS else (36, 0.9, 45)
    points = finished.mark_circle(size=size, color=look.quiet, opacity=opacity)
    large = best.mark_circle(size=110, color=look.accent, stroke=look.surface, strokeWidth=1.5, opacity=1)
    at_the_end = alt.value(failures_height(findings, PANEL_HEIGHT))
    tooltip = tooltips(("trial:Q", "trial"), ("value:N", title_tooltip(searched.name)), ("shown:N", "score"))
    rings = [mark_rings(pruned, look, size).encode(x=x, y=y, tooltip=tooltip)] if findings.counts_pruned else []
    return alt.layer(
        points.encode(x=x, y=y, tooltip=tooltip),
        *rings,
        *_draw_medians(findings, look, searched, x, y),
        mark_crosses(failed, look, cross).encode(x=x, y=at_the_end, tooltip=tooltip),
        large.encode(x=x, y=y, tooltip=tooltip),
    )


def _draw_medians(
    findings: Findings, look: Look, searched: SearchedHyperparameter, x: alt.X, y: alt.Y
) -> list[alt.Chart]:
    """Draw the median score of each group of trials that the importance compares."""
    trials = findings.ranked_with(searched)
    if len(trials) < MIN_TRIALS:
        return []
    groups = group_trials(searched, trials, count_groups(len(trials)))
    rows = []
    for group in range(groups.max() + 1):
        members = [trial for trial, place in zip(trials, groups, strict=True) if place == group]
        first, last = _ends(searched, members)
        median = float(np.median([trial.score or 0.0 for trial in members]))
        rows.append({"from": first, "to": last, "median": shorten(median)})
    lines = alt.Chart(alt.Data(values=rows)).mark_rule(color=look.second, strokeWidth=3, strokeCap="round")
    return [lines.encode(x=_of_field(x, "from:Q"), x2="to:Q", y=_of_field(y, "median:Q"))]


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
    ticks: dict[str, Any] = {"grid": False, "labelOverlap": "greedy", "labelFlush": True}
    if searched.choices:
        ticks |= {**choice_ticks(searched.choices), "labelFlush": False, "labelLimit": 110, "ticks": False}
        if sum(map(len, searched.choices)) > _LETTERS_IN_A_ROW:
            ticks |= {"labelAngle": -30, "labelAlign": "right", "labelOverlap": False}
        scale = alt.Scale(domain=[-0.5, len(searched.choices) - 0.5], nice=False, zero=False)
    else:
        values = [trial.hyperparameters.get(searched.name) for trial in findings.trials]
        is_whole = all(isinstance(value, int) for value in values if value is not None)
        ticks |= {"format": ".4~g", "tickCount": 4, **({"tickMinStep": 1} if is_whole else {})}
        if searched.is_log:
            ticks["values"] = list_log_ticks(searched.low, searched.high)
        kind = "log" if searched.is_log else "linear"
        scale = alt.Scale(type=kind, domain=[searched.low, searched.high], nice=False, zero=False, padding=8)
    title = searched.name + (" (log scale)" if searched.is_log else "")
    return alt.X(f"{field}:Q", title=title, axis=alt.Axis(titleLimit=220, **ticks), scale=scale)


def _y_axis(findings: Findings) -> alt.Y:
    shared = score_axis(findings)
    ticks: dict[str, Any] = {**PANEL_Y_AXIS, "format": "%" if findings.scores_are_accuracies else ".3~g"}
    if not findings.ranked:
        # Only failures: the crosses need no axis of their own.
        return alt.Y("score:Q", title=shared["title"], axis=alt.Axis(**ticks, values=[]))
    return alt.Y("score:Q", title=shared["title"], axis=alt.Axis(**ticks), scale=shared["scale"])


def _of_field(channel: Any, field: str) -> Any:
    copied = channel.copy()
    copied.shorthand = field
    return copied


@dataclass(frozen=True)
class Axis:
    """One axis of the parallel coordinates: a hyperparameter, or the score.

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

    def write(self, value: float) -> str:
        """Write a value of the axis as a person reads it."""
        if self.choices:
            return self.choices[int(value)]
        return percent(value) if self.is_share else f"{value:.4g}"


def list_lines(findings: Findings) -> list[TrialRow]:
    """Return the best trials with a score that have every searched hyperparameter, at most ``MAX_LINES``."""
    names = {searched.name for searched in findings.search_space}
    whole = [trial for trial in findings.ranked if names <= trial.hyperparameters.keys()]
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


def draw_parallel_coordinates(findings: Findings, look: Look) -> Figure:
    """Draw the points of the trials with a score; dragging along an axis keeps the lines that pass there."""
    num_drawn = min(len(findings.ranked), MAX_LINES)
    left_out = "" if num_drawn == len(findings.ranked) else f" Only the best {num_drawn} are drawn."
    has_pruned = any(trial.status is TrialStatus.PRUNED for trial in findings.ranked)
    dashed = ", a dashed line a pruned one, with the best accuracy that it came to" if has_pruned else ""
    figure = Figure(
        "parallel-coordinates",
        "Parallel coordinates",
        f"Each line is a finished trial{dashed}; the stronger its colour, the better. Drag along an axis to keep the "
        "lines that pass there; click beside the selection to clear it. This needs a mouse or a finger; without one, "
        f"the table of all trials has the same numbers.{left_out}",
    )
    lines = list_lines(findings)
    if not lines or not findings.search_space:
        return figure
    axes = build_axes(findings, lines)
    width = (STATIC_WIDTH - len(axes) * AXIS_WIDTH - 2 * LABEL_ROOM) // (len(axes) - 1)
    brushes = [
        alt.selection_interval(
            name=f"brush{number}",
            encodings=["y"],
            mark=alt.BrushConfig(fill=look.accent, fillOpacity=0.25, stroke=look.accent),
        )
        for number in range(len(axes))
    ]
    is_kept: Any = brushes[0]
    for brush in brushes[1:]:
        is_kept = is_kept & brush
    colors = alt.Scale(type="quantize", domain=[0, 1], range=list(look.steps))
    # How a line looks, at its axes and between them.
    line = {
        "x": alt.value(0),
        "x2": alt.value("width"),
        "color": alt.Color("score_height:Q", scale=colors, legend=None),
        "opacity": alt.when(is_kept).then(alt.value(0.85)).otherwise(alt.value(0.06)),
    }
    if has_pruned:
        is_pruned = alt.when("datum.status === 'pruned'")
        line["strokeDash"] = is_pruned.then(alt.value([4, 3])).otherwise(alt.value([1, 0]))
    shown = [(f"shown{n}:N", title_tooltip(axis.title)) for n, axis in enumerate(axes)]
    tooltip = tooltips(("trial:N", "trial"), *shown)
    views: list[alt.Chart | alt.LayerChart] = []
    for number, axis in enumerate(axes):
        if number:
            segment = _draw_segment(number).encode(**line, tooltip=tooltip)
            views.append(segment.properties(width=width, height=FIGURE_HEIGHT))
        ticks = _draw_ticks(axis, number, is_last=number == len(axes) - 1).encode(**line).add_params(brushes[number])
        view = alt.layer(ticks, _draw_title(axis, look, width + AXIS_WIDTH))
        views.append(view.properties(width=AXIS_WIDTH, height=FIGURE_HEIGHT))
    # The best line is drawn last, over the others.
    rows = [_describe_line(axes, number, trial) for number, trial in enumerate(lines)][::-1]
    return figure.show(alt.hconcat(*views, spacing=0, bounds="flush"), lines=rows)


def _describe_line(axes: Sequence[Axis], number: int, trial: TrialRow) -> dict[str, Any]:
    row: dict[str, Any] = {"trial": trial.trial_index}
    if trial.status is TrialStatus.PRUNED:
        row["status"] = str(trial.status)
    for n, axis in enumerate(axes):
        value = axis.values[number]
        row[f"value{n}"] = shorten(value)
        row[f"height{n}"] = axis.height_of(value)
        row[f"shown{n}"] = axis.write(value)
    low, high = min(axes[-1].values), max(axes[-1].values)
    row["score_height"] = round((axes[-1].values[number] - low) / (high - low), 4) if high > low else 1
    return row


def _draw_segment(number: int) -> alt.Chart:
    """Draw the lines between an axis and the one before it."""
    base = alt.Chart(alt.NamedData(name="lines"), name=f"{SEGMENT_PREFIX}{number}")
    y = alt.Y(f"height{number - 1}:Q", axis=None, scale=SHARES)
    return base.mark_rule(strokeWidth=1.5, strokeCap="round").encode(y=y, y2=f"height{number}:Q")


def _draw_ticks(axis: Axis, number: int, is_last: bool) -> alt.Chart:
    """Draw the axis, with a stroke for each line that crosses it."""
    kind = "log" if axis.is_log else "linear"
    scale = alt.Scale(type=kind, domain=list(axis.domain), nice=False, zero=False)
    labels = {"format": "%" if axis.is_share else ".4~g", "tickCount": 5}
    ticks = alt.Axis(
        orient="right" if is_last else "left",
        grid=False,
        domain=True,
        labelLimit=LABEL_ROOM,
        **(choice_ticks(axis.choices) if axis.choices else labels),
    )
    base = alt.Chart(alt.NamedData(name="lines"), name=f"axis{number}")
    return base.mark_rule(strokeWidth=1.5).encode(y=alt.Y(f"value{number}:Q", scale=scale, title=None, axis=ticks))


def _draw_title(axis: Axis, look: Look, limit: int) -> alt.Chart:
    # A text of our own: the titles of Vega move with each axis's uppermost label.
    text = alt.Chart(alt.Data(values=[{}])).mark_text(
        text=axis.title, limit=limit, fontSize=12, fontWeight=600, color=look.ink, align="center", baseline="bottom"
    )
    return text.encode(x=alt.value(AXIS_WIDTH / 2), y=alt.value(-_TITLE_GAP))


def draw_importance(
    findings: Findings, importances: Sequence[Importance], joint: JointImportance | None, look: Look
) -> Figure:
    """Draw each hyperparameter's share with its interval, the greatest on top, those without one last."""
    num_trials = max((one.num_trials for one in importances), default=0)
    figure = Figure(
        "importance",
        "Importance of hyperparameters",
        "How much of the variation of the scores' ranks each hyperparameter explains by itself (dot), minus the share "
        f"expected by chance; n = {num_trials} {name_ranked(findings)} trials in groups of neighbouring values. The "
        "bar is a 95 % interval; if it begins at 0, the trials do not show that the hyperparameter matters.",
        tuple(describe_importance(findings, importances, joint)),
        tabulate_importance(importances),
    )
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
        return figure
    y_axis = alt.Axis(ticks=False, domain=False, labelLimit=130, labelPadding=8)
    base = alt.Chart(alt.NamedData(name="importances")).encode(
        y=alt.Y("name:N", sort=[row["name"] for row in rows], title=None, axis=y_axis),
        tooltip=tooltips(
            ("name:N", "hyperparameter"),
            ("shown:N", "share"),
            ("low:Q", "at least", ".0%"),
            ("high:Q", "at most", ".0%"),
        ),
    )
    x = {"axis": alt.Axis(format="%", tickCount=5, title="share of the score's variation"), "scale": SHARES}
    ranges = base.transform_filter("isValid(datum.low)").mark_rule(
        strokeWidth=6, strokeCap="round", color=look.accent, opacity=0.3
    )
    dots = base.mark_circle(size=110, color=look.accent, opacity=1)
    chart = alt.layer(
        ranges.encode(x=alt.X("low:Q", **x), x2="high:Q"), dots.encode(x=alt.X("share:Q", **x))
    )
    return figure.show(chart.properties(width=look.width, height=_ROW_HEIGHT * len(rows)), importances=rows)
