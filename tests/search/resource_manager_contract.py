"""What every way of running trials must do, wherever they run: inherited by the tests of each.

The jobs are real subprocesses, and every test says how one can end.
"""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from harness.search.view import Ending
from harness.store.records import TrialRow, TrialStatus
from harness.store.store import ResultsStore
from tests.search.promises import check_database, finish
from tests.search.searches import (
    RECORDS_ITS_SCORE,
    SCORES_X,
    is_alive,
    kill,
    num_running,
    search,
    start_aup,
    trials_of,
    wait_until,
    write_experiment,
)

ONE = {"n_samples": 1, "n_parallel": 1}
DROPOUT = [{"name": "dropout", "range": [0.0, 0.4], "type": "float"}]

#: Waits for "go" with a child that has left its process group's output open.
WAITS_WITH_A_CHILD = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("words of", os.getpid(), child.pid, flush=True)
open(f"begun {os.getpid()}", "w").close()
while not os.path.exists("go"):
    time.sleep(0.02)
child.kill()
print("#Auptimizer:0.5")
"""

#: Records all that a trial records: its environment, two epochs, and a result with one prediction.
RECORDS_EVERYTHING = """
from harness.corpus.utterances import CLASSES
from harness.store.records import EpochRecord, Prediction, TrialEnvironment
numbers = (1.2, 0.4, float("nan"), 1.3, 0.5, 0.45, 2.5)
with ResultsStore.open(spec.results_db) as results:
    results.record_environment(
        spec.trial_id,
        TrialEnvironment(spec.threads, {"python": "3"}, None, "c", spec.protocol.protocol_hash, "h", os.getpid()),
    )
    for epoch in (1, 2):
        results.record_epoch(spec.trial_id, EpochRecord(epoch, *numbers))
        while epoch == 1 and os.path.exists("wait") and not os.path.exists("go"):
            time.sleep(0.02)
    said = Prediction("Ses04F_impro04_M018", CLASSES[0], CLASSES[1], (0.1, 0.7, 0.1, 0.1))
    results.record_result(spec.trial_id, TrialResult(0.625, 2, 2, (said,), 2**28, 31.5, "trained"))
