"""Real subprocesses, and every way in which they can end."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from harness.search.view import Ending
from harness.store.records import TrialRow, TrialStatus
from tests.search.searches import (
    RECORDS_ITS_SCORE,
    SCORES_X,
    SilentView,
    is_alive,
    search,
    trials_of,
    write_experiment,
)

ONE = {"n_samples": 1, "n_parallel": 1}


def run_one(folder: Path, script: str, **changes: Any) -> TrialRow:
    path = write_experiment(folder, script, **{**ONE, **changes})
    search(path)
    (trial,) = trials_of(path)
    return trial


def run_our_own(folder: Path, corpus: Path, work: str) -> TrialRow:
    entries = [{"name": "dropout", "range": [0.0, 0.4], "type": "float"}]
    script = RECORDS_ITS_SCORE.format(work=work)
    return run_one(folder, script, system="mocap1", corpus=str(corpus), parameter_config=entries)


def test_a_score_on_a_line_of_output_is_stored(folder: Path) -> None:
    trial = run_one(folder, SCORES_X)
    assert (trial.status, trial.score) == (TrialStatus.FINISHED, trial.hyperparameters["x"])
    assert (trial.message, trial.exit_code, trial.signal) == (None, 0, None)


def test_a_score_on_standard_error_counts_as_auptimizer_prints_it_there(folder: Path) -> None:
    trial = run_one(folder, "import sys\nprint('\\n#Auptimizer:0.25', file=sys.stderr, flush=True)\n")
    assert trial.score == 0.25


def test_the_job_file_holds_the_point_and_nothing_else(folder: Path) -> None:
    trial = run_one(folder, SCORES_X)
    assert trial.job_path is not None
    assert json.loads(Path(trial.job_path).read_text()) == trial.hyperparameters


def test_an_exception_is_a_crash_with_its_last_line(folder: Path) -> None:
    trial = run_one(folder, "raise ValueError('no; \"such\" thing')\n")
    assert trial.status is TrialStatus.CRASHED
    assert (
        trial.message
        == 'the job exited with code 1 before writing a result; its last line was: ValueError: no; "such"'
        " thing"
    )
    assert trial.last_output is not None and "Traceback" in trial.last_output
    assert trial.exit_code == 1


def test_leaving_without_a_result_is_a_crash(folder: Path) -> None:
    trial = run_one(folder, "print('bye')\n")
    assert trial.status is TrialStatus.CRASHED
    assert trial.message == "the job exited with code 0 before writing a result; its last line was: bye"


def test_a_score_and_then_exit_1_is_a_crash(folder: Path) -> None:
    trial = run_one(folder, SCORES_X + "sys.exit(1)\n")
    assert (trial.status, trial.score) == (TrialStatus.CRASHED, None)
    assert trial.message is not None and "exited with code 1 after writing the result 0." in trial.message


def test_a_score_that_is_not_a_number_is_no_score(folder: Path) -> None:
    trial = run_one(folder, "print('#Auptimizer:nan')\n")
    assert (trial.status, trial.score) == (TrialStatus.DIVERGED, None)
    assert trial.message == "the job's score is nan; expected a finite number"


def test_output_that_is_not_utf_8_does_not_lose_the_score(folder: Path) -> None:
    script = "import sys\nsys.stdout.buffer.write(b'\\xff\\xfe word #Auptimizer:0.5\\n\\xff')\n"
    trial = run_one(folder, script)
    assert (trial.status, trial.score) == (TrialStatus.FINISHED, 0.5)


def test_a_signal_is_named(folder: Path) -> None:
    trial = run_one(folder, SCORES_X + "import os\nsys.stdout.flush()\nos.kill(os.getpid(), 9)\n")
    assert (trial.status, trial.signal, trial.exit_code) == (TrialStatus.KILLED, signal.SIGKILL, None)
    assert trial.message == "the job was killed by SIGKILL; it printed nothing"


def test_a_timeout_ends_the_grandchild_that_holds_the_output(folder: Path) -> None:
    script = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""
    began = time.monotonic()
    trial = run_one(folder, script, timeout_seconds=0.7)
    assert time.monotonic() - began < 5
    assert trial.status is TrialStatus.TIMED_OUT
    assert trial.message == "the job took longer than timeout_seconds, 0.7 s, and was ended"
    assert trial.last_output is not None
    assert not is_alive(int(trial.last_output.split()[0]))


def test_a_grandchild_that_outlives_its_trial_keeps_nobody_waiting_and_is_ended(folder: Path) -> None:
    script = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid)
print("#Auptimizer:0.5")
"""
    began = time.monotonic()
    trial = run_one(folder, script)
    assert time.monotonic() - began < 5
    assert trial.status is TrialStatus.FINISHED
    assert trial.last_output is not None
    assert not is_alive(int(trial.last_output.split()[0]))


