"""The published figures, as the paper prints them."""

import pytest

from harness.models.systems import PAPER_SYSTEMS
from harness.splits.protocol import Recordings
from harness.tables.published import COMBINED_SENTENCE, COMBINED_SYSTEM, PUBLISHED, TITLES


def test_every_system_stands_in_a_table_with_one_figure():
    of_all = [row for row in PUBLISHED if row.system in PAPER_SYSTEMS and row.recordings is Recordings.ALL]
    assert {row.system for row in of_all} == set(PAPER_SYSTEMS)
    for name in PAPER_SYSTEMS:
        assert len({row.percent for row in of_all if row.system == name}) == 1


@pytest.mark.parametrize(
    ("table", "percents"),
    [
        (1, [50.6, 51.32, 54.15, 55.65]),
        (2, [62.85, 62.72, 54, 56.10, 56, 55.65]),
        (3, [62.55, 64.68, 64.78]),
        (4, [37.75, 40.28, 33.70, 36.94, 48.99, 48.58, 51.11]),
        (5, [71.04, 71.59, 68.40]),
    ],
)
def test_a_table_has_the_papers_figures_in_the_papers_order(table, percents):
    assert [row.percent for row in PUBLISHED if row.table == table] == percents
    assert table in TITLES


def test_the_combined_figure_is_what_its_sentence_says():
    (combined,) = [row for row in PUBLISHED if row.system == COMBINED_SYSTEM]
    assert f"{combined.percent:.2f} % is 780 of 1098" in COMBINED_SENTENCE
    assert round(100 * 780 / 1098, 2) == combined.percent
