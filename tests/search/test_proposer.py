"""Which points are proposed: by trial index, none twice, whatever happened before."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import ExperimentFileError
from harness.search import proposer as proposer_module
from harness.search.auptimizer import BasicConfig, ProposerStatus, get_proposer
from harness.search.proposer import (
    TRIAL_INDEX,
    HarnessOptunaProposer,
    HarnessRandomProposer,
    RandomPoints,
    ResumableProposer,
    SobolPoints,
    check_installed,
    point_of,
    register_proposers,
    trial_seed,
)
from harness.search.space import read_points, space_from_json
from harness.store.records import TrialRow, TrialStatus

FUSION = [
    {"name": "textlstm", "range": [150, 300], "type": "int"},
    {"name": "dropout", "range": [0.0, 0.4], "type": "float"},
    {"name": "gates", "range": ["sigmoid", "hard_sigmoid"], "type": "choice"},
]
SMALL = [{"name": "units", "range": [1, 5], "type": "int"}]


def config(entries: list[dict[str, Any]], **changes: Any) -> Any:
    values = {
        "parameter_config": entries,
        "n_samples": 6,
        "random_seed": 3,
        "proposer": "random",
        "target": "max",
    }
    return BasicConfig(**{**values, **changes})


def proposals(proposer: Any) -> list[dict[str, Any]]:
    given = []
    while (proposal := proposer.get()) is not None:
        proposer.increment_job_counter()
        given.append(proposal)
    return given


def past(index: int, point: Mapping[str, Any], score: float | None = 0.5) -> TrialRow:
    """The last attempt of a trial, finished with a score; without one it was stopped."""
    status = TrialStatus.STOPPED if score is None else TrialStatus.FINISHED
    values: dict[str, Any] = dict.fromkeys(field.name for field in fields(TrialRow))
    return TrialRow(**{**values, "trial_index": index, "hyperparameters": point, "status": status, "score": score})


def test_a_point_does_not_depend_on_which_was_asked_for_before() -> None:
    in_order = [RandomPoints(space_from_json(FUSION), 3).point(index) for index in range(5)]
    points = RandomPoints(space_from_json(FUSION), 3)
    assert [points.point(index) for index in (4, 2, 0, 1, 3)] == [
        in_order[index] for index in (4, 2, 0, 1, 3)
    ]


def test_another_seed_gives_other_points_and_other_training_seeds() -> None:
    first, second = (RandomPoints(space_from_json(FUSION), seed).point(0) for seed in (0, 1))
    assert first != second
    assert len({trial_seed(seed, index) for seed in range(3) for index in range(50)}) == 150


def test_no_point_comes_twice_and_a_finite_space_is_exhausted() -> None:
    points = RandomPoints(space_from_json(SMALL), 0)
    assert sorted(points.point(index)["units"] for index in range(5)) == [1, 2, 3, 4, 5]
    with pytest.raises(IndexError):
        points.point(5)


SEQUENCES = [RandomPoints, SobolPoints]


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_given_points_come_first_and_change_no_later_one(sequence: type[RandomPoints]) -> None:
    first = {"textlstm": 200, "dropout": 0.25, "gates": "sigmoid"}
    given = [first, {**first, "textlstm": 150}]
    plain, with_given = sequence(space_from_json(FUSION), 3), sequence(space_from_json(FUSION), 3, given)
    assert [with_given.point(index) for index in range(2)] == given
    assert [with_given.point(index) for index in range(2, 6)] == [plain.point(index) for index in range(2, 6)]


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_given_point_is_not_drawn_again(sequence: type[RandomPoints]) -> None:
    points = sequence(space_from_json(SMALL), 0, [{"units": 4}])
    assert sorted(points.point(index)["units"] for index in range(5)) == [1, 2, 3, 4, 5]
    with pytest.raises(IndexError):
        points.point(5)


def test_a_given_point_has_one_spelling() -> None:
    """2.0 is the 2 of an int's range: as another point it would be tried twice."""
    space = space_from_json(SMALL)
    given = read_points([{"units": 2.0}], space, "points")
    assert [type(point["units"]) for point in given] == [int]
    points = RandomPoints(space, 1, given)
    assert sorted(points.point(index)["units"] for index in range(5)) == [1, 2, 3, 4, 5]


def test_a_point_of_sobols_sequence_depends_on_the_seed_and_its_index_alone() -> None:
    in_order = [SobolPoints(space_from_json(FUSION), 3).point(index) for index in range(20)]
    asked_once = SobolPoints(space_from_json(FUSION), 3).point(19)
    assert asked_once == in_order[19]
    assert SobolPoints(space_from_json(FUSION), 4).point(0) != in_order[0]


