import csv
import io
import json
import os
import subprocess
from pathlib import Path

import pytest

from harness.store.store import ResultsStore
from tests.cli.commands import PROGRAM, command
from tests.report.searches import run_search, score_test
from tests.search.searches import environment

SYNTHETIC = "This corpus is synthetic: no score on it is a score on IEMOCAP.\n"


def export(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("export", *arguments), capture_output=True, text=True, timeout=60, check=False, env=environment()
    )


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('it\'s a "results folder"')
    with ResultsStore.open(folder / "results.db") as store:
        score_test(store, run_search(store, num_trials=2))
        run_search(store, num_trials=1, name="real", is_synthetic=False)
    return folder


def test_the_latest_search_is_written_as_csv(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "trials.csv"
    done = export(results, "--csv", path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"Written: {path}, 2 rows (trials of 1 experiment)\n"
    rows = rows_of(path.read_text("utf-8"))
    assert [(row["experiment"], row["status"], row["is_synthetic"]) for row in rows] == [
        ("real", "finished", "false"),
        ("real", "crashed", "false"),
    ]
    assert [entry.name for entry in path.parent.iterdir()] == ["trials.csv"]


def test_standard_output_holds_the_table_alone(results: Path) -> None:
    done = export(results, "--experiment", "1", "--what", "epochs", "--csv", "-")
    assert (done.returncode, done.stderr) == (0, SYNTHETIC)
    assert len(rows_of(done.stdout)) == 8


@pytest.mark.parametrize(
    ("arguments", "experiments"),
    [
        (["--all"], ["fusion search", "real"]),
        (["--experiment", "2", "--experiment", "1"], ["fusion search", "real"]),
        (["--experiment", "1"], ["fusion search"]),
        ([], ["real"]),
    ],
    ids=["all", "two", "one", "the latest"],
)
def test_experiments_can_be_chosen(results: Path, arguments: list[str], experiments: list[str]) -> None:
    rows = rows_of(export(results, "--csv", "-", *arguments).stdout)
    assert list(dict.fromkeys(row["experiment"] for row in rows)) == experiments


def test_test_scores_are_labelled(results: Path) -> None:
    rows = rows_of(export(results, "--what", "test-scores", "--all", "--csv", "-").stdout)
    assert [(row["seed"], row["score_kind"]) for row in rows] == [
        ("1", "validation-chosen epoch"),
        ("2", "validation-chosen epoch"),
    ]


def test_parquet_is_written_where_pyarrow_is(results: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow, the extra 'parquet', is not installed")
    path = tmp_path / "trials.parquet"
    done = export(results, "--experiment", "1", "--parquet", path)
    assert (done.returncode, done.stderr) == (0, f"Written: {path}, 3 rows (trials of 1 experiment)\n{SYNTHETIC}")
    assert parquet.read_table(path).column("score").to_pylist() == [0.5, 0.75, None]


def test_a_reader_that_leaves_is_no_traceback(results: Path) -> None:
    asked = command("export", results, "--what", "predictions", "--all", "--csv", "-")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(asked, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, env=environment())
    os.close(writing)
    # The command has done its work: who leaves has read enough.
    assert done.returncode == 0 and "Traceback" not in done.stderr and "error" not in done.stderr


def test_what_cannot_be_written_leaves_what_was_there(results: Path, tmp_path: Path) -> None:
    before = tmp_path / "trials.csv"
    before.write_text("mine")
    program = (
        "import harness.store.export as export\n"
        "def fail(*arguments):\n    raise OSError(28, 'No space left on device', 'trials.csv')\n"
        f"export._fetch = fail\n{PROGRAM}"
    )
    asked = command("export", results, "--csv", before, program=program)
    done = subprocess.run(asked, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 2 and "No space left on device" in done.stderr
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("trials.csv", "mine")]


def test_datasette_s_file_is_written_anew(results: Path) -> None:
    path = results / "metadata.json"
    written = path.read_bytes()
    path.unlink()
    done = export(results, "--datasette-metadata")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"Written: {path}\n")
    assert path.read_bytes() == written
    path.write_text('{"title": "mine"}')
    done = export(results, "--datasette-metadata")
    said = f"'{path}' is a file of your own, and stays; move it away, and export again.\n"
    assert (done.returncode, done.stderr, path.read_text()) == (0, said, '{"title": "mine"}')


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected --csv FILE or --parquet FILE, - for standard output, --optuna FILE or --mlflow DIR."),
        (["--csv", "a", "--parquet", "b"], "--csv and --parquet exclude each other; give one of them."),
        (["--csv", "-", "--all", "--experiment", "1"], "--experiment and --all exclude each other; give one of them."),
        (["--csv", "-", "--experiment", "7"], "experiment 7: not in 'RESULTS/results.db'; expected one of [1, 2]"),
        (["--csv", "-", "--what", "models"], "'models' is not one of"),
    ],
    ids=["nothing", "both", "all and one", "no such experiment", "no such rows"],
)
def test_wrong_arguments_are_one_sentence(results: Path, arguments: list[str], message: str) -> None:
    done = export(results, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message.replace("RESULTS", str(results)) in done.stderr and "Traceback" not in done.stderr


def test_a_folder_without_results_stays_empty(tmp_path: Path) -> None:
    done = export(tmp_path, "--csv", tmp_path / "a.csv")
    assert done.returncode == 2 and "run aup first" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_search_says_so(tmp_path: Path) -> None:
    ResultsStore.open(tmp_path / "results.db").close()
    done = export(tmp_path, "--csv", "-")
    assert done.returncode == 2 and "holds no search yet" in done.stderr
    done = export(tmp_path, "--csv", "-", "--all")
    assert done.returncode == 0 and rows_of(done.stdout) == []


def test_a_table_of_nothing_keeps_its_headings(results: Path) -> None:
    assert json.dumps(export(results, "--csv", "-").stdout.splitlines()[0]).startswith('"eid,experiment,')
