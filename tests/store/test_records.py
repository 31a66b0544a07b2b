import re

from harness.store.records import PROBABILITY_COLUMNS, utc_now


def test_time_is_written_in_utc_with_milliseconds() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", utc_now())


def test_probabilities_have_a_column_for_each_class_in_order() -> None:
    assert PROBABILITY_COLUMNS == ("probability_ang", "probability_exc", "probability_neu", "probability_sad")