@pytest.mark.parametrize("seed", range(3))
def test_sobols_sequence_covers_every_hyperparameter_evenly(seed: int) -> None:
    """Each of 16 equal parts of a range has one of the first 16 points, which random points do not have."""
    entries = [
        {"name": "dropout", "range": [0.0, 0.4], "type": "float"},
        {"name": "adamlr", "range": [1e-4, 1e-2], "type": "float", "log": True},
        {"name": "textlstm", "range": [101, 116], "type": "int"},
        {"name": "step", "range": [0.0, 1.5], "type": "float", "step": 0.1},
    ]
    points = SobolPoints(space_from_json(entries), seed)
    drawn = [points.point(index) for index in range(16)]
    assert {int(point["dropout"] / 0.4 * 16) for point in drawn} == set(range(16))
    assert {int((math.log10(point["adamlr"]) + 4) / 2 * 16) for point in drawn} == set(range(16))
    assert {point["textlstm"] for point in drawn} == set(range(101, 117))
    assert {round(point["step"] * 10) for point in drawn} == set(range(16))


def test_the_last_points_of_a_space_are_found_without_drawing_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proposer_module, "_MAX_DRAWS", 1)
    points = RandomPoints(space_from_json(SMALL), 0)
    assert sorted(points.point(index)["units"] for index in range(5)) == [1, 2, 3, 4, 5]


def test_bounds_without_room_between_them_are_refused_instead_of_searched_for_ever() -> None:
    points = RandomPoints(space_from_json([{"name": "x", "range": [1.0, 1.0 + 2**-52], "type": "float"}]), 0)
    with pytest.raises(ExperimentFileError) as caught:
        [points.point(index) for index in range(5)]
    assert "more draws gave no new one; expected wider bounds, or a smaller n_samples" in str(caught.value)


def test_auptimizer_finds_our_random_proposer_under_its_own_name() -> None:
    register_proposers()
    assert get_proposer("random") is HarnessRandomProposer


def test_the_random_proposer_is_one_of_auptimizers() -> None:
    proposer = HarnessRandomProposer(config(SMALL, n_samples=3))
    assert [point["units"] for point in proposals(proposer)] == [
        RandomPoints(space_from_json(SMALL), 3).point(index)["units"] for index in range(3)
    ]
    assert proposer.get_status() is ProposerStatus.FINISHED


def test_a_finite_space_ends_the_search_early() -> None:
    assert HarnessRandomProposer(config(SMALL, n_samples=30)).nSamples == 5


def test_a_resumed_search_proposes_only_what_is_missing_at_the_same_index() -> None:
    whole = proposals(ResumableProposer(HarnessRandomProposer(config(FUSION)), []))
    history = [past(index, point_of(whole[index])) for index in (0, 1, 3)]
    history.append(past(2, point_of(whole[2]), None))
    resumed = ResumableProposer(HarnessRandomProposer(config(FUSION)), history)
    assert proposals(resumed) == [whole[index] for index in (2, 4, 5)]


def test_more_samples_go_on_where_fewer_ended() -> None:
    whole = proposals(ResumableProposer(HarnessRandomProposer(config(FUSION, n_samples=9)), []))
    history = [past(index, point_of(whole[index])) for index in range(6)]
    more = ResumableProposer(HarnessRandomProposer(config(FUSION, n_samples=9)), history)
    assert [proposal[TRIAL_INDEX] for proposal in proposals(more)] == [6, 7, 8]


def test_nothing_left_to_run_is_finished_at_once() -> None:
    history = [past(index, {"units": index + 1}) for index in range(5)]
    resumed = ResumableProposer(HarnessRandomProposer(config(SMALL)), history)
    assert resumed.get_status() is ProposerStatus.FINISHED
    assert resumed.get() is None


def test_auptimizers_sequence_goes_on_where_it_was_left() -> None:
    grid = [
        {"name": "units", "range": [1, 3], "type": "int"},
        {"name": "gates", "range": ["a", "b"], "type": "choice"},
    ]
    whole = proposals(ResumableProposer(get_proposer("sequence")(config(grid)), []))
    assert len({tuple(point_of(point).values()) for point in whole}) == 6
    history = [past(index, point_of(whole[index])) for index in (0, 2)]
    resumed = ResumableProposer(get_proposer("sequence")(config(grid)), history)
    assert proposals(resumed) == [whole[index] for index in (1, 3, 4, 5)]


def test_hyperopt_learns_what_was_really_tried() -> None:
    pytest.importorskip("networkx")
    pytest.importorskip("future")
    inner = get_proposer("hyperopt")(config(FUSION, proposer="hyperopt"))
    tried = {"textlstm": 151, "dropout": 0.125, "gates": "hard_sigmoid"}
    interrupted = {"textlstm": 300, "dropout": 0.25, "gates": "sigmoid"}
    resumed = ResumableProposer(inner, [past(0, tried, 0.75), past(1, interrupted, None)])
    document = inner.trials._dynamic_trials[0]
    assert document["misc"]["vals"] == {"textlstm": [1], "dropout": [0.125], "gates": [1]}
    assert document["result"] == {"loss": -0.75, "status": "ok"}
    again, new, *_ = proposals(resumed)
    assert point_of(again) == interrupted
    assert (again[TRIAL_INDEX], new[TRIAL_INDEX], new["tid"]) == (1, 2, 2)


