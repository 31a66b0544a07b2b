from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.report.findings import Findings
from harness.report.importance import (
    MIN_TRIALS,
    Importance,
    _corrected_shares,
    count_groups,
    estimate_importance,
    find_joint_importance,
    group_trials,
    list_importances,
)
from tests.report.searches import findings_of, with_trials

SPACE = [
    {"name": "first", "range": [0.0, 1.0], "type": "float"},
    {"name": "second", "range": [0.0, 1.0], "type": "float"},
    {"name": "third", "range": [0.0, 1.0], "type": "float"},
    {"name": "choice", "range": ["a", "b", "c"], "type": "choice"},
]

Effect = Callable[[np.ndarray, np.ndarray], np.ndarray]

EFFECTS: dict[str, Effect] = {
    "linear": lambda x, choice: x[:, 0],
    "U-shaped": lambda x, choice: 4 * (x[:, 0] - 0.5) ** 2,
    "choice": lambda x, choice: 0.5 * (choice == 1),
    "interaction": lambda x, choice: 0.5 * ((x[:, 0] > 0.5) ^ (x[:, 1] > 0.5)),
    "none": lambda x, choice: np.zeros(len(x)),
}


def draw_points(num_trials: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.random((num_trials, 3)), generator.integers(0, 3, num_trials)


def plant(path: Path, effect: str, num_trials: int, seed: int = 0, noise: float = 0.1) -> Findings:
    x, choice = draw_points(num_trials, seed)
    scores = EFFECTS[effect](x, choice) + np.random.default_rng([seed, 1]).normal(0, noise, num_trials)
    points: list[dict[str, Any]] = [
        {"first": float(row[0]), "second": float(row[1]), "third": float(row[2]), "choice": "abc"[chosen]}
        for row, chosen in zip(x, choice, strict=True)
    ]
    return with_trials(findings_of(path), SPACE, points, scores.tolist())


def by_name(findings: Findings) -> dict[str, Importance]:
    return {one.name: one for one in list_importances(findings)}


@pytest.mark.parametrize("num_trials", [30, 300])
@pytest.mark.parametrize(
    ("effect", "name"), [("linear", "first"), ("U-shaped", "first"), ("choice", "choice")]
)
def test_planted_effect_is_found_and_nothing_else(
    searched: Path, effect: str, name: str, num_trials: int
) -> None:
    found = by_name(plant(searched, effect, num_trials))
    important = found.pop(name)
    assert important.low > 0 and important.low < important.share < important.high
    assert important.share > (0.6 if num_trials == 300 else 0.3)
    assert all(other.low == 0 for other in found.values())
    assert list_importances(plant(searched, effect, num_trials))[0].name == name


def test_hyperparameter_that_does_nothing_has_nothing_on_average(searched: Path) -> None:
    shares, covered = [], []
    for seed in range(40):
        for one in list_importances(plant(searched, "none", 30, seed)):
            shares.append(one.share)
            covered.append(one.low == 0)
    assert np.median(shares) < 0.01 and np.mean(shares) < 0.06
    assert np.mean(covered) > 0.95


@pytest.mark.parametrize("num_groups", [2, 3, 8])
def test_share_is_nought_on_average_before_it_is_cut_there(num_groups: int) -> None:
    generator = np.random.default_rng(0)
    groups = np.arange(40) % num_groups
    shares = [
        _corrected_shares(np.ones((1, 40)), groups, generator.permutation(40) + 1.0)[0] for _ in range(2000)
    ]
    assert abs(np.mean(shares)) < 3 * np.std(shares) / 2000**0.5


def test_intervals_hold_the_share_of_endlessly_many_trials() -> None:
    def draw(num_trials: int, seed: int) -> Importance:
        x, choice = draw_points(num_trials, seed)
        scores = x[:, 0] + np.random.default_rng([seed, 2]).normal(0, 0.3, num_trials)
        return estimate_importance("first", np.minimum(2, (3 * x[:, 0]).astype(int)), scores)

    truth = draw(20_000, 0).share
    found = [draw(30, seed) for seed in range(1, 101)]
    assert 0.88 <= np.mean([one.low <= truth <= one.high for one in found]) <= 1
    assert abs(np.mean([one.share for one in found]) - truth) < 0.03


def test_interaction_is_left_over_and_named(searched: Path) -> None:
    findings = plant(searched, "interaction", 100)
    assert all(one.share < 0.1 for one in list_importances(findings))
    joint = find_joint_importance(findings)
    assert joint is not None and joint.is_seen and joint.names == ("first", "second")
    assert 0.25 < joint.share < 1


@pytest.mark.parametrize("effect", ["linear", "none"])
def test_no_interaction_is_named_where_there_is_none(searched: Path, effect: str) -> None:
    seen = [
        joint.is_seen
        for seed in range(40)
        if (joint := find_joint_importance(plant(searched, effect, 100, seed))) is not None
    ]
    assert len(seen) == 40 and sum(seen) <= 4


@pytest.mark.parametrize("effect", ["linear", "U-shaped", "choice"])
def test_order_is_that_of_permuting_a_forests_inputs(searched: Path, effect: str) -> None:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    x, choice = draw_points(300, 0)
    scores = EFFECTS[effect](x, choice) + np.random.default_rng([0, 1]).normal(0, 0.1, 300)
    inputs = np.column_stack([x, choice])
    forest = RandomForestRegressor(30, min_samples_leaf=5, random_state=0).fit(inputs, scores)
    permuted = permutation_importance(forest, inputs, scores, n_repeats=3, random_state=0).importances_mean
    shares = [
        by_name(plant(searched, effect, 300))[name].share for name in ("first", "second", "third", "choice")
    ]
    assert np.argmax(permuted) == np.argmax(shares)
    assert abs(permuted / permuted.sum() - np.array(shares) / sum(shares)).max() < 0.15


@pytest.mark.parametrize("target", ["max", "min"])
def test_score_of_any_size_and_direction_says_the_same(searched: Path, target: str) -> None:
    x, _ = draw_points(50, 0)
    points = [{"first": float(row[0])} for row in x]
    plain = with_trials(findings_of(searched), SPACE[:1], points, x[:, 0].tolist(), target=target)
    huge = with_trials(
        findings_of(searched), SPACE[:1], points, (10.0 ** (60 * x[:, 0])).tolist(), target=target
    )
    assert list_importances(plain) == list_importances(huge)


def test_too_few_trials_say_nothing(searched: Path) -> None:
    findings = plant(searched, "linear", MIN_TRIALS - 1)
    assert list_importances(findings) == [] and find_joint_importance(findings) is None


def test_equal_scores_have_nothing_to_explain(searched: Path) -> None:
    x, _ = draw_points(20, 0)
    findings = with_trials(
        findings_of(searched), SPACE[:1], [{"first": float(row[0])} for row in x], [0.5] * 20
    )
    (one,) = list_importances(findings)
    assert np.isnan([one.share, one.low, one.high]).all()


@pytest.mark.parametrize("value", [0.5, 1], ids=["float", "int"])
def test_single_value_explains_nothing(searched: Path, value: float) -> None:
    space = [{"name": "first", "range": [value, value], "type": "float"}]
    points = [{"first": value}] * 20
    (one,) = list_importances(
        with_trials(findings_of(searched), space, points, [0.01 * number for number in range(20)])
    )
    assert one.share == 0 and one.num_groups == 1


def test_choice_of_its_own_in_every_trial_has_no_interval(searched: Path) -> None:
    names = [f"choice {number}" for number in range(15)]
    space = [{"name": "choice", "range": names, "type": "choice"}]
    points = [{"choice": name} for name in names]
    scores = [0.01 * number for number in range(15)]
    (one,) = list_importances(with_trials(findings_of(searched), space, points, scores))
    assert np.isnan([one.share, one.low, one.high]).all()


def test_equal_values_share_a_group_and_groups_are_of_like_size(searched: Path) -> None:
    findings = with_trials(
        findings_of(searched),
        [{"name": "first", "range": [1, 9], "type": "int"}],
        [{"first": value} for value in (1, 1, 1, 1, 5, 6, 7, 8, 9)],
        [0.1 * number for number in range(9)],
    )
    trials = sorted(findings.trials, key=lambda trial: trial.trial_index)
    assert group_trials(findings.search_space[0], trials, 3).tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2]
    assert [count_groups(number) for number in (12, 39, 40, 10_000)] == [3, 3, 4, 8]
