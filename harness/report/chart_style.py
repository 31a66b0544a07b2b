"""The look of the report's charts, and all that they share: the figure, axes, marks, tooltips and panels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import altair as alt

from harness.errors import is_visible
from harness.report.findings import Findings
from harness.report.statements import name_class, percent
from harness.report.tables import Table

FIGURE_HEIGHT = 300
#: Pixels of a figure that is written to a file; on the page each takes what its column has.
STATIC_WIDTH = 720
#: Trials above which dots and crosses are drawn smaller.
MANY_TRIALS = 200

PANEL_HEIGHT = 210
#: Pixels to the left of a panel for its axis and the axis's title, and between two panels.
AXIS_ROOM, PANEL_GAP = 80, 16
#: Panels in a row where there is room, and the least pixels of one with its axis.
MAX_COLUMNS, LEAST_PANEL = 3, 300
#: The y axis of a panel: as wide in each, so that panels stand one below the other.
PANEL_Y_AXIS = {"tickCount": 4, "minExtent": 36, "maxExtent": 36, "labelLimit": 36}

#: The scale of a share; the axis ends at 0 and at 1.
SHARES = alt.Scale(domain=[0, 1], nice=False)

#: What a ring is, in a caption.
RINGS = "Rings are pruned trials, at the best accuracy that they came to."
#: The mark of a failed trial, as a path of SVG in a square from -1 to 1.
_CROSS = "M-1,-1L1,1M1,-1L-1,1"
#: Pixels above and below the scores, where the failures stand.
_SCORE_ROOM = 16


@dataclass(frozen=True)
class Look:
    """Colours by what they are for, and the width of a chart.

    Attributes:
        steps: from the lowest scores to the highest
        width: pixels, or ``"container"``, as wide as its column
    """

    ink: str
    quiet: str
    grid: str
    accent: str
    second: str
    warning: str
    surface: str
    steps: tuple[str, ...]
    width: int | str

    def config(self) -> dict[str, Any]:
        """Return Vega-Lite's configuration: fonts and colours of whatever is no mark."""
        # A screen reader gets the description and the tables, not every mark by itself.
        silent = {"aria": False}
        labels = {"labelColor": self.ink, "titleColor": self.ink, "labelFontSize": 12}
        lines = {"domainColor": self.quiet, "tickColor": self.quiet, "gridColor": self.grid}
        return {
            "background": None if self is PAGE else self.surface,
            "font": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
            "axis": {**silent, **labels, **lines, "titleFontWeight": "normal", "titleFontSize": 12},
            "mark": silent,
            "legend": {**silent, **labels},
            "view": {"stroke": None},
            "text": {"color": self.ink},
        }


#: For files: on white paper.
PAPER = Look(
    ink="#1d2433",
    quiet="#8a93a6",
    grid="#e3e7ee",
    accent="#0b62d6",
    second="#b4540a",
    warning="#c2283b",
    surface="#ffffff",
    steps=("#c9d3e3", "#9dbbe8", "#5f97e6", "#0b62d6", "#083f8c"),
    width=STATIC_WIDTH,
)
_NAMES = ("ink", "quiet", "grid", "accent", "second", "warning", "surface")
#: For the page, whose style sheet holds the colours of light and dark mode.
PAGE = Look(
    **{name: f"var(--{name})" for name in _NAMES},
    steps=tuple(f"var(--step{n})" for n in range(1, 6)),
    width="container",
)