def test_a_job_over_its_memory_limit_is_ended(folder: Path) -> None:
    script = (
        "import time\nheld = bytearray(300_000_000)\nheld[::4096] = b'1' *"
        " len(held[::4096])\ntime.sleep(60)\n"
    )
    trial = run_one(folder, script, memory_limit="200 MB")
    assert trial.status is TrialStatus.OUT_OF_MEMORY
    assert trial.message is not None
    assert trial.message.endswith("MB of private memory, more than memory_limit, 200 MB, and was ended")


def test_a_job_reads_nothing_from_a_closed_standard_input(folder: Path) -> None:
    assert run_one(folder, "import sys\nprint(f'#Auptimizer:{len(sys.stdin.read())}')\n").score == 0


def test_a_job_knows_how_many_threads_it_may_use_and_sees_no_graphics_card(folder: Path) -> None:
    script = """
import os
assert os.environ["TF_NUM_INTRAOP_THREADS"] == os.environ["OMP_NUM_THREADS"]
assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
assert os.environ["TOKEN"] == "secret; with 'quotes'"
print("#Auptimizer:" + os.environ["OMP_NUM_THREADS"])
"""
    environment = {"env": {"TOKEN": "secret; with 'quotes'"}}
    trial = run_one(folder, script, n_parallel=1000 // 2, runtime_args=environment)
    assert (trial.message, trial.score) == (None, 1.0)


def test_jobs_at_once_get_a_graphics_card_each(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """
import os, time
card = os.environ["CUDA_VISIBLE_DEVICES"]
open(card, "w").close()
while not (os.path.exists("2") and os.path.exists("5")):
    time.sleep(0.02)
print("#Auptimizer:" + card)
"""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    path = write_experiment(folder, script, resource="gpu", n_samples=2, n_parallel=2, timeout_seconds=20)
    search(path)
    assert [trial.score for trial in trials_of(path)] == [2.0, 5.0]


def test_the_environment_of_a_job_is_stored_nowhere(folder: Path) -> None:
    run_one(folder, SCORES_X, runtime_args={"env": {"TOKEN": "my secret"}})
    kept = [path for path in (folder / "results").rglob("*") if path.is_file()]
    assert len(kept) > 3
    assert not [path for path in kept if b"my secret" in path.read_bytes()]


def test_a_script_that_vanished_is_a_crash_of_each_trial(folder: Path) -> None:
    trial = run_one(folder, "import os, sys\nos.remove(sys.argv[0])\nprint('#Auptimizer:1')\n")
    assert trial.status is TrialStatus.FINISHED
    path = write_experiment(folder, "#!/bin/nowhere\n", name="another", script="trial")
    script = folder / "trial"
    script.write_text("#!/bin/nowhere\n")
    script.chmod(0o755)
    assert search(path).ending is Ending.TOO_MANY_FAILURES
    assert trials_of(path)[0].message == f"the job could not be started: No such file or directory ({script})"


def test_another_program_than_python_is_a_trial_too(folder: Path) -> None:
    path = write_experiment(folder, "", script="trial.sh", **ONE)
    (folder / "trial.sh").write_text("#!/bin/sh\ngrep -c x \"$1\" > /dev/null && echo '#Auptimizer:0.5'\n")
    (folder / "trial.sh").chmod(0o755)
    search(path)
    assert trials_of(path)[0].score == 0.5


def test_our_own_trials_score_comes_from_their_record(prepared_folder: Path, tiny_corpus: Path) -> None:
    trial = run_our_own(prepared_folder, tiny_corpus, "record(0.75)\nprint('#Auptimizer:0.1')")
    assert (trial.status, trial.score) == (TrialStatus.FINISHED, 0.75)


def test_our_own_trial_without_a_record_has_no_score(prepared_folder: Path, tiny_corpus: Path) -> None:
    trial = run_our_own(prepared_folder, tiny_corpus, "print('#Auptimizer:0.1')")
    assert (trial.status, trial.score) == (TrialStatus.CRASHED, None)


def test_our_own_trial_that_records_and_then_fails_has_no_score(
    prepared_folder: Path, tiny_corpus: Path
) -> None:
    trial = run_our_own(prepared_folder, tiny_corpus, "record(0.75)\nsys.exit('error: too late')")
    assert (trial.status, trial.score, trial.result_score) == (TrialStatus.CRASHED, None, 0.75)
    assert (
        trial.message
        == "the job exited with code 1 after writing the result 0.75; its last line was: error: too late"
    )


def test_exit_code_3_says_that_a_trial_diverged(prepared_folder: Path, tiny_corpus: Path) -> None:
    trial = run_our_own(prepared_folder, tiny_corpus, "print('the loss is NaN')\nsys.exit(3)")
    assert trial.status is TrialStatus.DIVERGED


def test_a_killed_job_is_retried_and_a_crashed_one_is_not(folder: Path) -> None:
    script = """
import json, os, sys
first = not os.path.exists("seen")
open("seen", "w").close()
if first:
    os.kill(os.getpid(), 9)
sys.exit(1)
"""
    path = write_experiment(folder, script, **ONE, job_failure={"ignore_fail": True, "job_retries": 3})
    search(path)
    first, second = trials_of(path)
    assert (first.status, second.status) == (TrialStatus.KILLED, TrialStatus.CRASHED)
    assert (first.attempt, second.attempt) == (1, 2)
    assert (first.seed, first.hyperparameters, first.jid) == (second.seed, second.hyperparameters, second.jid)


def test_retries_come_to_an_end(folder: Path) -> None:
    path = write_experiment(
        folder,
        "import os\nos.kill(os.getpid(), 9)\n",
        **ONE,
        job_failure={"ignore_fail": True, "job_retries": 2},
    )
    assert search(path).ending is Ending.TOO_MANY_FAILURES
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.KILLED] * 3


def test_two_hundred_trials_four_at_once_need_no_more_threads(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X, n_samples=200, n_parallel=4)
    before = threading.active_count()
    most = []

    class CountingView(SilentView):
        def trial_ended(self, trial: Any, outcome: Any) -> None:
            most.append(threading.active_count())

    report = search(path, view=CountingView())
    assert report.num_by_status == {TrialStatus.FINISHED: 200}
    assert max(most) == before
    assert sorted(trial.trial_index for trial in trials_of(path)) == list(range(200))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_a_search_leaves_no_file_open_and_no_process_behind(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X, n_samples=5)
    search(path)
    before = len(os.listdir("/proc/self/fd"))
    search(write_experiment(folder, SCORES_X, n_samples=5, name="another"))
    assert len(os.listdir("/proc/self/fd")) == before
    listing = subprocess.run(["ps", "-o", "args", "--ppid", str(os.getpid())], capture_output=True, text=True)
    assert "guardian" not in listing.stdout
