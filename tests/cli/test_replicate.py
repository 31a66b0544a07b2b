"""`harness replicate` as it is typed: new seeds beside the best, killed and gone on with, the test session sealed."""

import signal

import pytest

from harness.search.lock import held
from harness.store.records import ExperimentKind, TrialStatus
from harness.store.store import ResultsStore
from harness.wording import SYNTHETIC_SENTENCE
from tests.cli.commands import WATCHED, break_off, type_command
from tests.searched import run_small_search

# Every command starts TensorFlow.
pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("the reader's own")
    # Enough epochs that a kill comes in the middle of a training.
    run_small_search(made, max_epochs=40)
    return made


def test_killed_it_goes_on_and_says_what_was_luck(folder):
    words = ("replicate", "--seeds", "3", "--threads", "1")
    code, printed, _ = break_off(folder, *words, at="new seeds of trial", number=signal.SIGKILL)
    assert (code, printed) == (-signal.SIGKILL, "")
    with ResultsStore.open_readonly(folder / "results" / "results.db") as results:
        (experiment,) = [each for each in results.experiments() if each.kind is ExperimentKind.REPLICATION]
        before = [trial.status for trial in results.trials(experiment.eid)]
    assert before[0] is TrialStatus.FINISHED and before[1:] in ([], [TrialStatus.RUNNING])
    left = type_command(folder, "check", "--results", "results")
    assert left.returncode == 1 and "is marked running, and no process holds it" in left.stdout

    done = type_command(folder, "replicate", "--seeds", "3", "--threads", "1", program=WATCHED)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"{SYNTHETIC_SENTENCE}\n1 of 3 trainings were finished before.\n")
    assert "opened after" not in done.stderr
    words = " ".join(done.stdout.split())
    assert "new seed 1" in words and "mean of 3 new seeds" in words
    assert "Best-of-N optimism: The search's best of 2, trial" in words
    assert "3 new seeds of the same hyperparameters" in words
    assert "no score on it is a score on IEMOCAP" in words
    with ResultsStore.open_readonly(folder / "results" / "results.db") as results:
        statuses = [trial.status for trial in results.trials(experiment.eid)]
        assert statuses.count(TrialStatus.FINISHED) == 3 and TrialStatus.RUNNING not in statuses
        assert results.openings() == []
    checked = type_command(folder, "check", "--results", "results")
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    again = type_command(folder, "replicate", "--seeds", "3", "--threads", "1")
    assert (again.returncode, again.stderr) == (0, f"{SYNTHETIC_SENTENCE}\n3 of 3 trainings were finished before.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("nowhere",),
            "error: results database 'nowhere/results.db': not found; expected the folder of a search that has been "
            "started; run aup first\n",
        ),
        (("results", "--experiment", "99"), "error: experiment 99: not in 'results/results.db'; expected one of "),
    ],
    ids=["no results", "no such experiment"],
)
def test_what_is_wrong_gives_one_sentence_and_exit_code_two(folder, arguments, message):
    done = type_command(folder, "replicate", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1


def test_two_at_once_are_refused(folder):
    with held(folder / "results" / "replication.lock", "a test"):
        done = type_command(folder, "replicate")
    assert done.returncode == 2 and done.stderr.startswith("error: replication in 'results': process ")


def test_a_search_without_a_finished_trial_has_exit_code_one(tmp_path):
    from tests.report.searches import begin_search

    with ResultsStore.open(tmp_path / "results" / "results.db") as results:
        begin_search(results)
    done = type_command(tmp_path, "replicate")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: experiment 1 ('fusion search'): no trial has finished, so there is no best trial; run `aup "
        "experiment.json` until one finishes\n"
    )
