"""The chart of the compared systems: what was published, and ours under each protocol, with intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import altair as alt

from harness.report.chart_style import Figure, Look, rounded, tooltips
from harness.report.findings import Findings
from harness.report.reproductions import describe_published, tabulate_reproductions
from harness.tables.reproductions import Column, ReproductionResult, describe_folds
from harness.wording import SYNTHETIC_SENTENCE, plural

_PUBLISHED = "published"
#: The points of a system, with the name and the shape of each.
_COLUMNS = {
    Column.OWN: "ours, its own protocol",
    Column.STRICT: "ours, strict",
    Column.LEFT_OUT: "ours, strict, scene left out, balanced",
}
_SHAPES = ("diamond", "circle", "square", "triangle-up")
#: Lines of words above the points of a system, and pixels of each line and point.
_WORDS, _LINE_HEIGHT = ("title", "measure", "classes", "split", "followed"), 16


def draw_compared(findings: Findings, look: Look) -> Figure:
    """Draw each compared system's published figure and ours, in the measure of the published figure."""
    stored = findings.compared
    figure = Figure(
        "compared",
        "Systems that the paper compares with",
        "One block a system: the published figure, which has no interval, and ours with 95 % intervals under the "
        "protocol of that figure as far as it could be followed, under 'strict' (Sessions 1-4 against Session 5), and "
        "under 'strict' with the scored scene left out of training and classes balanced; all in the measure of the "
        "published figure. A published figure of several folds is an average over them; ours are pooled over the test "
        "sets. A published figure is comparable with the point of its own protocol alone.",
        is_synthetic=stored is not None and stored.is_synthetic,
    )
    if stored is None:
        return figure
    reading = [] if stored.shortened is None else [stored.shortened]
    if stored.max_epochs is not None:
        patience = "" if stored.patience is None else f", with patience {stored.patience}"
        reading.append(f"Ours were trained for at most {plural(stored.max_epochs, 'epoch')}{patience}.")
    if stored.is_synthetic:
        reading.append(f"{SYNTHETIC_SENTENCE} The published points are of IEMOCAP, ours are not.")
    rows = [row for result in stored.results for row in _list_rows(result)]
    figure = replace(figure, reading=tuple(reading), table=tabulate_reproductions(stored.results))
    return figure.show(_place(rows, look), compared=rows)


def _list_rows(result: ReproductionResult) -> Iterator[dict[str, Any]]:
    compared = result.compared
    percent, classes, *split = describe_published(compared)
    own = "'strict' alone" if isinstance(compared.own, str) else describe_folds(compared.own)
    words = (
        f"{compared.title} ({compared.system})",
        f"published: {percent}",
        classes,
        "; ".join(split),
        f"followed here: {own}",
    )
    for slot, text in zip(_WORDS, words, strict=True):
        yield {"system": compared.title, "slot": slot, "text": text}
    yield {
        "system": compared.title,
        "slot": _PUBLISHED,
        "score": rounded(compared.percent / 100),
        "end": rounded(compared.percent / 100),
        "shown": f"{compared.percent:.2f} %",
        "measure": compared.measure or "accuracy, not said which",
    }
    for column, name in _COLUMNS.items():
        cell = result.cells[column]
        measured = cell.measures.get(compared.shown_measure)
        row: dict[str, Any] = {"system": compared.title, "slot": name}
        if measured is None:
            row["text"] = f"{name}: {cell.missing}"
        else:
            row |= {
                "score": rounded(measured.spread.mean),
                "low": rounded(measured.interval.low),
                "high": rounded(measured.interval.high),
                "end": rounded(measured.interval.high),
                "shown": f"{100 * measured.spread.mean:.1f} %",
                "measure": compared.shown_measure,
                "seeds": len(cell.pooled),
            }
        yield row


def _place(rows: list[dict[str, Any]], look: Look) -> alt.LayerChart:
    systems = list(dict.fromkeys(row["system"] for row in rows))
    names = [_PUBLISHED, *_COLUMNS.values()]
    slots = [*_WORDS, *names]
    highest = max(value for row in rows for value in (row.get("score"), row.get("high")) if value is not None)
    x_scale = alt.Scale(domain=[0, min(1.0, highest + 0.08)], nice=False)
    legend = alt.Legend(orient="top", title=None, symbolSize=90, symbolOpacity=1, labelLimit=260, columns=2)
    base = alt.Chart(alt.NamedData(name="compared")).encode(
        y=alt.Y("system:N", sort=systems, title=None, axis=None, scale=alt.Scale(paddingInner=0.12)),
        yOffset=alt.YOffset("slot:N", sort=slots, scale=alt.Scale(domain=slots)),
    )
    scored = base.transform_filter("isValid(datum.score)").encode(
        color=alt.Color(
            "slot:N",
            legend=legend,
            scale=alt.Scale(domain=names, range=[look.ink, look.accent, look.second, look.quiet]),
        ),
        tooltip=tooltips(
            ("system:N", "system"),
            ("slot:N", "score"),
            ("measure:N", "measure"),
            ("shown:N", "value"),
            ("low:Q", "from", ".1%"),
            ("high:Q", "to", ".1%"),
            ("seeds:Q", "seeds"),
        ),
    )
    shape = alt.Shape("slot:N", legend=legend, scale=alt.Scale(domain=names, range=list(_SHAPES)))
    score = alt.X("score:Q", title="score", axis=alt.Axis(format="%"), scale=x_scale)
    words = base.transform_filter("isValid(datum.text)").encode(text="text:N", x=alt.value(0))
    # Wider words would make the chart wider than its column.
    style = {"align": "left", "color": look.ink, "limit": alt.ExprRef("width")}
    title = f"datum.slot === '{_WORDS[0]}'"
    return alt.layer(
        words.transform_filter(f"!({title})").mark_text(fontSize=11, **style),
        words.transform_filter(title).mark_text(fontSize=12, fontWeight=600, **style),
        scored.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=3, opacity=0.45)
        .encode(x=alt.X("low:Q", scale=x_scale), x2="high:Q"),
        scored.mark_point(size=80, filled=True, opacity=1).encode(x=score, shape=shape),
        scored.mark_text(align="left", dx=8, fontSize=11).encode(
            x=alt.X("end:Q", scale=x_scale), text="shown:N"
        ),
    ).properties(width=look.width, height=len(slots) * _LINE_HEIGHT * len(systems))
