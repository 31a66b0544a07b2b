"""Cases of a parametrised test of which a few are quick enough for every run."""

from collections.abc import Collection, Sequence
from itertools import product

import pytest


def every_case(*choices: Sequence[tuple[str, object]], quick: Collection[tuple[str, ...]]) -> list[object]:
    """Return every combination of some choices as parameters; those not in ``quick`` are marked thorough.

    Args:
        choices: for each argument of the test its values, each with a name
        quick: the combinations of names that plain `pytest` runs
    """
    cases = list(product(*choices))
    found = {tuple(name for name, _ in case) for case in cases}
    assert set(quick) <= found, f"no such case: {set(quick) - found}"
    return [
        pytest.param(
            *(value for _, value in case),
            id="-".join(name for name, _ in case),
            marks=() if tuple(name for name, _ in case) in quick else pytest.mark.thorough,
        )
        for case in cases
    ]
