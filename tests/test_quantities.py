import pytest

from harness.wording import write_bytes, write_duration


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"),
        (100 * 3600, "100 h 0 min"),
        (None, ""),
    ],
)
def test_durations_have_two_units_at_most(seconds: float | None, written: str) -> None:
    assert write_duration(seconds) == written


@pytest.mark.parametrize(
    ("num_bytes", "written"),
    [
        (0, "0 MB"),
        (1, "1 B"),
        (999, "999 B"),
        (499_999, "500 KB"),
        (4_000_000, "4 MB"),
        (999_400_000, "999 MB"),
        (4_000_000_000, "4.0 GB"),
        (None, ""),
    ],
)
def test_sizes_are_in_the_units_in_which_a_limit_is_given(num_bytes: int | None, written: str) -> None:
    assert write_bytes(num_bytes) == written
