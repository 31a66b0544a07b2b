"""`harness check` as it is typed: what it prints, its exit code, and what it leaves alone."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.check import check
from harness.corpus.layout import MocapStream
from harness.corpus.synthetic import SyntheticSettings, write_synthetic
from harness.search.lock import held, lock_path
from harness.search.repair import look_through
from tests.cli.commands import command
from tests.corpus.written import write_tiny_corpus
from tests.store.whole import break_index, damage, write_whole_results

ROOT = Path(__file__).parents[2]
LOOKED_AT = (
    "Checked 1 experiment, 5 attempts at trials, 13 epochs, 1 test evaluation, 0 evaluations on other corpora.\n"
)


def harness(*arguments: object, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **settings,  # type: ignore[call-overload]
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_whole_results(folder / "results.db")
    return folder


@pytest.fixture
def results(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / 'it\'s; a "results folder"'))


def test_a_results_folder_without_a_contradiction(results: Path) -> None:
    before = {path: path.read_bytes() for path in results.iterdir()}
    done = harness("check", "--results", results)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{LOOKED_AT}No inconsistencies were found.\n"
    assert {path: path.read_bytes() for path in results.iterdir()} == before
    done = harness("check", "--results", results, "--repair")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{LOOKED_AT}Nothing to repair.\n", "")


def test_contradictions_are_named_then_repaired_and_then_gone(results: Path) -> None:
    damage(
        results / "results.db",
        "UPDATE trials SET status = 'running', score = NULL, ended_at = NULL WHERE trial_id = 1",
        "UPDATE experiments SET status = 'running', ended_at = NULL",
    )
    sentences = [
        "experiment 1 ('fusion search'), trial 0, attempt 1: is marked running, and no process holds its experiment; "
        "expected an end.",
        "experiment 1 ('fusion search'): is marked running, and no process holds it; expected an end.",
    ]
    done = harness("check", "--results", results)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "\n".join([*sentences, f"{LOOKED_AT}Found 2.\n"])
    done = harness("check", "--results", results, "--repair")
    (copy,) = results.glob("results.before-repair-*.db")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"The original database was copied to '{copy}'.",
        f"{sentences[0]} Repaired: it is now marked finished: the result was recorded.",
        f"{sentences[1]} Repaired: it is now marked interrupted; the command that started it resumes it.",
        LOOKED_AT.rstrip("\n"),
        "Repaired 2, left 0.",
    ]
    assert harness("check", "--results", results).returncode == 0


@pytest.mark.skipif(sys.platform == "darwin", reason="file names are UTF-8 there")
def test_a_folder_whose_name_is_no_text_is_repaired_too(whole: Path, tmp_path: Path) -> None:
    results = Path(shutil.copytree(whole, os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")))
    (results / f"report.html.{2**22 + 1}.partial").touch()
    os.utime(results / f"report.html.{2**22 + 1}.partial", (0, 0))
    damage(results / "results.db", "UPDATE experiments SET status = 'running', ended_at = NULL")
    done = harness("check", "--results", results, "--repair", encoding="utf-8", errors="surrogateescape")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("Repaired 2, left 0.\n")


def test_what_cannot_be_repaired_is_said(results: Path) -> None:
    damage(results / "results.db", "DELETE FROM epochs WHERE trial_id = 1 AND epoch = 1")
    done = harness("check", "--results", results, "--repair")
    assert done.returncode == 1
    assert not list(results.glob("*.before-repair-*"))
    assert done.stdout.splitlines() == [
        "experiment 1 ('fusion search'), trial 0, attempt 1: recorded 2 epochs of which the last is 3; expected every "
        "one before it. Not repaired: they were recorded nowhere else; the score does not depend on them.",
        LOOKED_AT.rstrip("\n").replace("13 epochs", "12 epochs"),
        "Repaired 0, left 1.",
    ]


def test_an_experiment_that_somebody_holds_is_left_alone(results: Path) -> None:
    damage(results / "results.db", "UPDATE experiments SET status = 'running', ended_at = NULL")
    with held(lock_path(results, "fusion search"), "experiment 'fusion search'"):
        for options in ([], ["--repair"]):
            done = harness("check", "--results", results, *options)
            assert done.returncode == 0
            assert done.stdout.startswith(
                f"Experiment 1 is not changed: experiment 'fusion search': process {os.getpid()} on "
            )
    assert harness("check", "--results", results).returncode == 1


def test_a_broken_index_is_damage_and_stays_as_it_is(results: Path) -> None:
    break_index(results / "results.db")
    damage(results / "results.db", "UPDATE experiments SET status = 'running', ended_at = NULL")
    before = (results / "results.db").read_bytes()
    for options in ([], ["--repair"]):
        done = harness("check", "--results", results, *options)
        assert done.returncode == 1
        assert "integrity_check" in done.stdout and "marked running" not in done.stdout
    assert "Not repaired: restore a copy, or move the file away to start anew." in done.stdout
    assert (results / "results.db").read_bytes() == before


@pytest.mark.parametrize("options", [[], ["--repair"]], ids=["check", "repair"])
def test_a_database_of_an_unreleased_version_is_refused_and_left_as_it_is(results: Path, options: list[str]) -> None:
    damage(results / "results.db", "PRAGMA user_version = 6")
    before = (results / "results.db").read_bytes()
    done = harness("check", "--results", results, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: results database '{results}/results.db': written by an unreleased harness (schema 6); expected one of "
        "this version; move its folder away and run the search again\n"
    )
    assert (results / "results.db").read_bytes() == before


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def write_over(path: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


@pytest.mark.parametrize("break_it", [cut_in_half, write_over])
@pytest.mark.parametrize("options", [[], ["--repair"]], ids=["check", "repair"])
def test_a_broken_file_gives_sentences_and_no_traceback(
    results: Path, break_it: Callable[[Path], None], options: list[str]
) -> None:
    break_it(results / "results.db")
    before = (results / "results.db").read_bytes()
    done = harness("check", "--results", results, *options)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    said = done.stdout + done.stderr
    assert "damaged" in said or "integrity_check" in said
    assert (results / "results.db").read_bytes() == before


def check_as_nobody(folder: str, *options: str) -> tuple[int | None, str]:
    """Check as ``nobody``, for whom the folder's permissions count, unlike for root."""
    # Imported by now with all that it needs: another user may be unable to read the packages.
    assert callable(look_through)
    if os.getuid() == 0:
        os.setuid(65534)
    done = CliRunner().invoke(check, ["--results", folder, *options], standalone_mode=False)
    return done.return_value, f"{done.output}{done.exception or ''}"


