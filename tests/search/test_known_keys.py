"""A key that nothing reads is refused, or kept where Auptimizer keeps it."""

import pytest

from harness.errors import ExperimentFileError
from harness.search.keys import check_keys

KNOWN = ("name", "n_samples", "n_parallel", "random_seed")
ORIGIN = "experiment file 'e.json'"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("n_sample", "'n_samples', or another of"),
        ("seed", "'random_seed', or another of"),
        ("remark", "one of"),
    ],
)
def test_an_unknown_key_is_refused_with_the_known_one_that_is_near(key: str, expected: str) -> None:
    with pytest.raises(ExperimentFileError) as caught:
        check_keys(["name", key], KNOWN, ORIGIN)
    assert str(caught.value) == f"{ORIGIN}: unknown key {key!r}; expected {expected} {sorted(KNOWN)}"


def test_a_misspelt_key_is_refused_everywhere() -> None:
    with pytest.raises(ExperimentFileError) as caught:
        check_keys(["n_sample"], KNOWN, ORIGIN, allows_others=True)
    assert (
        str(caught.value) == f"{ORIGIN}: unknown key 'n_sample'; expected 'n_samples', or a name that is less like it"
    )


def test_unknown_keys_unlike_any_known_one_are_kept() -> None:
    check_keys(["n_samples", "remark"], KNOWN, ORIGIN, allows_others=True)
