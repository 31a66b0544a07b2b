"""`harness.open` and `harness.run`, and the notebook of the guide from top to bottom."""

import base64
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import harness
from harness.errors import HarnessError, StoreError, UnknownNameError
from harness.store.store import ResultsStore
from tests.cli.typed import put_commands
from tests.report.searches import begin_search, run_search, score_test

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def results_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    with ResultsStore.open(folder / "results.db") as store:
        eid = run_search(store, num_trials=3)
        score_test(store, eid)
        run_search(store, num_trials=2, name="later", is_synthetic=False)
    return folder


def test_trials_are_a_table_with_a_type_for_every_column(results_dir: Path) -> None:
    trials = harness.open(results_dir).trials(1)
    assert list(trials["trial_index"]) == [0, 1, 2, 3]
    assert list(trials["status"]) == ["finished"] * 3 + ["crashed"]
    assert trials["score"].max() == 0.75 and trials["score"].isna().sum() == 1
    # A missing whole number makes no fractions of the others.
    assert str(trials["best_epoch"].dtype) == "Int64" and trials["best_epoch"].isna().sum() == 1
    assert str(trials["hyperparameter_textlstm"].dtype) == "Int64"
    assert trials["is_synthetic"].all() and str(trials["is_synthetic"].dtype) == "boolean"


def test_without_a_number_it_is_the_latest_search(results_dir: Path) -> None:
    results = harness.open(results_dir)
    assert set(results.trials()["experiment"]) == {"later"}
    assert set(results.epochs(1)["experiment"]) == {"fusion search"}
    assert len(results.epochs(1)) == 3 * 4


def test_experiments_predictions_and_test_scores_are_tables(results_dir: Path) -> None:
    results = harness.open(str(results_dir))
    experiments = results.experiments()
    assert list(experiments["experiment"]) == ["fusion search", "later"]
    assert list(experiments["num_finished"]) == [3, 2]
    predictions = results.predictions(1)
    assert len(predictions) == 3 * 20
    right = (predictions["emotion"] == predictions["predicted"]).groupby(predictions["trial_index"]).mean()
    assert right.max() == 0.75
    assert list(results.test_scores(1)["seed"]) == [1, 2]


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    with ResultsStore.open(tmp_path / "results.db") as store:
        begin_search(store)
    trials = harness.open(tmp_path).trials()
    assert len(trials) == 0 and {"score", "status"} <= set(trials.columns)


def test_a_figure_displays_itself_and_says_that_it_is_synthetic(results_dir: Path, tmp_path: Path) -> None:
    figure = harness.open(results_dir).figure("history", experiment=1)
    shown = figure._repr_mimebundle_()
    assert "no score on IEMOCAP" in shown["image/svg+xml"]
    assert base64.b64decode(shown["image/png"]).startswith(b"\x89PNG")
    assert shown["text/plain"] == repr(figure) and "trial" in repr(figure)
    assert figure.save(tmp_path / "history.svg").read_text("utf-8").startswith("<svg")
    with pytest.raises(HarnessError, match=r"ends in '\.pdf'; expected one of \['\.png', '\.svg'\]"):
        figure.save(tmp_path / "history.pdf")


def test_a_figure_of_nothing_is_its_sentence(results_dir: Path, tmp_path: Path) -> None:
    figure = harness.open(results_dir).figure("reliability", experiment=2)
    assert set(figure._repr_mimebundle_()) == {"text/plain"}
    with pytest.raises(HarnessError, match="figure 'reliability': "):
        figure.save(tmp_path / "reliability.png")


def test_what_is_not_there_is_one_sentence(results_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected the folder of a search that has been started"):
        harness.open(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="experiment 7: not in"):
        harness.open(results_dir).trials(7)
    with pytest.raises(UnknownNameError, match="unknown figure 'histroy'; expected one of"):
        harness.open(results_dir).figure("histroy")
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'opne'"):
        getattr(harness, "opne")  # noqa: B009
    assert {"open", "run"} <= set(dir(harness))


def test_a_wrong_experiment_file_is_the_sentence_of_aup(tmp_path: Path) -> None:
    (tmp_path / "experiment.json").write_text('{"name": "a", "system": "fusion", "max_epoch": 3}')
    with pytest.raises(HarnessError) as caught:
        harness.run(tmp_path / "experiment.json")
    assert str(caught.value).startswith("experiment file 'experiment.json': unknown key 'max_epoch'; expected")


def test_the_package_is_typed_and_cheap_to_import() -> None:
    assert (Path(harness.__file__).parent / "py.typed").is_file()
    code = "import sys, harness; print([name for name in sys.modules if name.startswith('harness.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_notebook_of_the_guide_is_kept_without_its_output() -> None:
    notebook = nbformat.read(REPOSITORY / "docs" / "notebook.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_notebook_of_the_guide_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in put_commands(tmp_path).items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(REPOSITORY / "docs" / "notebook.ipynb", as_version=4)
    began = time.monotonic()
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    with capsys.disabled():
        # What a process of pytest-xdist prints is lost, but for its errors.
        print(f"\nthe notebook took {time.monotonic() - began:.0f} s", file=sys.stderr)
    trials = harness.open(tmp_path / "my-search" / "results").trials()
    assert list(trials["status"]) == ["finished"] * 3
    *_, history, confusion = (cell for cell in notebook.cells if cell.cell_type == "code")
    for cell in (history, confusion):
        assert "image/png" in cell.outputs[0]["data"]
    said = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "trial 2 finished" in said


def test_an_interrupted_run_ends_its_search_and_says_so(tmp_path: Path) -> None:
    """The kernel's stop button signals the whole group, as Ctrl-C does."""
    program = tmp_path / "program.py"
    program.write_text(
        "import harness, harness.notebook as notebook\n"
        "notebook._AUP = '''import signal, sys, time\n"
        # Seven lines at once: a signal that reaches the reading process meanwhile must lose none of them.
        "def stop(*_): print(*range(6), 'the running trials finish', sep=chr(10), flush=True); sys.exit(130)\n"
        "signal.signal(signal.SIGINT, stop); print('begun', flush=True); time.sleep(60)'''\n"
        "try:\n    harness.run('experiment.json')\nexcept KeyboardInterrupt:\n    print('interrupted')\n"
    )
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        os.killpg(process.pid, signal.SIGINT)
        printed, _ = process.communicate(timeout=30)
    assert printed == "0\n1\n2\n3\n4\n5\nthe running trials finish\ninterrupted\n"