def test_a_folder_that_cannot_be_written_can_be_checked_and_refuses_a_repair(whole: Path) -> None:
    # The folders of pytest are closed to other users, and root needs to become one.
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(whole / "results.db", folder)
        Path(folder).chmod(0o555)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            said = pool.submit(check_as_nobody, folder).result()
            refused = pool.submit(check_as_nobody, folder, "--repair").result()
        Path(folder).chmod(0o755)
    assert refused == (
        None,
        f"results folder '{folder}': the system refused a file '{folder}/experiments' (Permission denied); make the "
        "folder readable (for --repair also writable), free disk space, and run the command again",
    )
    assert said == (0, f"{LOOKED_AT}No inconsistencies were found.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Error: nothing to check; expected a CORPUS, --results DIR or --leaks\n"),
        (
            ["corpus", "--repair"],
            "Error: --repair is for results folders; expected --results DIR too\n",
        ),
        (
            ["--results", "nowhere"],
            "error: results database 'nowhere/results.db': not found; expected the folder of a search that has "
            "been started; run aup first\n",
        ),
        (
            ["nowhere"],
            "error: corpus 'nowhere': no such folder; expected the release's folder 'IEMOCAP_full_release', or its "
            "parent\n",
        ),
    ],
    ids=["nothing named", "repair of a corpus", "no results", "no corpus"],
)
def test_wrong_arguments_give_one_sentence_and_exit_code_two(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = harness("check", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith(message)
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_is_told_what_it_lacks(tmp_path: Path) -> None:
    layout = write_tiny_corpus(tmp_path / "the actors' own")
    before = sorted(layout.root.rglob("*"))
    done = harness("check", layout.root, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[1] == "Session 1 has 1 utterance labelled ang, but the complete corpus has 229."
    assert sum(line.startswith("Session ") for line in lines) == 30
    assert (
        "missing mocap: 3 (Ses05M_script01_1b, Ses05M_script01_1b, Ses05M_script01_1b). Its columns are marked as "
        "lost for the dialogue; no other take's file is read."
    ) in lines
    assert sorted(layout.root.rglob("*")) == before
    assert sorted(tmp_path.iterdir()) == [tmp_path / "the actors' own"]


def test_what_no_utterance_has_is_told(tmp_path: Path) -> None:
    layout = write_tiny_corpus(tmp_path / "corpus")
    for dialogue_id in [name for session in layout.sessions() for name in layout.dialogue_ids(session)]:
        layout.transcript_path(dialogue_id).unlink()
        for stream in MocapStream:
            layout.mocap_path(dialogue_id, stream).unlink(missing_ok=True)
    lines = harness("check", layout.root).stdout.splitlines()
    for modality in ("text", "mocap"):
        assert f"{modality}: the corpus has none, so systems that need {modality} cannot use it." in lines
    assert not any(line.startswith("speech:") for line in lines)


def test_a_corpus_and_results_are_checked_together(results: Path, tmp_path: Path) -> None:
    write_synthetic(tmp_path / "made", SyntheticSettings(scale=0.01))
    done = harness("check", tmp_path / "made", "--results", results)
    assert done.returncode == 1
    assert "ynthetic" in done.stdout.splitlines()[0]
    assert done.stdout.endswith("No inconsistencies were found.\n")


def test_help_shows_an_example_and_comes_at_once() -> None:
    done = harness("check", "--help")
    assert done.returncode == 0
    assert "harness check --results results/ --repair" in done.stdout
    code = "import sys, harness.cli.check; print([name for name in ('aup', 'numpy', 'sqlite3') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.stdout == "[]\n"
