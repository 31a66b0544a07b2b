"""`harness leaks` as it is typed: the test session is sealed without --test, and with it opened on record."""

import shutil

import pytest

from harness.store.store import ResultsStore
from harness.wording import SYNTHETIC_SENTENCE
from tests.cli.commands import WATCHED, type_command
from tests.searched import run_small_search

# Every command starts TensorFlow, and trains four times.
pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("the reader's own")
    run_small_search(made)
    return made


def openings_of(folder):
    with ResultsStore.open_readonly(folder / "results" / "results.db") as results:
        return results.openings()


def test_without_the_flag_no_prepared_file_of_the_test_session_is_opened(folder):
    done = type_command(folder, "leaks", "--seeds", "1", "--threads", "1", program=WATCHED)
    assert done.returncode == 0, done.stderr
    assert "opened after" not in done.stderr and openings_of(folder) == []
    assert [line.split(",")[0] for line in done.stderr.splitlines()] == [
        SYNTHETIC_SENTENCE,
        "random split",
        "speaker-disjoint split",
        "session-disjoint split",
        "scene-disjoint split",
    ]
    words = " ".join(done.stdout.split())
    assert words.startswith("What leaks add (validation) ")
    assert "What leaks add: The hyperparameters of trial" in words and "too narrow" in words
    assert "no score on it is a score on IEMOCAP" in words


def test_with_it_each_opening_is_on_record_before_a_file_is_touched(folder):
    before = len(openings_of(folder))
    done = type_command(folder, "leaks", "--test", "--seeds", "1", "--threads", "1", program=WATCHED)
    assert done.returncode == 0, done.stderr
    counts = {line for line in done.stderr.splitlines() if line.startswith("opened after")}
    assert counts == {f"opened after {before + 1}"}
    latest = openings_of(folder)[-1]
    assert latest.completed_at is not None and latest.is_synthetic and latest.seeds == (1,)
    assert latest.command == "harness leaks --test --seeds 1 --threads 1"
    words = " ".join(done.stdout.split())
    assert words.startswith("What leaks add (test session scored) ") and "of the test session" in words
    checked = type_command(folder, "check", "--results", "results")
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


def test_a_second_call_trains_nothing_and_more_seeds_are_added(folder):
    # Here, too: a test that trains them may not have been asked for.
    assert type_command(folder, "leaks", "--seeds", "1", "--threads", "1").returncode == 0
    again = type_command(folder, "leaks", "--seeds", "2", "--threads", "1")
    told = f"{SYNTHETIC_SENTENCE}\n4 of 8 trainings were finished before.\n"
    assert again.returncode == 0 and again.stderr.startswith(told)
    assert again.stderr.count("seed 2: ") == 4
    assert "2 seeds, each with another draw" in " ".join(again.stdout.split())


def test_a_training_that_fails_is_told_and_has_exit_code_one(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "copied")
    program = WATCHED.replace(
        "\nsys.addaudithook",
        "\nimport harness.final.leaks as trials\n"
        "def fail(*arguments): raise MemoryError\n"
        "trials.train_once = fail\nsys.addaudithook",
    )
    done = type_command(copied, "leaks", "--seeds", "3", "--threads", "1", program=program)
    assert done.returncode == 1
    assert "random split, seed 3: out of memory: MemoryError: no message" in done.stderr
    assert done.stderr.rstrip().splitlines()[-1] in (
        "error: 4 trainings failed, with the cause above and in results.db; the same command tries them again",
        "error: 8 trainings failed, with the cause above and in results.db; the same command tries them again",
    )
    done = type_command(copied, "leaks", "--seeds", "3", "--threads", "1")
    assert done.returncode == 0
