"""What a picture holds: its drawing as SVG, and the rows of its data."""

from collections.abc import Iterator
from typing import Any

import vl_convert

from harness.report.chart_style import PAPER


def draw_to_svg(chart: Any) -> str:
    spec = chart.to_dict()
    spec["config"] = PAPER.config()
    return str(vl_convert.vegalite_to_svg(spec))


def rows_of(chart: Any) -> list[dict[str, Any]]:
    """Every row of the chart's data, wherever it stands."""

    def walk(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            yield from node.get("data", {}).get("values", [])
            for rows in node.get("datasets", {}).values():
                yield from rows
            for key, child in node.items():
                if key != "data":
                    yield from walk(child)
        elif isinstance(node, list):
            for child in node:
                yield from walk(child)

    return list(walk(chart.to_dict()))
