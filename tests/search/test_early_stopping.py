"""A search with early stopping, as a user runs it: real processes over invented curves."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.errors import ExperimentFileError
from harness.search.experiment_file import read_experiment_file
from harness.search.local import HarnessLocalManager
from harness.search.view import Ending
from harness.store.pruning import EarlyStopping, Pruning, PruningRule, find_pruning
from harness.store.records import TrialStatus, last_attempts
from harness.store.store import ResultsStore
from tests.search.promises import check_database, finish
from tests.search.searches import kill, search, start_aup, trials_of, wait_until, write_experiment

#: A trial of this package's own, but for the training: its curve follows from its seed, and its speed from nothing.
INVENTED_CURVE = """
import os, random, sys, time
from pathlib import Path
from harness.errors import Pruned
from harness.store.recorder import open_recorder
from harness.store.records import EpochRecord, TrialResult
from harness.store.trial_spec import TrialSpec, trial_spec_path
from harness.training.trial import watch_epochs
spec = TrialSpec.read(trial_spec_path(Path(sys.argv[1])))
invented = random.Random(spec.seed)
level, pause = invented.random(), random.Random().uniform(0, {longest_pause})
with open_recorder(spec.results_db) as results:
    watch, best = watch_epochs(spec, results), 0.0
    try:
        for epoch in range(1, spec.max_epochs + 1):
            time.sleep(pause)
            accuracy = level + 0.2 * invented.random()
            best = max(best, accuracy)
            watch(EpochRecord(epoch, 1.0, 0.5, 0.5, 1.0, accuracy, 0.5, pause))
    except Pruned as error:
        sys.exit(error.exit_code)
    results.record_result(spec.trial_id, TrialResult(best, 1, spec.max_epochs, (), None, 0.1))
"""
OURS: dict[str, Any] = {
    "system": "mocap1",
    "parameter_config": [{"name": "dropout", "range": [0.0, 0.4], "type": "float"}],
    "max_epochs": 6,
}
MEDIAN = {"rule": "median", "min_epochs": 2}
ASHA = {"rule": "asha", "min_epochs": 2, "reduction_factor": 2}


def write(folder: Path, corpus: Path, longest_pause: float = 0.0, **changes: Any) -> Path:
    script = INVENTED_CURVE.format(longest_pause=longest_pause)
    return write_experiment(folder, script, **{**OURS, "corpus": str(corpus), **changes})


def ends_of(path: Path) -> list[tuple[TrialStatus, float | None, Pruning | None]]:
    """The last end of each trial."""
    with ResultsStore.open_readonly(path.parent / "results" / "results.db") as store:
        trials = last_attempts(trials_of(path))
        return [(trial.status, trial.score, find_pruning(store, trial.trial_id)) for trial in trials]


def test_a_pruned_trial_is_neither_finished_nor_failed_and_never_runs_again(
    prepared_folder: Path, tiny_corpus: Path
) -> None:
    changes: dict[str, Any] = {"early_stopping": ASHA, "n_parallel": 1, "max_failures": 0}
    path = write(prepared_folder, tiny_corpus, n_samples=4, **changes)
    report = search(path)
    ends = ends_of(path)
    pruned = [pruning for status, _, pruning in ends if status is TrialStatus.PRUNED]
    assert report.num_by_status == {TrialStatus.PRUNED: len(pruned), TrialStatus.FINISHED: 4 - len(pruned)}
    assert (report.ending, report.num_failed, 0 < len(pruned) < 4) == ("done", 0, True)
    for trial, (status, score, pruning) in zip(trials_of(path), ends, strict=True):
        if status is TrialStatus.PRUNED:
            assert pruning is not None and trial.num_epochs == pruning.epoch
            assert (score, trial.message, trial.exit_code) == (None, pruning.sentence, 4)
    before = trials_of(path)
    more = search(write(prepared_folder, tiny_corpus, n_samples=5, **changes))
    assert trials_of(path)[:4] == before and sum(more.num_by_status.values()) == 5
    assert [trial.attempt for trial in trials_of(path)] == [1] * 5
    assert more.best is not None and more.best.status is TrialStatus.FINISHED


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("rule", [MEDIAN, ASHA], ids=["median", "asha"])
def test_the_same_trials_are_pruned_whatever_runs_at_once_and_is_killed(
    prepared_folder: Path, tiny_corpus: Path, rule: dict[str, Any]
) -> None:
    def run(name: str, num_parallel: int, num_kills: int = 0) -> list[Any]:
        path = write(
            prepared_folder,
            tiny_corpus,
            longest_pause=0.1,
            name=name,
            early_stopping=rule,
            n_parallel=num_parallel,
            n_samples=9,
        )
        random = Random(num_kills)
        for _ in range(num_kills):
            controller = start_aup(path)
            num_before = num_epochs()
            wait_until(lambda: num_epochs() > num_before + random.randrange(8), seconds=30)
            kill(controller)
        code, _, errors = finish(start_aup(path), seconds=200)
        assert (code, errors) == (0, "")
        check_database(prepared_folder)
        return ends_of(path)

    def num_epochs() -> int:
        database = prepared_folder / "results" / "results.db"
        if not database.exists():
            return 0
        with ResultsStore.open_readonly(database) as store:
            return int(store.query("SELECT count(*) AS num FROM epochs")[0]["num"])

    expected = run("one", 1)
    assert 1 <= sum(status is TrialStatus.PRUNED for status, _, _ in expected) <= 8
    assert run("two", 2) == expected
    assert run("four", 4) == expected
    assert run("killed", 2, num_kills=3) == expected


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("rule", "num_trials"), [(MEDIAN, 9), (ASHA, 5)], ids=["median", "asha"])
def test_a_cluster_prunes_the_same_trials_at_the_same_epochs(
    prepared_folder: Path, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch, rule: dict[str, Any], num_trials: int
) -> None:
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")

    # Nothing here computes with TensorFlow.
    monkeypatch.setattr(HarnessLocalManager, "warm_up", lambda manager: None)

    def run(name: str, **changes: Any) -> list[Any]:
        changes |= {"name": name, "early_stopping": rule, "n_samples": num_trials}
        path = write(prepared_folder, tiny_corpus, longest_pause=0.3, **changes)
        assert search(path).ending is Ending.DONE
        check_database(prepared_folder)
        num_epochs = [trial.num_epochs for trial in last_attempts(trials_of(path))]
        return list(zip(ends_of(path), num_epochs, strict=True))

    here = run("here", n_parallel=1)
    assert 1 <= sum(status is TrialStatus.PRUNED for (status, _, _), _ in here) < num_trials
    assert run("cluster", n_parallel=3, resource="dask", cluster={"local": 3}) == here


@pytest.mark.timeout(240)
def test_a_pruned_trial_whose_controller_did_not_see_it_end_stays_pruned(
    prepared_folder: Path, tiny_corpus: Path
) -> None:
    path = write(prepared_folder, tiny_corpus, early_stopping=ASHA, n_samples=4, n_parallel=1)
    script = prepared_folder / "trial's script.py"
    script.write_text(script.read_text().replace("sys.exit(error", "time.sleep(60)\n        sys.exit(error"))

    def has_pruning() -> bool:
        try:
            return any(pruning is not None for _, _, pruning in ends_of(path))
        except Exception:  # there is no database yet
            return False

    controller = start_aup(path)
    # The warm process imports TensorFlow first.
    wait_until(has_pruning, seconds=200)
    kill(controller)
    script.write_text(INVENTED_CURVE.format(longest_pause=0.0))
    search(path)
    pruned = [trial for trial in trials_of(path) if trial.status is TrialStatus.PRUNED]
    assert pruned and {trial.attempt for trial in trials_of(path)} == {1}


@pytest.fixture
def ours(folder: Path) -> Iterator[Path]:
    """A folder with the script of this package's own trials."""
    (folder / "trial.py").write_text("from harness.training.trial import main\n")
    yield folder


