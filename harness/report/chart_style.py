"""What the report's pictures share, as Vega-Lite: colours, sizes, the axis of the scores and the baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from harness.report.findings import Findings
from harness.report.statements import CLASS_NAMES

FIGURE_HEIGHT = 300
#: Pixels of a figure that is written to a file; on the page each takes what its column has.
STATIC_WIDTH = 720
#: The mark of what failed, as a path of SVG in a square from -1 to 1.
CROSS = "M-1,-1L1,1M1,-1L-1,1"

#: Pixels above and below the scores: there stand the failures.
_SCORE_ROOM = 16


@dataclass(frozen=True)
class Palette:
    """Colours by what they are for; on the page CSS variables, so that dark mode is CSS alone.

    Attributes:
        steps: from the lowest scores to the highest
    """

    ink: str
    quiet: str
    grid: str
    accent: str
    second: str
    warning: str
    surface: str
    steps: tuple[str, ...]


#: For files: on white paper.
PAPER = Palette(
    ink="#1d2433",
    quiet="#8a93a6",
    grid="#e3e7ee",
    accent="#0b62d6",
    second="#b4540a",
    warning="#c2283b",
    surface="#ffffff",
    steps=("#c9d3e3", "#9dbbe8", "#5f97e6", "#0b62d6", "#083f8c"),
)
_NAMES = ("ink", "quiet", "grid", "accent", "second", "warning", "surface")
#: For the page, whose style sheet holds the colours of light and dark.
PAGE = Palette(
    **{name: f"var(--{name})" for name in _NAMES}, steps=tuple(f"var(--step{n})" for n in range(1, 6))
)


@dataclass(frozen=True)
class Picture:
    """A chart, and its larger data, which altair would copy and check number by number.

    Attributes:
        chart: names its data
        datasets: rows by name, plain values that JSON has
    """

    chart: alt.TopLevelMixin
    datasets: Mapping[str, Sequence[Mapping[str, Any]]]

    def to_dict(self, validate: bool = True) -> dict[str, Any]:
        """Return the specification in Vega-Lite.

        Args:
            validate: hold the chart, without its data, against Vega-Lite's schema
        """
        spec: dict[str, Any] = self.chart.to_dict(validate=validate)
        return {**spec, "datasets": {**spec.get("datasets", {}), **self.datasets}}


def style(palette: Palette) -> dict[str, Any]:
    """Return Vega-Lite's configuration: fonts and colours of whatever is no mark."""
    axis = {
        "aria": False,
        "domainColor": palette.quiet,
        "tickColor": palette.quiet,
        "gridColor": palette.grid,
        "labelColor": palette.ink,
        "titleColor": palette.ink,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
    }
    return {
        "background": None if palette is PAGE else palette.surface,
        "font": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
        "axis": axis,
        # A reader of screens gets the description and the tables, not every mark by itself.
        "mark": {"aria": False},
        "legend": {
            "aria": False,
            "labelColor": palette.ink,
            "titleColor": palette.ink,
            "labelFontSize": 12,
        },
        "view": {"stroke": None},
        "text": {"color": palette.ink},
    }


def score_axis(findings: Findings) -> dict[str, Any]:
    """Return what the axis of the scores is in every picture: its title, its format and its scale."""
    if findings.scores_are_accuracies:
        return {
            "title": "validation accuracy",
            "axis": alt.Axis(format="%"),
            "scale": alt.Scale(zero=False, padding=_SCORE_ROOM),
        }
    return {"title": "score", "axis": alt.Axis(), "scale": alt.Scale(zero=False, padding=_SCORE_ROOM)}


def failures_height(findings: Findings, height: int) -> int:
    """Return the pixel, from the top of a picture, where failed trials stand: at the end that is worse."""
    return height - 8 if findings.experiment.target == "max" else 8


def failures_place(findings: Findings) -> str:
    """Say where they stand."""
    return "at the bottom" if findings.experiment.target == "max" else "at the top"


def draw_baseline(findings: Findings, palette: Palette) -> list[alt.Chart]:
    """Draw the share of the largest class as a dotted line; nothing where it is not known."""
    baseline = findings.baseline
    if baseline is None or not findings.scores_are_accuracies:
        return []
    name = CLASS_NAMES.get(baseline.emotion, str(baseline.emotion))
    row: Mapping[str, Any] = {
        "share": baseline.share,
        "label": f"always '{name}': {100 * baseline.share:.1f} %",
    }
    base = alt.Chart(alt.Data(values=[row])).encode(y="share:Q")
    return [
        base.mark_rule(color=palette.ink, strokeDash=[2, 3], opacity=0.7),
        base.mark_text(align="right", baseline="bottom", dy=-3, color=palette.ink).encode(
            text="label:N", x=alt.value("width")
        ),
    ]


def rounded(share: float) -> float | None:
    """Return a share with the four digits that a picture shows; None, which JSON has, for NaN."""
    return round(float(share), 4) if math.isfinite(share) else None


def shorten(value: float) -> float:
    """Return a number of any size with six digits, so that it takes less room in the page.

    Example:
        >>> shorten(0.000576005427777614)
        0.000576005
    """
    return float(f"{value:.6g}")


def title_tooltip(name: str) -> str:
    r"""Return a name as the title of a tooltip's row: Vega-Lite puts it into a program between quotes.

    Example:
        >>> title_tooltip("two\nlines"), title_tooltip("back\\slash") == "back" + 2 * "\\" + "slash"
        ('two lines', True)
    """
    return " ".join(name.split()).replace("\\", 2 * "\\")
