"""Differences between two experiments are named."""

from harness.files import hash_json
from harness.search.experiment import describe_differences


def test_every_difference_is_named_with_both_values() -> None:
    before = {"random_seed": 1, "corpus": "abc", "parameter_config 'x'": {"range": [0, 1]}}
    now = {"random_seed": 2, "corpus": "abc", "parameter_config 'y'": {"range": [0, 1]}}
    assert (
        describe_differences(before, now)
        == "random_seed was 1 and is 2, parameter_config 'x' was {\"range\": [0, 1]} and is not there, "
        "parameter_config 'y' was not there and is {\"range\": [0, 1]}"
    )


def test_the_order_of_keys_is_no_difference() -> None:
    assert hash_json({"a": 1, "b": 2}) == hash_json({"b": 2, "a": 1})
    assert hash_json({"a": 1, "b": 2}) != hash_json({"a": 1, "b": 3})
