"""Scripts that know nothing of this package print their epochs: they are recorded, and pruned like any trial."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from harness.errors import ExperimentFileError
from harness.report.chart_style import PAPER
from harness.report.charts import draw_learning_curves
from harness.report.page import render_page
from harness.report.tables import tabulate_best_trials, tabulate_confusion, tabulate_costs
from harness.search.experiment_file import ReportedEpochs, read_experiment_file
from harness.search.jobs import RunningJob, RunningJobs
from harness.search.reports import TrialReports
from harness.search.view import Ending
from harness.store.integrity import find_contradictions
from harness.store.pruning import EarlyStopping, PruningRule, find_pruning
from harness.store.records import EpochRecord, TrialRow, TrialStatus, last_attempts
from harness.store.store import ResultsStore
from harness.training.early_stopping import Comparison
from tests.report.pictures import rows_of
from tests.report.reading import specs_in
from tests.report.searches import findings_of
from tests.search.promises import check_database, finish
from tests.search.searches import kill, search, start_aup, trials_of, wait_until, write_experiment
from tests.store.experiments import an_experiment

ONE = {"n_samples": 1, "n_parallel": 1}
ASHA = {"rule": "asha", "min_epochs": 2, "reduction_factor": 2}
NUM_EPOCHS = 6
#: A script's curve follows from its point, and its speed from nothing.
PRINTS_ITS_EPOCHS = """
import json, os, random, sys, time
point = json.load(open(sys.argv[1]))
invented, pause, best = random.Random(point["x"]), random.Random().uniform(0, {longest_pause}), 0.0
level = 0.8 * invented.random()
for epoch in range(1, 7):
    time.sleep(pause)
    accuracy = level + 0.2 * invented.random()
    best = max(best, accuracy)
    print("#Auptimizer-epoch:", json.dumps(dict(epoch=epoch, validation_accuracy=accuracy)), flush=True)
print("#Auptimizer:%r" % best)
"""
REPORTS_EVERYTHING = """
import harness
for epoch, accuracy in enumerate([0.25, 0.75, 0.5], start=1):
    harness.report_epoch(epoch, accuracy, train_loss=1.0 / epoch)
harness.report_predictions(["a", "b"], ["ang", "sad"], [[1, 0, 0, 0], [0, 0, 1, 0]])
print("#Auptimizer:0.75")
"""


def run_one(folder: Path, script: str) -> TrialRow:
    path = write_experiment(folder, script, **ONE)
    search(path)
    (trial,) = trials_of(path)
    return trial


def test_reported_epochs_and_predictions_are_recorded(folder: Path) -> None:
    trial = run_one(folder, REPORTS_EVERYTHING)
    assert (trial.status, trial.score, trial.best_epoch, trial.num_epochs) == (TrialStatus.FINISHED, 0.75, 2, 3)
    with ResultsStore.open_readonly(folder / "results" / "results.db") as store:
        epochs = store.epochs(trial.trial_id)
        assert [(each.epoch, each.validation_accuracy, each.train_loss) for each in epochs] == [
            (1, 0.25, 1.0),
            (2, 0.75, 0.5),
            (3, 0.5, 1.0 / 3),
        ]
        assert all(epoch.seconds >= 0 for epoch in epochs)
        predictions = store.validation_predictions(trial.trial_id)
        assert [(each.utterance_id, each.emotion.value, each.predicted.value) for each in predictions] == [
            ("a", "ang", "ang"),
            ("b", "sad", "neu"),
        ]
        # The accuracy of the predictions is not its score: a foreign script may score anything.
        assert find_contradictions(store, [1]) == []
    check_database(folder)


PRINTS_EVERYTHING = """
import json
for epoch, accuracy in enumerate([0.25, 0.75, 0.5], start=1):
    reported = {"epoch": epoch, "validation_accuracy": accuracy, "train_accuracy": 0.875, "seconds": 2.0}
    print("#Auptimizer-epoch:", json.dumps(reported))
