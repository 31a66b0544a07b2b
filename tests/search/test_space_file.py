"""Every mistake in a search space gets its sentence."""

from typing import Any

import pytest

from harness.errors import ExperimentFileError
from harness.models.systems import SYSTEMS
from harness.search.space import ParameterType, check_grid, read_points, read_search_space, require_entries

ORIGIN = "search space 'search_spaces/fusion.json'"
DROPOUT = {"name": "dropout", "range": [0.0, 0.4], "type": "float"}


def parameter(**changes: Any) -> list[dict[str, Any]]:
    return [{**DROPOUT, **changes}]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (parameter(range=[0.4, 0.0]), "parameter 'dropout': low 0.4 is above high 0.0; expected [low, high]"),
        (
            parameter(type="flot"),
            "parameter 'dropout': type is 'flot'; expected one of ['int', 'float', 'choice']",
        ),
        (
            parameter(type=None),
            "parameter 'dropout': type is null; expected one of ['int', 'float', 'choice']",
        ),
        (parameter(range=[0.1]), "parameter 'dropout': range is [0.1]; expected [low, high]"),
        (
            parameter(range=["a", "b"]),
            "parameter 'dropout': bound 'a'; expected a number of at most 9007199254740992 in size",
        ),
        (
            parameter(range=[-1e300, 1]),
            "parameter 'dropout': bound -1e+300; expected a number of at most 9007199254740992 in size",
        ),
        (
            [{"name": "n" * 100_000, "range": [0, 1]}],
            f"parameter 1: name has 100000 characters, {'n' * 40!r} and so on; expected at most 200",
        ),
        (
            [{"name": f"x{number}", "range": [0, 1]} for number in range(3000)],
            "parameter_config has 3000 hyperparameters; expected at most 1000, for results.db has a column for each",
        ),
        (
            parameter(type="int", range=[1, 2.5]),
            "parameter 'dropout': bound 2.5; expected an integer of at most 9007199254740992 in size",
        ),
        (parameter(type="choice", range=[]), "parameter 'dropout': range is []; expected a list of choices"),
        (
            parameter(log=True),
            "parameter 'dropout': low 0.0 has no logarithm; with log, expected a low above 0",
        ),
        (parameter(log="yes"), "parameter 'dropout': log is 'yes'; expected true or false"),
        (parameter(step=0), "parameter 'dropout': step is 0; expected a number above 0"),
        *(
            (
                parameter(range=[0.0, 0.5], step=step),
                f"parameter 'dropout': step is {step}, with more than 9007199254740992 values between low 0.0 and high "
                "0.5; expected a larger step",
            )
            for step in (1e-20, 5e-324)
        ),
        (
            parameter(type="choice", range=["adam", "sgd", "adam"]),
            "parameter 'dropout': choice 'adam' is given twice; expected each choice once",
        ),
        (
            parameter(type="choice", range=[1, 1.0]),
            "parameter 'dropout': choice 1.0 is 1, which is given too; expected each choice once",
        ),
        (
            parameter(range=[0.1, 0.4], log=True, step=0.1),
            "parameter 'dropout': log and step are both given; expected one of them",
        ),
        (
            parameter(type="choice", range=[0.1], step=1),
            "parameter 'dropout': step is given for a choice; expected it for numbers only",
        ),
        (
            parameter(rnage=[0, 1]),
            "parameter 'dropout': unknown key 'rnage'; expected 'range', or a name that is less like it",
        ),
        (parameter(name=""), "parameter 1: name is ''; expected a hyperparameter's name"),
        ([{"range": [0, 1]}], "parameter 1: name is missing; expected a hyperparameter's name"),
        (["dropout"], 'parameter 1 is \'dropout\'; expected {"name": ..., "range": ...}'),
        (
            [DROPOUT, DROPOUT],
            "parameter 'dropout' is given twice; expected each name once (upper and lower case count as the same)",
        ),
        ([None], 'parameter 1 is null; expected {"name": ..., "range": ...}'),
        (
            [{"name": "dropout", "range": [0.1, 2]}],
            "parameter 'dropout': bound 0.1; expected an integer of at most 9007199254740992 in size where no type is "
            "given, or the type 'float'",
        ),
        (
            [DROPOUT, {**DROPOUT, "name": "Dropout"}],
            (
                "parameter 'Dropout' comes after 'dropout'; expected each name once (upper and lower case"
                " count as the same)"
            ),
        ),
        (
            [],
            (
                "parameter_config is []; expected a list with at least one "
                '{"name": ..., "range": ..., "type": ...}'
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_searched_is_refused(entries: object, message: str) -> None:
    if isinstance(entries, list) and entries and isinstance(entries[0], dict) and "rnage" in entries[0]:
        del entries[0]["range"]
    with pytest.raises(ExperimentFileError) as caught:
        read_search_space(entries, ORIGIN, None)
    assert str(caught.value) == f"{ORIGIN}: {message}"


def test_the_largest_bound_is_allowed() -> None:
    (units,) = read_search_space([{"name": "units", "range": [-(2**53), 2**53]}], ORIGIN, None).parameters
    assert (units.type, units.low, units.high) == (ParameterType.INT, -(2**53), 2**53)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"n": 2.5}, "n is 2.5; expected a whole number from 2 to 1000000"),
        ({"n": True}, "n is true; expected a whole number from 2 to 1000000"),
        ({"n": 1}, "n is 1; expected a whole number from 2 to 1000000"),
        ({"interval": True}, "interval is true; expected a number above 0"),
        ({"interval": 0}, "interval is 0; expected a number above 0"),
        ({"interval": 10**400}, f"interval is {10**79}; expected a number above 0"),
        ({"interval": None}, "interval is null; expected a number above 0"),
        ({}, None),
        ({"n": 2, "interval": 0.5}, None),
    ],
    ids=str,
)
def test_the_grid_of_a_sequence_has_two_values_and_a_distance(entry: dict[str, Any], message: str | None) -> None:
    space = read_search_space(parameter(), ORIGIN, None)
    if message is None:
        check_grid(space, [entry], ORIGIN)
        return
    with pytest.raises(ExperimentFileError) as caught:
        check_grid(space, [entry], ORIGIN)
    assert str(caught.value) == f"{ORIGIN}: parameter 'dropout': {message}"