def test_trials_on_a_cluster_have_early_stopping_too(ours: Path) -> None:
    cluster = {"resource": "dask", "cluster": {"local": 1}}
    assert read(ours, early_stopping="median", **cluster) == EarlyStopping(PruningRule.MEDIAN, 3)


def read(folder: Path, **changes: Any) -> EarlyStopping | None:
    (folder / "c").mkdir(exist_ok=True)
    path = write_experiment(folder, "", **{**OURS, "script": "trial.py", "max_epochs": 30, **changes})
    training = read_experiment_file(path).training
    assert training is not None
    return training.early_stopping


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        (None, None),
        ("none", None),
        ("median", EarlyStopping(PruningRule.MEDIAN, 3)),
        ("asha", EarlyStopping(PruningRule.ASHA, 3, 3)),
        (MEDIAN, EarlyStopping(PruningRule.MEDIAN, 2)),
        ({"rule": "asha", "reduction_factor": 4}, EarlyStopping(PruningRule.ASHA, 3, 4)),
    ],
)
def test_early_stopping_is_a_name_or_an_object(ours: Path, given: object, read_as: EarlyStopping | None) -> None:
    assert read(ours, early_stopping=given) == read_as


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"early_stopping": "mean"}, "early_stopping is 'mean'; expected one of ['none', 'median', 'asha']"),
        ({"early_stopping": 3}, "early_stopping is 3; expected one of ['none', 'median', 'asha']"),
        ({"early_stopping": {}}, "early_stopping.rule is missing; expected one of ['median', 'asha']"),
        (
            {"early_stopping": {"rule": "median", "reduction_factor": 3}},
            "early_stopping.reduction_factor is given with rule 'median'; expected rule 'asha' there",
        ),
        (
            {"early_stopping": {"rule": "asha", "reduction_factor": 1}},
            "early_stopping.reduction_factor is 1; expected a whole number from 2 on",
        ),
        (
            {"early_stopping": {"rule": "median", "min_epochs": 0}},
            "early_stopping.min_epochs is 0; expected a whole number from 1 on",
        ),
        (
            {"early_stopping": "median", "max_epochs": 3},
            "early_stopping prunes no trial before epoch 3, and max_epochs is 3; expected min_epochs below max_epochs",
        ),
        (
            {"early_stopping": "median", "script": "trial's script.py"},
            "early_stopping is given with a system, and script 'trial's script.py' is not harness's own; expected a "
            "script that runs harness.training.trial, or one that prints its epochs and no system",
        ),
    ],
)
def test_an_early_stopping_that_cannot_work_is_refused(ours: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentFileError) as caught:
        read(ours, **changes)
    assert str(caught.value) == f"experiment file 'experiment.json': {message}"