"""


class ResourceManagerContract:
    """Inherited with a fixture ``resource``: the experiment file's keys that say where trials run."""

    @pytest.fixture
    def resource(self) -> dict[str, Any]:
        raise NotImplementedError

    def run_one(self, folder: Path, resource: dict[str, Any], script: str, **changes: Any) -> TrialRow:
        path = write_experiment(folder, script, **{**ONE, **resource, **changes})
        search(path)
        (trial,) = trials_of(path)
        return trial

    def run_our_own(
        self, folder: Path, corpus: Path, resource: dict[str, Any], work: str, **changes: Any
    ) -> TrialRow:
        script = RECORDS_ITS_SCORE.format(work=work)
        ours = {"system": "mocap1", "corpus": str(corpus), "parameter_config": DROPOUT}
        return self.run_one(folder, resource, script, **{**ours, **changes})

    def test_a_score_on_a_line_of_output_is_stored(self, folder: Path, resource: dict[str, Any]) -> None:
        trial = self.run_one(folder, resource, SCORES_X)
        assert (trial.status, trial.score) == (TrialStatus.FINISHED, trial.hyperparameters["x"])
        assert (trial.message, trial.exit_code, trial.signal) == (None, 0, None)
        assert trial.last_output == f"#Auptimizer:{trial.score!r}\n"

    def test_where_a_trial_ran_is_recorded(self, folder: Path, resource: dict[str, Any]) -> None:
        trial = self.run_one(folder, resource, "import os\nprint(f'#Auptimizer:{os.getpid()}')\n")
        assert trial.pid == trial.score
        assert trial.host is not None and trial.process_started_at is not None

    def test_the_job_file_holds_the_point_and_nothing_else(self, folder: Path, resource: dict[str, Any]) -> None:
        script = "import json, sys\nassert list(json.load(open(sys.argv[1]))) == ['x']\nprint('#Auptimizer:1')\n"
        trial = self.run_one(folder, resource, script)
        assert (trial.message, trial.score) == (None, 1.0)
        assert trial.job_path is not None
        assert json.loads(Path(trial.job_path).read_text()) == trial.hyperparameters

    def test_the_points_and_scores_are_those_of_any_other(self, folder: Path, resource: dict[str, Any]) -> None:
        expected = write_experiment(folder / "one machine", SCORES_X, n_samples=8)
        assert search(expected).ending is Ending.DONE
        path = write_experiment(folder / "here", SCORES_X, **{"n_samples": 8, **resource})
        assert search(path).ending is Ending.DONE
        found, wanted = (
            [
                (trial.trial_index, trial.attempt, trial.seed, trial.hyperparameters, trial.score)
                for trial in trials_of(one)
            ]
            for one in (path, expected)
        )
        assert found == wanted
        check_database(folder / "here")

    def test_an_exception_is_a_crash_with_its_last_line(self, folder: Path, resource: dict[str, Any]) -> None:
        trial = self.run_one(folder, resource, "raise ValueError('no; \"such\" thing')\n")
        assert trial.status is TrialStatus.CRASHED
        assert (
            trial.message
            == 'the job exited with code 1 before writing a result; its last line was: ValueError: no; "such"'
            " thing"
        )
        assert trial.last_output is not None and "Traceback" in trial.last_output
        assert trial.exit_code == 1

    def test_a_score_that_is_not_a_number_is_no_score(self, folder: Path, resource: dict[str, Any]) -> None:
        trial = self.run_one(folder, resource, "print('#Auptimizer:nan')\n")
        assert (trial.status, trial.score) == (TrialStatus.DIVERGED, None)
        assert trial.message == "the job's score is nan; expected a finite number"

    def test_output_that_is_not_utf_8_does_not_lose_the_score(self, folder: Path, resource: dict[str, Any]) -> None:
        script = "import sys\nsys.stdout.buffer.write(b'\\xff\\xfe word #Auptimizer:0.5\\n\\xff')\n"
        trial = self.run_one(folder, resource, script)
        assert (trial.status, trial.score) == (TrialStatus.FINISHED, 0.5)

    def test_a_signal_is_named(self, folder: Path, resource: dict[str, Any]) -> None:
        script = SCORES_X + "import os\nsys.stdout.flush()\nos.kill(os.getpid(), 9)\n"
        trial = self.run_one(folder, resource, script)
        assert (trial.status, trial.signal, trial.exit_code) == (TrialStatus.KILLED, signal.SIGKILL, None)
        assert trial.message == "the job was killed by SIGKILL; it printed nothing"

    def test_a_timeout_ends_the_grandchild_that_holds_the_output(
        self, folder: Path, resource: dict[str, Any]
    ) -> None:
        began = time.monotonic()
        trial = self.run_one(folder, resource, WAITS_WITH_A_CHILD, timeout_seconds=0.7)
        assert time.monotonic() - began < 10
        assert trial.status is TrialStatus.TIMED_OUT
        assert trial.message == "the job took longer than timeout_seconds, 0.7 s, and was ended"
        assert trial.last_output is not None
        assert not is_alive(int(trial.last_output.split()[3]))

    def test_a_grandchild_that_outlives_its_trial_keeps_nobody_waiting_and_is_ended(
        self, folder: Path, resource: dict[str, Any]
    ) -> None:
        script = WAITS_WITH_A_CHILD.replace("child.kill()", "")
        (folder / "go").touch()
        began = time.monotonic()
        trial = self.run_one(folder, resource, script)
        assert time.monotonic() - began < 10
        assert trial.status is TrialStatus.FINISHED
        assert trial.last_output is not None
        assert not is_alive(int(trial.last_output.split()[3]))

    def test_a_job_over_its_memory_limit_is_ended(self, folder: Path, resource: dict[str, Any]) -> None:
        script = (
            "import time\nheld = bytearray(300_000_000)\nheld[::4096] = b'1' *"
            " len(held[::4096])\ntime.sleep(60)\n"
        )
        trial = self.run_one(folder, resource, script, memory_limit="200 MB")
        assert trial.status is TrialStatus.OUT_OF_MEMORY
        assert trial.message is not None
        assert trial.message.endswith("MB of private memory, more than memory_limit, 200 MB, and was ended")

    def test_a_job_reads_nothing_from_a_closed_standard_input(self, folder: Path, resource: dict[str, Any]) -> None:
        script = "import sys\nprint(f'#Auptimizer:{len(sys.stdin.read())}')\n"
        assert self.run_one(folder, resource, script).score == 0

    def test_a_job_knows_its_threads_its_environment_and_no_graphics_card(
        self, folder: Path, resource: dict[str, Any]
    ) -> None:
        script = """
import os
assert os.environ["TF_NUM_INTRAOP_THREADS"] == os.environ["OMP_NUM_THREADS"]
assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
assert os.environ["TOKEN"] == "secret; with 'quotes'"
print("#Auptimizer:" + os.environ["OMP_NUM_THREADS"])
"""
        added = {"env": {"TOKEN": "secret; with 'quotes'"}}
        trial = self.run_one(folder, resource, script, n_parallel=500, runtime_args=added)
        assert (trial.message, trial.score) == (None, 1.0)
        kept = [path for path in (folder / "results").rglob("*") if path.is_file()]
        assert len(kept) > 3
        assert not [path for path in kept if b"secret; with" in path.read_bytes()]

    def test_a_job_that_cannot_be_started_is_a_crash_that_says_why(
        self, folder: Path, resource: dict[str, Any]
    ) -> None:
        path = write_experiment(folder, "", **{**ONE, **resource, "script": "trial"})
        script = folder / "trial"
        script.write_text("#!/bin/nowhere\n")
        script.chmod(0o755)
        assert search(path).ending is Ending.TOO_MANY_FAILURES
        (trial,) = trials_of(path)
        assert trial.message == f"the job could not be started: No such file or directory ({script})"

    def test_another_program_than_python_is_a_trial_too(self, folder: Path, resource: dict[str, Any]) -> None:
        path = write_experiment(folder, "", **{**ONE, **resource, "script": "trial.sh"})
        (folder / "trial.sh").write_text("#!/bin/sh\ngrep -c x \"$1\" > /dev/null && echo '#Auptimizer:0.5'\n")
        (folder / "trial.sh").chmod(0o755)
        search(path)
        assert trials_of(path)[0].score == 0.5

    def test_our_own_trials_score_and_all_its_records_are_kept(
        self, prepared_folder: Path, tiny_corpus: Path, resource: dict[str, Any]
    ) -> None:
        work = RECORDS_EVERYTHING + "print('#Auptimizer:0.1')"
        trial = self.run_our_own(prepared_folder, tiny_corpus, resource, work)
        assert (trial.message, trial.status, trial.score) == (None, TrialStatus.FINISHED, 0.625)
        assert (trial.best_epoch, trial.peak_memory_bytes, trial.embedding_source) == (2, 2**28, "trained")
        with ResultsStore.open_readonly(prepared_folder / "results" / "results.db") as store:
            environment = store.environment(trial.trial_id)
            assert environment is not None and environment.pid == trial.pid
            epochs = store.epochs(trial.trial_id)
            assert [epoch.epoch for epoch in epochs] == [1, 2]
            assert epochs[0].train_unweighted_accuracy != epochs[0].train_unweighted_accuracy
            (prediction,) = store.validation_predictions(trial.trial_id)
            assert prediction.probabilities == (0.1, 0.7, 0.1, 0.1)

    def test_epochs_are_recorded_while_a_trial_runs(
        self, prepared_folder: Path, tiny_corpus: Path, resource: dict[str, Any]
    ) -> None:
        (prepared_folder / "wait").touch()
        script = RECORDS_ITS_SCORE.format(work=RECORDS_EVERYTHING)
        ours = {"system": "mocap1", "corpus": str(tiny_corpus), "parameter_config": DROPOUT}
        path = write_experiment(prepared_folder, script, **{**ONE, **resource, **ours})
        process = start_aup(path)
        wait_until(lambda: num_running(path) == 1 and trials_of(path)[0].num_epochs == 1)
        (prepared_folder / "go").touch()
        assert finish(process)[0] == 0
        (trial,) = trials_of(path)
        assert (trial.status, trial.num_epochs) == (TrialStatus.FINISHED, 2)

    def test_our_own_trial_without_a_record_has_no_score(
        self, prepared_folder: Path, tiny_corpus: Path, resource: dict[str, Any]
    ) -> None:
        trial = self.run_our_own(prepared_folder, tiny_corpus, resource, "print('#Auptimizer:0.1')")
        assert (trial.status, trial.score) == (TrialStatus.CRASHED, None)

    def test_our_own_trial_that_records_and_then_fails_has_no_score(
        self, prepared_folder: Path, tiny_corpus: Path, resource: dict[str, Any]
    ) -> None:
        work = "record(0.75)\nsys.exit('error: too late')"
        trial = self.run_our_own(prepared_folder, tiny_corpus, resource, work)
        assert (trial.status, trial.score, trial.result_score) == (TrialStatus.CRASHED, None, 0.75)
        assert (
            trial.message
            == "the job exited with code 1 after writing the result 0.75; its last line was: error: too late"
        )

    def test_exit_code_3_says_that_a_trial_diverged(
        self, prepared_folder: Path, tiny_corpus: Path, resource: dict[str, Any]
    ) -> None:
        work = "print('the loss is NaN')\nsys.exit(3)"
        trial = self.run_our_own(prepared_folder, tiny_corpus, resource, work)
        assert trial.status is TrialStatus.DIVERGED

    def test_a_killed_job_is_retried_and_a_crashed_one_is_not(self, folder: Path, resource: dict[str, Any]) -> None:
        script = """
import json, os, sys
first = not os.path.exists("seen")
open("seen", "w").close()
if first:
    os.kill(os.getpid(), 9)
sys.exit(1)
"""
        retries = {"ignore_fail": True, "job_retries": 3}
        path = write_experiment(folder, script, **{**ONE, **resource, "job_failure": retries})
        search(path)
        first, second = trials_of(path)
        assert (first.status, second.status) == (TrialStatus.KILLED, TrialStatus.CRASHED)
        assert (first.attempt, second.attempt) == (1, 2)
        assert (first.seed, first.hyperparameters, first.jid) == (second.seed, second.hyperparameters, second.jid)

    def test_retries_come_to_an_end(self, folder: Path, resource: dict[str, Any]) -> None:
        retries = {"ignore_fail": True, "job_retries": 2}
        script = "import os\nos.kill(os.getpid(), 9)\n"
        path = write_experiment(folder, script, **{**ONE, **resource, "job_failure": retries})
        assert search(path).ending is Ending.TOO_MANY_FAILURES
        assert [trial.status for trial in trials_of(path)] == [TrialStatus.KILLED] * 3

    def test_a_search_that_is_ended_ends_its_jobs_and_keeps_their_last_words(
        self, folder: Path, resource: dict[str, Any]
    ) -> None:
        path = write_experiment(folder, WAITS_WITH_A_CHILD, **{"n_samples": 4, **resource, "n_parallel": 2})
        process = start_aup(path)
        wait_until(lambda: num_running(path) == 2 and len(list(folder.glob("begun *"))) == 2)
        process.terminate()
        assert finish(process)[0] == 130
        check_database(folder)
        stopped = trials_of(path)
        assert [trial.status for trial in stopped] == [TrialStatus.STOPPED] * 2
        assert [trial.message for trial in stopped] == ["the search was ended while the job ran"] * 2
        pids = [int(pid) for trial in stopped for pid in (trial.last_output or "").split()[2:]]
        assert len(pids) == 4
        wait_until(lambda: not any(map(is_alive, pids)), seconds=5)

    def test_jobs_end_within_5_s_of_losing_their_controller_and_the_search_goes_on(
        self, folder: Path, resource: dict[str, Any]
    ) -> None:
        path = write_experiment(folder, WAITS_WITH_A_CHILD, **{"n_samples": 2, **resource, "n_parallel": 2})
        process = start_aup(path)
        wait_until(lambda: num_running(path) == 2)
        pids = [trial.pid for trial in trials_of(path) if trial.pid is not None]
        kill(process)
        wait_until(lambda: not any(map(is_alive, pids)), seconds=5)
        (folder / "go").touch()
        assert search(path).ending is Ending.DONE
        trials = trials_of(path)
        assert [(trial.trial_index, trial.attempt, trial.status) for trial in trials] == [
            (0, 1, TrialStatus.KILLED),
            (0, 2, TrialStatus.FINISHED),
            (1, 1, TrialStatus.KILLED),
            (1, 2, TrialStatus.FINISHED),
        ]
        assert trials[0].seed == trials[1].seed
        check_database(folder)
