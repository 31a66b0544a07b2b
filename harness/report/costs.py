"""What a search cost: time and memory of its trials, and what failed of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import altair as alt
import numpy as np

from harness.quantities import write_bytes, write_duration
from harness.report.figures import CROSS, Palette, Picture, shorten
from harness.report.findings import Findings
from harness.report.scatter import PANEL_GAP, PANEL_HEIGHT, count_columns, panel_width
from harness.report.sentences import plural
from harness.report.tables import Table, trial_seconds
from harness.store.records import TrialRow, TrialStatus

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