@dataclass(frozen=True)
class Figure:
    """One chart, with what it shows in words and where its numbers stand.

    Attributes:
        name: of its element and its files
        caption: what it shows, also for those who do not see it
        reading: what follows from it, in sentences; where nothing can be drawn, why
        table: its numbers, where no other table of the page has them
        chart: None where there is nothing to draw yet
        is_synthetic: whether its corpus is; None where it is the search's own
        datasets: the larger data by name, plain JSON values: altair would copy and check them number by number
    """

    name: str
    title: str
    caption: str
    reading: tuple[str, ...] = ()
    table: Table | None = None
    chart: alt.TopLevelMixin | None = None
    is_synthetic: bool | None = None
    datasets: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What it shows, and what follows from it, in sentences."""
        return " ".join([f"{self.title}.", self.caption, *self.reading])

    def show(self, chart: alt.TopLevelMixin, **datasets: Sequence[Mapping[str, Any]]) -> Figure:
        """Return the figure with its chart, which reads its data by name."""
        return replace(self, chart=chart, datasets=datasets)

    def to_dict(self, validate: bool = True) -> dict[str, Any]:
        """Return the chart's specification in Vega-Lite; the figure must have a chart.

        Args:
            validate: check the chart, without its data, against Vega-Lite's schema
        """
        assert self.chart is not None
        spec: dict[str, Any] = self.chart.to_dict(validate=validate)
        return {**spec, "datasets": {**spec.get("datasets", {}), **self.datasets}}


def show_invisible(value: Any) -> Any:
    r"""Spell out the characters of every text in plain JSON values that no picture can show.

    A control character is not allowed in SVG, and the program that makes the PNG of it would end this one. No
    backslash: Vega-Lite puts some texts into a program between quotes.

    Example:
        >>> show_invisible({"name": ["a\x01b", 1.5]})
        {'name': ['a(U+0001)b', 1.5]}
    """
    if isinstance(value, str):
        if value.isprintable():
            return value
        return "".join(one if is_visible(one) else f"(U+{ord(one):04X})" for one in value)
    if isinstance(value, Mapping):
        return {show_invisible(key): show_invisible(one) for key, one in value.items()}
    return [show_invisible(one) for one in value] if isinstance(value, list | tuple) else value


#: Leaves a tick between two whole numbers without its label, which would be rounded: "0 1 1 2 2".
WHOLE_LABELS = "datum.value % 1 ? '' : datum.label"


def count_axis(name: str, title: str) -> alt.X:
    """Return the x axis of whole numbers from 1 or 0 on, as of trials and epochs."""
    axis, scale = alt.Axis(tickMinStep=1, format="d", labelExpr=WHOLE_LABELS), alt.Scale(nice=False, padding=10)
    return alt.X(f"{name}:Q", title=title, axis=axis, scale=scale)


def score_axis(findings: Findings) -> dict[str, Any]:
    """Return what the axis of the scores is in every chart: its title, its format and its scale."""
    is_accuracy = findings.scores_are_accuracies
    return {
        "title": "validation accuracy" if is_accuracy else "score",
        "axis": alt.Axis(format="%") if is_accuracy else alt.Axis(),
        "scale": alt.Scale(zero=False, padding=_SCORE_ROOM),
    }


def choice_ticks(choices: Sequence[str]) -> dict[str, Any]:
    """Return the ticks of an axis of choices, whose data are their indices."""
    return {"values": list(range(len(choices))), "labelExpr": f"{list_choices(choices)}[datum.value]"}


def list_choices(choices: Sequence[str]) -> str:
    """Return choices as a list in Vega's language, in which JSON's escapes would become characters again."""
    return json.dumps(show_invisible(choices))


def tooltips(*rows: tuple[str, ...]) -> list[alt.Tooltip]:
    """Return a tooltip's rows, each of a field, a title (or ``""``: the field's name) and a number's format."""
    names = ("title", "format")
    return [
        alt.Tooltip(name, **{key: text for key, text in zip(names, texts, strict=False) if text})
        for name, *texts in rows
    ]


def title_tooltip(name: str) -> str:
    r"""Return a name as the title of a tooltip's row: Vega-Lite puts it into a program between quotes.

    Example:
        >>> title_tooltip("two\nlines"), title_tooltip("back\\slash") == "back" + 2 * "\\" + "slash"
        ('two lines', True)
    """
    return " ".join(name.split()).replace("\\", 2 * "\\")


def mark_crosses(chart: alt.Chart, look: Look, size: int) -> alt.Chart:
    """Mark the chart's rows as failed trials."""
    return chart.mark_point(shape=_CROSS, size=size, filled=False, stroke=look.warning, strokeWidth=2, opacity=1)


def mark_rings(chart: alt.Chart, look: Look, size: int) -> alt.Chart:
    """Mark the chart's rows as pruned trials."""
    return chart.mark_point(size=size, filled=False, stroke=look.quiet)


def failures_height(findings: Findings, height: int) -> int:
    """Return the pixel, from the top of a chart, where failed trials stand: at the worse end."""
    return height - 8 if findings.experiment.target == "max" else 8


def failures_place(findings: Findings) -> str:
    """Say where failed trials stand."""
    return "at the bottom" if findings.experiment.target == "max" else "at the top"


def draw_baseline(findings: Findings, look: Look) -> list[alt.Chart]:
    """Draw the share of the largest class as a dotted line; nothing where it is not known."""
    baseline = findings.baseline
    if baseline is None or not findings.scores_are_accuracies:
        return []
    label = f"always '{name_class(baseline.emotion)}': {percent(baseline.share)}"
    base = alt.Chart(alt.Data(values=[{"share": baseline.share, "label": label}])).encode(y="share:Q")
    text = base.mark_text(align="right", baseline="bottom", dy=-3, color=look.ink)
    return [
        base.mark_rule(color=look.ink, strokeDash=[2, 3], opacity=0.7),
        text.encode(text="label:N", x=alt.value("width")),
    ]


def place_panels(panels: Sequence[alt.LayerChart]) -> alt.ConcatChart:
    """Put panels into rows, as wide as a file; the page's script fits them to the page."""
    columns = count_columns(len(panels), STATIC_WIDTH)
    width = panel_width(columns, STATIC_WIDTH)
    sized = [panel.properties(width=width, height=PANEL_HEIGHT) for panel in panels]
    return alt.concat(*sized, columns=columns, spacing=PANEL_GAP)


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


def rounded(share: float) -> float | None:
    """Return a share with the four digits that a chart shows; None, which JSON has, for NaN."""
    return round(float(share), 4) if math.isfinite(share) else None


def shorten(value: float) -> float:
    """Return a number of any size with six digits, so that it takes less room in the page.

    Example:
        >>> shorten(0.000576005427777614)
        0.000576005
    """
    return float(f"{value:.6g}")