names = ["Ses04F_impro01_F000", "Ses04F_impro01_M000", "Ses04F_impro02_F000", "Ses04F_impro02_F001"]
answers = [("ang", "ang"), ("sad", "neu"), ("neu", "neu"), ("neu", "neu")]
print("#Auptimizer-predictions:", json.dumps([
    {"utterance_id": name, "emotion": emotion, "predicted": predicted,
     "probabilities": [0.7 if each == predicted else 0.1 for each in ("ang", "exc", "neu", "sad")]}
    for name, (emotion, predicted) in zip(names, answers)
]))
print("#Auptimizer:0.75")
"""
CALLS_FOR_EVERYTHING = """
import harness
for epoch, accuracy in enumerate([0.25, 0.75, 0.5], start=1):
    harness.report_epoch(epoch, validation_accuracy=accuracy, train_accuracy=0.875, seconds=2.0)
names = ["Ses04F_impro01_F000", "Ses04F_impro01_M000", "Ses04F_impro02_F000", "Ses04F_impro02_F001"]
angry, neutral = [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]
harness.report_predictions(names, ["ang", "sad", "neu", "neu"], [angry, neutral, neutral, neutral])
print("#Auptimizer:0.75")
"""


@pytest.mark.parametrize("script", [PRINTS_EVERYTHING, CALLS_FOR_EVERYTHING], ids=["prints", "calls"])
def test_the_report_has_the_curves_the_confusion_and_the_costs_of_a_script(folder: Path, script: str) -> None:
    search(write_experiment(folder, script, n_samples=2, n_parallel=1))
    findings = findings_of(folder / "results" / "results.db")
    assert findings.best is not None and findings.best.trial_index == 0
    curves = draw_learning_curves(findings, PAPER)
    rows = rows_of(curves)
    assert [row["accuracy"] for row in rows if row.get("trial") == 1] == [[0.25, 0.75, 0.5]]
    assert {(row["epoch"], row["accuracy"]) for row in rows if row.get("of") == "best: validation"} == {
        *((1, 0.25), (2, 0.75), (3, 0.5))
    }
    assert {row["accuracy"] for row in rows if row.get("of") == "best: training"} == {0.875}
    assert curves.reading == ("Validation chose epoch 2 of 3 for the best trial.",)
    assert [row[1:] for row in tabulate_confusion(findings).rows] == [
        ("1", "0", "0", "0", "100.0 %"),
        ("0", "0", "0", "0", ""),
        ("0", "0", "2", "0", "100.0 %"),
        ("0", "0", "1", "0", "0.0 %"),
    ]
    costs = {row[0]: row for row in tabulate_costs(findings).rows}
    assert costs["time of an epoch"] == ("time of an epoch", "2 s", "2 s", "2 s", "12 s")
    assert "time of a trial" in costs
    # A script may score anything, so its score stands as it printed it.
    assert [row[2:4] for row in tabulate_best_trials(findings, 2).rows] == 2 * [("0.75", "2 of 3")]
    drawn = specs_in(render_page(findings))
    assert {"history", "learning-curves", "confusion", "costs"} <= set(drawn)


def test_epochs_are_recorded_while_the_script_runs(folder: Path) -> None:
    waits = "import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.02)\n"
    path = write_experiment(folder, REPORTS_EVERYTHING + waits + "print('#Auptimizer:0.75')\n", **ONE)
    controller = start_aup(path)

    def num_epochs() -> int:
        try:
            with ResultsStore.open_readonly(folder / "results" / "results.db") as store:
                return sum(map(len, store.epochs_of(1).values()))
        except Exception:  # there is no database yet
            return 0

    wait_until(lambda: num_epochs() == 3)
    (folder / "go").touch()
    assert finish(controller)[0] == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '#Auptimizer-epoch: {"epoch": 2, "validation_accuracy": 0.5}',
            "the job reported what cannot be read: #Auptimizer-epoch: epoch is 2 after 0 epochs; expected 1",
        ),
        (
            "#Auptimizer-epoch: three",
            "the job reported what cannot be read: #Auptimizer-epoch: three: line 1, column 2: found 'three'; expected "
            'a value: "a text", a number, true, false, null, [...] or {...}',
        ),
    ],
)
def test_a_report_that_cannot_be_read_is_a_crash_that_says_why(folder: Path, line: str, message: str) -> None:
    trial = run_one(folder, f"print({line!r})\nprint('#Auptimizer:0.5')\n")
    assert (trial.status, trial.message, trial.score) == (TrialStatus.CRASHED, message, None)


def test_a_report_that_cannot_be_read_ends_a_script_at_once(folder: Path) -> None:
    trial = run_one(folder, "import time\nprint('#Auptimizer-epoch: 0', flush=True)\ntime.sleep(600)\n")
    assert trial.status is TrialStatus.CRASHED
    assert trial.message is not None and "found no object; expected one with epoch" in trial.message


def test_a_report_without_an_end_of_line_counts_once_the_script_has_ended(folder: Path) -> None:
    line = '#Auptimizer-epoch: {"epoch": 1, "validation_accuracy": 0.5}'
    trial = run_one(folder, f"print('#Auptimizer:0.5')\nprint({line!r}, end='')\n")
    assert (trial.status, trial.num_epochs) == (TrialStatus.FINISHED, 1)


def test_what_a_script_prints_while_the_search_is_ended_is_recorded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = RunningJobs.ended

    def ended_at_a_stop(jobs: RunningJobs) -> list[RunningJob]:
        jobs.end_all()
        wait_until(lambda: all(job.process.has_ended for job in jobs._jobs))
        return ended(jobs)

    monkeypatch.setattr(RunningJobs, "ended", ended_at_a_stop)
    trial = run_one(folder, "import time\ntime.sleep(1)\n" + REPORTS_EVERYTHING)
    assert (trial.status, trial.score, trial.num_epochs) == (TrialStatus.FINISHED, 0.75, 3)


FIVE_EPOCHS = [f'#Auptimizer-epoch: {{"epoch": {epoch}, "validation_accuracy": 0.5}}\n' for epoch in range(1, 6)]


class WaitsForRivals:
    """In place of a comparison: decides nothing while ``awaited`` holds an index."""

    def __init__(self, *awaited: int) -> None:
        self.awaited = list(awaited)

    def look(self, epoch: EpochRecord) -> tuple[None, list[int]]:
        return None, self.awaited


@pytest.fixture
def store_and_trial_id(folder: Path) -> Iterator[tuple[ResultsStore, int]]:
    with ResultsStore.open(folder / "results.db") as store:
        yield store, store.start_trial(store.create_experiment(an_experiment()), 1, 1, {"x": 1}, 1)


def test_a_script_that_prints_much_is_read_in_parts_and_its_lines_are_not_kept(
    folder: Path, store_and_trial_id: tuple[ResultsStore, int]
) -> None:
    store, trial_id = store_and_trial_id
    output = folder / "1.out"
    with output.open("w") as printed:
        for epoch in FIVE_EPOCHS:
            printed.write("step\n" * (2 * 2**20) + "no line's end" * 2**17 + epoch)
    reports = TrialReports(store, trial_id, output)
    tracemalloc.start()
    reports.follow(has_ended=True)
    assert (reports.is_complete, 0 < len(store.epochs(trial_id)) < 5) == (False, True)
    reports.follow(has_ended=True)
    assert (reports.is_complete, len(store.epochs(trial_id))) == (True, 5)
    assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    tracemalloc.stop()


def test_epochs_that_come_in_one_look_share_the_time_since_the_last(
    folder: Path, store_and_trial_id: tuple[ResultsStore, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (store, trial_id), output, now = store_and_trial_id, folder / "1.out", [100.0]
    monkeypatch.setattr("harness.search.reports.time", SimpleNamespace(monotonic=lambda: now[0]))
    reports = TrialReports(store, trial_id, output)
    timed = FIVE_EPOCHS[3].replace("0.5", '0.5, "seconds": 4.0')
    looks = [(3.0, FIVE_EPOCHS[:1]), (2.0, []), (4.0, FIVE_EPOCHS[1:3]), (5.0, [timed, FIVE_EPOCHS[4]])]
    for seconds, printed in looks:
        now[0] += seconds
        with output.open("a") as stream:
            stream.writelines(printed)
        reports.follow()
    assert [epoch.seconds for epoch in store.epochs(trial_id)] == [3.0, 3.0, 3.0, 4.0, 1.0]


def test_a_report_may_come_in_pieces(folder: Path, store_and_trial_id: tuple[ResultsStore, int]) -> None:
    store, trial_id = store_and_trial_id
    reports = TrialReports(store, trial_id, folder / "1.out")
    with (folder / "1.out").open("w") as printed:
        for letter in "loss 0.7 " + "".join(FIVE_EPOCHS[:2]):
            printed.write(letter)
            printed.flush()
            reports.follow()
    assert (reports.problem, len(store.epochs(trial_id))) == (None, 2)


def test_a_report_that_never_ends_is_a_line_that_cannot_be_read(
    folder: Path, store_and_trial_id: tuple[ResultsStore, int]
) -> None:
    store, trial_id = store_and_trial_id
    (folder / "1.out").write_text(FIVE_EPOCHS[0] + "#Auptimizer-predictions: [" + " " * (17 * 2**20))
    reports = TrialReports(store, trial_id, folder / "1.out")
    reports.follow()
    assert reports.problem is not None and "a line of more than 16 MiB; expected a shorter one" in reports.problem
    assert len(store.epochs(trial_id)) == 1


@pytest.mark.parametrize("is_read_twice", [False, True])
def test_what_comes_before_a_line_that_cannot_be_read_counts(
    folder: Path, store_and_trial_id: tuple[ResultsStore, int], is_read_twice: bool
) -> None:
    (store, trial_id), output, rivals = store_and_trial_id, folder / "1.out", WaitsForRivals(0)
    reports = TrialReports(store, trial_id, output, cast(Comparison, rivals))
    output.write_text("".join(FIVE_EPOCHS))
    if is_read_twice:
        reports.follow()
    output.write_text("".join([*FIVE_EPOCHS, "#Auptimizer-epoch: six\n", *FIVE_EPOCHS]))
    reports.follow()
    assert reports.problem is not None and "six: line 1, column 2: found 'six'; expected a value" in reports.problem
    assert (reports.is_behind, len(store.epochs(trial_id))) == (True, 1)
    rivals.awaited.clear()
    reports.follow()
    assert (reports.is_behind, len(store.epochs(trial_id))) == (False, 5)


@pytest.mark.timeout(60)
def test_a_script_whose_report_cannot_be_read_ends_at_once_and_is_judged_by_the_epochs_before(folder: Path) -> None:
    script = """