def test_a_file_without_hyperparameters_is_said_to_lack_them() -> None:
    """It was said to hold null."""
    with pytest.raises(ExperimentFileError) as caught:
        require_entries({"system": "text1"}, ORIGIN)
    assert str(caught.value) == (
        f'{ORIGIN}: parameter_config is missing; expected a list with at least one {{"name": ..., "range": ..., '
        '"type": ...}'
    )


def test_names_that_the_search_needs_itself_are_refused() -> None:
    with pytest.raises(ExperimentFileError) as caught:
        read_search_space(parameter(name="trial_index"), ORIGIN, None)
    assert (
        str(caught.value)
        == f"{ORIGIN}: parameter 1: name 'trial_index' is reserved for the search itself; expected any name but "
           "['job_id', 'n_iterations', 'save_model', 'tid', 'trial_id', 'trial_index']"
    )


def test_an_unknown_hyperparameter_of_a_system_is_refused() -> None:
    with pytest.raises(ExperimentFileError) as caught:
        read_search_space(parameter(name="droput"), ORIGIN, SYSTEMS["mocap1"])
    assert (
        str(caught.value)
        == f"{ORIGIN}: unknown hyperparameter 'droput' of system 'mocap1'; expected one of ['batch_size',"
        " 'class_weight_power', 'clip_norm', 'dense', 'dropout', 'gates', 'input_dropout', 'label_smoothing',"
        " 'learning_rate', 'noise', 'optimizer', 'recurrent_dropout', 'scene_robustness', 'soft_labels', 'time_masks',"
        " 'weight_decay', 'word_dropout']"
    )


def test_a_foreign_script_may_have_any_hyperparameter() -> None:
    space = read_search_space(parameter(name="whatever it's called; really"), ORIGIN, None)
    assert space.parameters[0].name == "whatever it's called; really"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"name": "dense", "range": [1.0, 2.0], "type": "float"},
            "parameter 'dense': type is 'float'; expected 'int' or a choice of integers",
        ),
        (
            {"name": "dense", "range": [64, 0.5], "type": "choice"},
            "parameter 'dense': choice 0.5; expected an integer",
        ),
        (
            {"name": "gates", "range": [0, 1], "type": "int"},
            "parameter 'gates': type is 'int'; expected 'choice' from ['sigmoid', 'hard_sigmoid']",
        ),
        (
            {"name": "gates", "range": ["sigmoid", "relu"], "type": "choice"},
            "parameter 'gates': choice 'relu'; expected one of ['sigmoid', 'hard_sigmoid']",
        ),
        (
            {"name": "dropout", "range": ["much"], "type": "choice"},
            "parameter 'dropout': choice 'much'; expected a number",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_range_that_the_hyperparameter_cannot_take_is_refused(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentFileError) as caught:
        read_search_space([entry], ORIGIN, SYSTEMS["mocap1"])
    assert str(caught.value) == f"{ORIGIN}: {message}"


def test_a_missing_type_is_int_as_under_auptimizer() -> None:
    space = read_search_space([{"name": "units", "range": [1, 9]}], ORIGIN, None)
    assert (space.parameters[0].type, space.parameters[0].high) == (ParameterType.INT, 9)


def test_points_with_true_and_with_1_are_two_as_the_choices_are() -> None:
    space = read_search_space([{"name": "gate", "range": [True, 1], "type": "choice"}], ORIGIN, None)
    assert len(read_points([{"gate": True}, {"gate": 1}], space, "points")) == 2


@pytest.mark.timeout(20)
def test_very_many_points_are_read_at_once() -> None:
    """Each was compared with all before it: 10,000 took ten seconds, and 100,000 a quarter of an hour."""
    space = read_search_space([{"name": "dropout", "range": [0, 1], "type": "float"}], ORIGIN, None)
    points = [{"dropout": number / 30_000} for number in range(30_000)]
    assert list(read_points(points, space, "points")) == points
    with pytest.raises(ExperimentFileError, match="points: point 30001 is point 1 again; expected each point once"):
        read_points([*points, {"dropout": -0.0}], space, "points")
