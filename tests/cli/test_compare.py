import json
import subprocess
from pathlib import Path

import pytest

from harness.store.records import ExperimentKind
from harness.store.store import ResultsStore
from tests.cli.commands import type_command
from tests.report.searches import run_search

COMPARABLE = "Comparable: searches on the same corpus, with the same protocol and target."
SYNTHETIC = "This corpus is synthetic: no score on it is a score on IEMOCAP."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('it\'s a "folder"')
    for results, names in (("results", ("first", "second", "second")), ("other results", ("third",))):
        with ResultsStore.open(folder / results / "results.db") as store:
            for name in names:
                run_search(store, num_trials=2, name=name)
    with ResultsStore.open(folder / "other results" / "results.db") as store:
        run_search(store, num_trials=2, name="leaking", kind=ExperimentKind.LEAKS)
    with ResultsStore.open(folder / "real" / "results.db") as store:
        run_search(store, num_trials=2, name="real", is_synthetic=False)
    return folder


def compare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return type_command(folder, "compare", *arguments, columns=120)


def test_experiments_of_a_folder_are_set_side_by_side(folder: Path) -> None:
    done = compare(folder, "1", "3")
    assert (done.returncode, done.stderr) == (0, "")
    first, second, *_ = done.stdout.splitlines()
    assert (first, second.strip()) == (COMPARABLE, SYNTHETIC)
    for title in ("Side by side", "Differences", "1 minus 3", "best trials, points [95 % interval]"):
        assert title in done.stdout


def test_the_first_line_warns_of_what_is_not_comparable(folder: Path) -> None:
    done = compare(folder, "1", "real/")
    assert done.returncode == 0
    verdict, reason, note, *_ = done.stdout.splitlines()
    assert verdict == "NOT COMPARABLE: corpus differs, so nothing is ranked."
    assert reason == "  corpus: synthetic c0ffee (results:1); c0ffee (real:1)"
    assert note.strip() == SYNTHETIC
    assert "Differences" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "labels"),
    [
        (["1", "2"], ["1", "2"]),
        (["first", "3"], ["1", "3"]),
        (["results/", "results:1"], ["3", "1"]),
        (["1", "other results:third"], ["results:1", "other results:1"]),
        (["other results", "results:2", "results:1"], ["other results:1", "results:2", "results:1"]),
        (["--results", "other results", "1", "results:1"], ["other results:1", "results:1"]),
    ],
    ids=["numbers", "a name", "a folder", "a folder and a name", "three", "another default"],
)
def test_an_experiment_can_be_named_in_several_ways(folder: Path, arguments: list[str], labels: list[str]) -> None:
    done = compare(folder, *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert [experiment["label"] for experiment in found["experiments"]] == labels
    assert found["notes"][-1] == SYNTHETIC


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["9", "1"], "error: experiment '9': not in 'results/results.db'; expected one of 1 ('first'), 2 ('second')"),
        (["second", "1"], "error: experiment 'second': 2 of that name are in 'results/results.db'; expected the "),
        (["1"], "Error: found 1 experiment(s) to compare; expected two or more of: 1 ('first'), 2 ('second'), 3 "),
        ([], "Error: found 0 experiment(s) to compare; expected two or more of: 1 ('first'), 2 ('second'), 3 "),
        (
            ["1", "other results:2"],
            "error: experiment 2, 'leaking': trainings of `harness leaks`, each with its own split or seed; expected a "
            "search; `harness leaks` reports them",
        ),
        (["1", "results:1"], "Error: experiment 1 is named twice; expected different ones."),
        (["1", "nowhere/"], "error: results database 'nowhere/results.db': not found; expected the folder of a "),
        (["1", "no/where:2"], "error: results database 'no/where/results.db': not found; expected the folder of a "),
    ],
    ids=["number", "two of a name", "one", "none", "no search", "twice", "no folder", "no folder with a number"],
)
def test_what_is_not_there_is_one_sentence(folder: Path, arguments: list[str], message: str) -> None:
    done = compare(folder, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and "Traceback" not in done.stderr