import json, os, sys, time
index = int(os.path.basename(sys.argv[1]).split(".")[0]) - 1
while index == 0 and not os.path.exists("go"):
    time.sleep(0.02)
for epoch in range(1, 5):
    print("#Auptimizer-epoch:", json.dumps(dict(epoch=epoch, validation_accuracy=0.9 - 0.2 * index)), flush=True)
if index == 1:
    open("pid", "w").write(str(os.getpid()))
    print("#Auptimizer-epoch: five", flush=True)
    time.sleep(600)
print("#Auptimizer:0.9")
"""
    path = write_experiment(folder, script, early_stopping=ASHA, max_epochs=NUM_EPOCHS, n_samples=2)
    controller = start_aup(path)
    wait_until(lambda: (folder / "pid").exists() and (folder / "pid").read_text() != "", seconds=30)
    process = psutil.Process(int((folder / "pid").read_text()))
    wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE, seconds=10)
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.RUNNING] * 2
    (folder / "go").touch()
    assert finish(controller)[0] == 0
    assert [end[0] for end in ends_of(path)] == [TrialStatus.FINISHED, TrialStatus.PRUNED]


def test_reports_are_no_last_words(folder: Path) -> None:
    trial = run_one(folder, REPORTS_EVERYTHING.replace("print(", "print('so much')\nraise SystemExit(1)\nprint("))
    assert trial.message == "the job exited with code 1 before writing a result; its last line was: so much"


def ends_of(path: Path) -> list[Any]:
    """The last end of each trial, and its curve."""
    with ResultsStore.open_readonly(path.parent / "results" / "results.db") as store:
        return [
            (
                trial.status,
                trial.score,
                find_pruning(store, trial.trial_id),
                [epoch.validation_accuracy for epoch in store.epochs(trial.trial_id)],
            )
            for trial in last_attempts(trials_of(path))
        ]


def write(folder: Path, longest_pause: float = 0.0, **changes: Any) -> Path:
    script = PRINTS_ITS_EPOCHS.format(longest_pause=longest_pause)
    return write_experiment(folder, script, **{"early_stopping": ASHA, "max_epochs": NUM_EPOCHS, **changes})


def test_the_same_scripts_are_pruned_whatever_runs_at_once(folder: Path) -> None:
    expected = None
    for num_parallel in (1, 3):
        path = write(folder, 0.1, name=f"{num_parallel}", n_samples=6, n_parallel=num_parallel)
        report = search(path)
        ends = ends_of(path)
        expected = expected or ends
        assert ends == expected
        pruned = [pruning for status, _, pruning, _ in ends if status is TrialStatus.PRUNED]
        assert (report.ending, report.num_failed, 0 < len(pruned) < 6) == (Ending.DONE, 0, True)
        for status, score, pruning, curve in ends:
            assert (score is None) == (status is TrialStatus.PRUNED) == (pruning is not None)
            assert len(curve) == (NUM_EPOCHS if pruning is None else pruning.epoch)
    with ResultsStore.open_readonly(folder / "results" / "results.db") as store:
        assert find_contradictions(store, [1, 2]) == []
    check_database(folder)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_same_scripts_are_pruned_after_kills(folder: Path) -> None:
    search(path := write(folder, name="undisturbed", n_samples=6))
    expected = ends_of(path)
    path = write(folder, 0.2, name="killed", n_samples=6)

    def num_epochs() -> int:
        with ResultsStore.open_readonly(folder / "results" / "results.db") as store:
            return sum(map(len, store.epochs_of(2).values()))

    random = Random(1)
    for _ in range(3):
        num_wanted = num_epochs() + random.randrange(1, 6)
        controller = start_aup(path)
        wait_until(lambda wanted=num_wanted: num_epochs() >= wanted, seconds=60)  # type: ignore[misc]
        kill(controller)
    assert finish(start_aup(path), seconds=200)[0] == 0
    assert ends_of(path) == expected
    check_database(folder)


def test_a_script_that_ends_ahead_of_the_comparison_is_judged_when_it_is_decided(folder: Path) -> None:
    script = PRINTS_ITS_EPOCHS.format(longest_pause=0.0).replace(
        "    time.sleep(pause)", "    while '/1.json' in sys.argv[1] and not os.path.exists('go'): time.sleep(0.02)"
    )
    # Trials 1 and 2 have ended before trial 0 has come to its first epoch.
    path = write_experiment(folder, script, early_stopping=ASHA, max_epochs=NUM_EPOCHS, n_parallel=3)
    controller = start_aup(path)

    def has_printed() -> bool:
        outputs = [output.read_text() for output in folder.glob("results/experiments/*/jobs/[23].0.out")]
        return len(outputs) == 2 and all("#Auptimizer:" in output for output in outputs)

    wait_until(has_printed)
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.RUNNING] * 3
    (folder / "go").touch()
    assert finish(controller)[0] == 0
    found = ends_of(path)
    search(undisturbed := write(folder, name="undisturbed", n_parallel=1))
    assert found == ends_of(undisturbed)


def test_a_script_names_its_epochs_and_its_early_stopping(folder: Path) -> None:
    settings = read_experiment_file(write(folder))
    assert settings.reported == ReportedEpochs(NUM_EPOCHS, EarlyStopping(PruningRule.ASHA, 2, 2))
    assert read_experiment_file(write_experiment(folder, "", max_epochs=9)).reported == ReportedEpochs(9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"early_stopping": "median", "max_epochs": None},
            "early_stopping is given without max_epochs; expected max_epochs too, the number of epochs for which the "
            "script trains",
        ),
        (
            {"early_stopping": "median", "max_epochs": 9, "resource": "dask", "cluster": {"local": 1}},
            "early_stopping is given, and the epochs that a script prints are not read on a Dask cluster; expected "
            "resource 'cpu' or 'gpu', or a system",
        ),
        (
            {"early_stopping": "median", "max_epochs": 9, "target": "min"},
            "early_stopping compares validation accuracies, and target is 'min'; expected target 'max'",
        ),
        (
            {"early_stopping": "median", "max_epochs": 3},
            "early_stopping prunes no trial before epoch 3, and max_epochs is 3; expected min_epochs below max_epochs",
        ),
        (
            {"patience": 3},
            "patience is given, but script 'trial's script.py' is not harness's own; expected a system as well",
        ),
    ],
)
def test_a_scripts_early_stopping_that_cannot_work_is_refused(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(write_experiment(folder, "", **changes))
    assert str(caught.value) == f"experiment file 'experiment.json': {message}"
