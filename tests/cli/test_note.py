"""`harness note`, as a user types it; the report, the export and a notebook show what it wrote."""

import csv
import io
import re
import subprocess
from pathlib import Path

import pytest

import harness
from harness.report.page import render_page
from harness.store.records import TrialStatus
from harness.store.store import ResultsStore
from tests.cli.commands import command
from tests.report.searches import begin_trial, findings_of, run_search
from tests.search.searches import environment


def note(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("note", *arguments), capture_output=True, text=True, timeout=60, check=False, env=environment()
    )


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / 'it\'s a "results folder"'
    with ResultsStore.open(folder / "results.db") as store:
        run_search(store, num_trials=2)
        begin_trial(store, run_search(store, num_trials=1, name="the second search"), 5, 6, num_epochs=1)
    return folder


def test_a_note_on_a_running_trial_is_shown_wherever_the_trial_is_until_it_is_taken_back(results: Path) -> None:
    done = note("5", "loss <rises> & falls", "--results", results)
    assert (done.returncode, done.stderr) == (0, "")
    name = "trial 5 of experiment 2, 'the second search'"
    assert done.stdout.startswith(f"Written: note 1 on {name}. To take it back: harness note 5 --experiment 2 ")
    assert note("5", "=again", "--results", results).returncode == 0

    listed = note("5", "--experiment", "2", "--results", results).stdout
    texts = re.findall(r"^(\d)  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  (.+)$", listed, re.MULTILINE)
    assert texts == [("1", "loss <rises> & falls"), ("2", "=again")]

    assert '<td class="wide">loss &lt;rises&gt; &amp; falls</td>' in render_page(findings_of(results / "results.db"))
    exported = subprocess.run(command("export", str(results), "--csv", "-"), capture_output=True, text=True, check=True)
    rows = {row["trial_index"]: row["notes"] for row in csv.DictReader(io.StringIO(exported.stdout))}
    assert rows["0"] == "" and re.findall('"text":"([^"]+)"', rows["5"]) == ["loss <rises> & falls", "=again"]
    frame = harness.open(results).trials(2).set_index("trial_index")["notes"]
    assert frame[5] == rows["5"] and not frame.notna()[0]

    done = note("5", "--withdraw", "1", "--results", results)
    assert done.stdout == f"Withdrawn: note 1 on {name}: loss <rises> & falls\n"
    page = render_page(findings_of(results / "results.db"))
    assert "rises" not in page and "=again" in page
    with ResultsStore.open_readonly(results / "results.db") as store:
        assert [trial.trial_index for trial in store.trials(2) if trial.status is TrialStatus.RUNNING] == [5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["9", "x"], "error: trial 9: experiment 2, 'the second search', in 'RESULTS/results.db' has not begun it; "
         "expected a trial from 0 to 5\n"),
        (["5", "x", "--withdraw", "1"], "Error: TEXT and --withdraw exclude each other; give one of them.\n"),
        (["5", "--withdraw", "1"], "error: note 1: not on trial 5 of experiment 2, or withdrawn before; expected one "
         "of []\n"),
        (["5", "x", "--experiment", "7"], "error: experiment 7: not in 'RESULTS/results.db'; expected one of [1, 2]\n"),
    ],
    ids=["no such trial", "text and number", "no such note", "no such experiment"],
)  # fmt: skip
def test_what_cannot_be_noted_is_said(results: Path, arguments: list[str], message: str) -> None:
    done = note(*arguments, "--results", results)
    assert done.returncode == 2
    assert done.stderr.endswith(message.replace("RESULTS", str(results)))


def test_no_results_folder_is_made_for_a_note(tmp_path: Path) -> None:
    done = note("0", "x", "--results", tmp_path / "nowhere")
    assert done.returncode == 2 and "not found; expected the folder of a search" in done.stderr
    assert not (tmp_path / "nowhere").exists()