#: Every kind of parameter.
MIXED = [
    {"name": "units", "range": [1, 4096], "type": "int", "log": True},
    {"name": "rate", "range": [0.0001, 0.1], "type": "float", "log": True},
    {"name": "dropout", "range": [0.1, 0.4], "type": "float", "step": 0.1},
    {"name": "layers", "range": [1, 9], "type": "int", "step": 2},
    {"name": "width", "range": [5, 8], "type": "int"},
    {"name": "pooling", "range": ["mean", None, 1, True], "type": "choice"},
]


def run_optuna(
    entries: list[dict[str, Any]], scores: Mapping[int, float | None], n_samples: int = 16, **changes: Any
) -> list[dict[str, Any]]:
    """Propose trials one at a time; each scores what ``scores`` says, or its first value, and None is a failure."""
    pytest.importorskip("optuna")
    register_proposers()
    proposer = ResumableProposer(
        get_proposer("optuna")(config(entries, proposer="optuna", n_samples=n_samples, **changes)), []
    )
    points = []
    while (proposal := proposer.get()) is not None:
        proposer.increment_job_counter()
        points.append(point_of(proposal))
        score = scores.get(len(points) - 1, float(next(iter(points[-1].values()))))
        job = SimpleNamespace(jid=len(points), config=proposal)
        proposer.failed(job) if score is None else proposer.update(score, job)
    return points


def test_optuna_begins_as_random_does_keeps_to_the_space_and_repeats_no_point() -> None:
    points = run_optuna(MIXED, {3: None, 12: None})
    space = space_from_json(MIXED)
    random = RandomPoints(space, 3)
    assert points[:10] == [random.point(index) for index in range(10)]
    assert points[10:] != [random.point(index) for index in range(10, 16)]
    for point in points:
        assert all(parameter.holds(point[parameter.name]) for parameter in space.parameters), point
    assert len({repr(point) for point in points}) == 16
    assert run_optuna(MIXED, {3: None, 12: None}) == points


def test_optuna_proposes_a_finite_space_once() -> None:
    assert sorted(point["units"] for point in run_optuna(SMALL, {})) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("target", ["max", "min"])
def test_optuna_keeps_to_the_values_between_which_there_is_a_step(target: str) -> None:
    entries = [
        {"name": "x", "range": [0.0, 1.0], "type": "float", "step": 0.25},
        {"name": "y", "range": [0.0, 1.0], "type": "float"},
    ]
    # The best score is that of the highest x, or of the lowest.
    assert {point["x"] for point in run_optuna(entries, {}, 40, target=target)} == {0.0, 0.25, 0.5, 0.75, 1.0}


def test_optuna_begins_to_learn_where_its_own_sampler_would() -> None:
    optuna = pytest.importorskip("optuna")
    default = inspect.signature(optuna.samplers.TPESampler).parameters["n_startup_trials"].default
    assert HarnessOptunaProposer.NUM_RANDOM == default


@pytest.mark.parametrize(("target", "is_high"), [("max", True), ("min", False)])
def test_optuna_learns_from_scores(target: str, is_high: bool) -> None:
    entries = [{"name": "x", "range": [0.0, 1.0], "type": "float"}]
    learnt = [point["x"] for point in run_optuna(entries, {}, n_samples=40, target=target)[20:]]
    assert (sum(learnt) / len(learnt) > 0.7) is is_high
    assert (sum(learnt) / len(learnt) < 0.3) is not is_high


def test_a_resumed_optuna_goes_on_as_if_it_had_never_stopped() -> None:
    scores = {2: None, 11: 0.25}
    whole = run_optuna(FUSION, scores, points=[{"textlstm": 151, "dropout": 0.125, "gates": "sigmoid"}])
    history = [
        replace(past(index, point, scores.get(index, float(point["textlstm"]))), status=TrialStatus.CRASHED)
        if index == 2
        else past(index, point, scores.get(index, float(point["textlstm"])))
        for index, point in enumerate(whole[:13])
    ]
    # Trial 13 was stopped: it runs again, with the point that it had.
    history.append(past(13, whole[13], None))
    inner = get_proposer("optuna")(
        config(
            FUSION,
            proposer="optuna",
            n_samples=16,
            points=[{"textlstm": 151, "dropout": 0.125, "gates": "sigmoid"}],
        )
    )
    resumed = ResumableProposer(inner, history)
    again = resumed.get()
    assert (point_of(again), again[TRIAL_INDEX]) == (whole[13], 13)
    resumed.increment_job_counter()
    resumed.update(float(whole[13]["textlstm"]), SimpleNamespace(jid=1, config=again))
    assert point_of(resumed.get()) == whole[14]


def test_what_a_proposer_needs_and_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ExperimentFileError) as caught:
        check_installed("hyperopt")
    assert (
        str(caught.value)
        == "proposer 'hyperopt': needs future and networkx; run: pip install future"
        " networkx, or "
        "choose one of ['random', 'sobol', 'sequence', 'optuna']"
    )
