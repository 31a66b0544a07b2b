from pathlib import Path

from harness.report.chart_style import PAPER
from harness.report.charts import draw_confusion
from tests.report.pictures import draw_to_svg, rows_of
from tests.report.searches import findings_of


def test_confusion_shows_counts_and_shares_of_a_row(searched: Path) -> None:
    chart = draw_confusion(findings_of(searched), PAPER)
    (cell,) = [row for row in rows_of(chart) if (row["said"], row["predicted"]) == ("neutral", "neutral")]
    assert (cell["count"], cell["share"]) == (8, 0.8)
    svg = draw_to_svg(chart)
    assert ">80%<" in svg and ">excitement<" in svg
