"""The look that all charts share."""

from pathlib import Path

from harness.report.chart_style import PAGE
from harness.report.charts import draw_history
from tests.report.searches import findings_of


def test_colours_of_the_page_are_left_to_its_style_sheet(searched: Path) -> None:
    text = str(draw_history(findings_of(searched), PAGE).to_dict()) + str(PAGE.config())
    assert "var(--accent)" in text and "#" not in text.replace("#vega", "")


def test_marks_are_not_read_aloud_one_by_one() -> None:
    config = PAGE.config()
    assert [config[part]["aria"] for part in ("mark", "axis", "legend")] == [False, False, False]
