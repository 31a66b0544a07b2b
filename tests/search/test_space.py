"""What a search space draws, and how many points it has."""

import numpy as np
import pytest

from harness.search.space import Parameter, ParameterType, SearchSpace, space_from_json

UNITS = Parameter("units", ParameterType.INT, 150, 152)
DROPOUT = Parameter("dropout", ParameterType.FLOAT, 0.0, 0.4)
RATE = Parameter("rate", ParameterType.FLOAT, 0.0001, 0.1, is_log=True)
GATES = Parameter("gates", ParameterType.CHOICE, choices=("sigmoid", "hard_sigmoid"))
STEPPED = Parameter("stepped", ParameterType.FLOAT, 0.1, 0.5, step=0.1)
POWERS = Parameter("powers", ParameterType.INT, 1, 1000, is_log=True)


def draw_many(parameter: Parameter, number: int = 2000) -> list[object]:
    generator = np.random.default_rng(0)
    return [parameter.draw(generator) for _ in range(number)]


def test_both_bounds_of_an_integer_are_drawn() -> None:
    assert set(draw_many(UNITS)) == {150, 151, 152}


def test_integers_are_plain_integers_and_floats_plain_floats() -> None:
    assert {type(value) for value in draw_many(UNITS, 5)} == {int}
    assert {type(value) for parameter in (DROPOUT, RATE, STEPPED) for value in draw_many(parameter, 5)} == {
        float
    }


def test_a_float_is_uniform_between_its_bounds() -> None:
    drawn = np.array(draw_many(DROPOUT), dtype=float)
    assert drawn.min() >= 0.0 and drawn.max() <= 0.4
    assert abs(drawn.mean() - 0.2) < 0.01


def test_a_logarithmic_float_spends_a_third_of_its_draws_on_each_decade() -> None:
    drawn = np.array(draw_many(RATE), dtype=float)
    counts, _ = np.histogram(drawn, bins=[0.0001, 0.001, 0.01, 0.1])
    assert counts.sum() == 2000
    assert counts.min() > 600


def test_a_logarithmic_integer_draws_its_small_values_often() -> None:
    drawn = draw_many(POWERS)
    assert {1, 2, 3} < set(drawn)
    assert 0.4 < sum(isinstance(value, int) and value <= 30 for value in drawn) / len(drawn) < 0.65


def test_steps_fall_on_round_numbers_and_reach_the_upper_bound() -> None:
    assert set(draw_many(STEPPED)) == {0.1, 0.2, 0.3, 0.4, 0.5}


def test_steps_stop_below_an_upper_bound_off_the_grid() -> None:
    parameter = Parameter("batch_size", ParameterType.INT, 16, 70, step=16)
    assert set(draw_many(parameter)) == {16, 32, 48, 64}


@pytest.mark.parametrize(
    ("parameters", "num_points"),
    [((UNITS, GATES), 6), ((UNITS, STEPPED), 15), ((UNITS, DROPOUT), None)],
    ids=["numbers and choices", "steps", "a continuum"],
)
def test_points_are_counted(parameters: tuple[Parameter, ...], num_points: int | None) -> None:
    assert SearchSpace(parameters).num_points == num_points


def test_every_point_of_a_finite_space_is_listed_once() -> None:
    space = SearchSpace((UNITS, GATES))
    points = list(space.points())
    assert len(points) == space.num_points == len({str(point) for point in points})


def test_a_space_survives_json() -> None:
    space = SearchSpace((UNITS, DROPOUT, RATE, GATES, STEPPED, POWERS))
    assert space_from_json(space.to_json()) == space


def test_a_choice_that_is_an_object_is_held_in_any_order_of_its_keys():
    parameter = Parameter("optimizer", ParameterType.CHOICE, choices=({"name": "adam", "beta": 0.9}, "sgd"))
    assert parameter.holds({"beta": 0.9, "name": "adam"}) and parameter.holds("sgd")
    assert not parameter.holds({"name": "adam"})
