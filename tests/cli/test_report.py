import subprocess
from pathlib import Path

import pytest

from harness.store.store import ResultsStore
from tests.cli.commands import command
from tests.report.searches import run_search, score_test


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('it\'s a "results folder"')
    with ResultsStore.open(folder / "results.db") as store:
        score_test(store, run_search(store, num_trials=2))
        run_search(store, num_trials=1, name="the second search")
    return folder


def test_report_prints_tables_and_writes_the_page_into_the_results(results: Path) -> None:
    done = harness("report", str(results))
    assert (done.returncode, done.stderr) == (0, "")
    assert "the second search" in done.stdout and "Best trials" in done.stdout
    assert done.stdout.endswith(f"Written: {results}/report.html\n")
    assert (results / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.long
def test_experiment_and_files_can_be_named(results: Path, tmp_path: Path) -> None:
    page, figures = tmp_path / "new folder" / "page.html", tmp_path / "figures"
    options = ["--experiment", "1", "--top", "1", "--output", str(page), "--figures", str(figures)]
    done = harness("report", str(results), *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Experiment 1: fusion search" in done.stdout
    assert "<h1>fusion search</h1>" in page.read_text(encoding="utf-8")
    names = {path.stem for path in figures.iterdir()}
    assert {"history", "hyperparameters", "confusion", "costs", "failures"} < names
    assert {path.name for path in figures.iterdir()} == {
        f"{name}{suffix}" for name in names for suffix in (".svg", ".png")
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["nowhere"],
            "error: results database 'nowhere/results.db': not found; expected the folder of a search that "
            "has been started; run aup first\n",
        ),
        (
            ["RESULTS", "--experiment", "7"],
            "error: experiment 7: not in 'RESULTS/results.db'; expected one of [1, 2]\n",
        ),
    ],
    ids=["no results", "no such experiment"],
)
def test_what_is_not_there_gives_one_sentence_and_exit_code_two(
    results: Path, arguments: list[str], message: str
) -> None:
    done = harness("report", *[argument.replace("RESULTS", str(results)) for argument in arguments])
    assert (done.returncode, done.stderr) == (2, message.replace("RESULTS", str(results)))


def test_help_is_answered_with_an_example() -> None:
    done = harness("report", "--help")
    assert done.returncode == 0
    assert "harness report results/" in done.stdout and "--experiment" in done.stdout
