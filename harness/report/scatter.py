"""The pictures of each hyperparameter's values against the score."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from harness.report.figures import (
    CROSS,
    Palette,
    Picture,
    failures_height,
    score_axis,
    shorten,
    title_tooltip,
)
from harness.report.findings import Findings, SearchedHyperparameter
from harness.report.importance import MIN_TRIALS, count_groups, group_trials, trials_with
from harness.report.tables import write_score
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
_DATASET = "points"


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
    return Picture(chart, {_DATASET: rows})


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
        alt.Chart(alt.NamedData(name=_DATASET))
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
