"""Commands in any encoding, with standard output full, closed, or left by its reader, and interrupted early."""

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from harness.cli.options import name_test_scores
from harness.store.store import ResultsStore
from tests.search.searches import SCORES_X, environment, search, write_experiment
from tests.store.experiments import an_experiment, an_opening

#: The installed programs, as pip's scripts begin them.
PROGRAM = "import sys; from harness.cli import run_{0}; sys.argv[0] = '{0}'; run_{0}()"


def command(program: str, *words: object) -> list[str]:
    return [sys.executable, "-c", PROGRAM.format(program), *map(str, words)]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search whose name and hyperparameter only some encodings have."""
    folder = tmp_path_factory.mktemp("search")
    script = SCORES_X.replace('["x"]', '["größe"]')
    entries = [{"name": "größe", "range": [0.0, 1.0], "type": "float"}]
    search(write_experiment(folder, script, name="søk ☃ 𝄞", parameter_config=entries))
    return folder


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
@pytest.mark.parametrize("words", ["systems fusion", "report results", "watch --json --once"])
def test_whatever_the_encoding_output_is_written(searched: Path, encoding: str, words: str) -> None:
    done = subprocess.run(
        command("harness", *words.split()),
        cwd=searched,
        env=environment() | {"PYTHONIOENCODING": encoding, "COLUMNS": "100"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr.replace(b"\0", b"")) == (0, b"")
    assert len(done.stdout) > 100


def test_json_stays_json_in_an_encoding_that_lacks_its_letters() -> None:
    code = (
        "import json, sys\n"
        "from harness.cli.main import serve\n"
        "text = json.dumps('s\\u00f8k \\u2603 \\U0001d11e', ensure_ascii=False)\n"
        "sys.exit(serve(lambda **kwargs: print(text), 'harness'))\n"
    )
    latin = environment() | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", code], env=latin, capture_output=True, check=True)
    assert json.loads(done.stdout.decode("latin-1")) == "søk ☃ 𝄞"


@pytest.mark.parametrize("words", ["report results", "export results --csv -", "systems", "check --results results"])
def test_a_full_standard_output_is_one_sentence(searched: Path, words: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command("harness", *words.split()), cwd=searched, env=environment(), stdout=full, stderr=subprocess.PIPE
        )
    said = done.stderr.decode().splitlines()
    assert (done.returncode, said[-1]) == (
        2,
        "error: standard output: No space left on device; the command has done its work, but not all of its output was "
        "written; send it to a terminal, a pipe, or a file on a disk with room",
    )
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize("words", ["report results", "export results --csv -", "systems", "watch --once", "watch ."])
def test_a_closed_standard_output_is_one_sentence(searched: Path, words: str) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" >&-', *command("harness", *words.split())],
        cwd=searched,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: standard output: it is closed; the command has done its")
    assert "Traceback" not in done.stderr


def test_a_closed_standard_output_is_no_fault_of_a_command_that_writes_nothing_there(searched: Path) -> None:
    written = searched / "trials.csv"
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" >&-', *command("harness", "export", "results", "--csv", written)],
        cwd=searched,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.returncode, "standard output" in done.stderr) == (0, False)
    assert written.stat().st_size > 0


@pytest.mark.parametrize("words", ["report results", "export results --what epochs --csv -", "systems"])
def test_a_reader_that_leaves_ends_nothing(searched: Path, words: str) -> None:
    process = subprocess.Popen(
        command("harness", *words.split()),
        cwd=searched,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 0
    assert "Traceback" not in said and "error" not in said


@pytest.mark.parametrize("stream", ["stdin", "stderr"])
def test_the_other_streams_may_be_closed(searched: Path, stream: str) -> None:
    number = {"stdin": "<&-", "stderr": "2>&-"}[stream]
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {number}', *command("harness", "report", "results")],
        cwd=searched,
        env=environment(),
        stdout=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 0
    assert b"Best" in done.stdout


@pytest.mark.parametrize("fails", [False, True])
def test_whatever_ends_a_test_evaluation_it_is_said_where_its_scores_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fails: bool
) -> None:
    database = tmp_path / "results.db"
    with ResultsStore.open(database) as store:
        eid = store.create_experiment(an_experiment())
        store.record_opening(an_opening(eid))
    with suppress(RuntimeError), name_test_scores(tmp_path) as stores, ResultsStore.open(database) as store:
        stores.append(store)
        with ResultsStore.open(database) as of_another_process:
            of_another_process.record_opening(an_opening(eid))
        opening_id = store.record_opening(an_opening(eid))
        if fails:
            raise RuntimeError("the screen is full")
        store.complete_opening(opening_id)
    not_completed = " It was not completed." if fails else ""
    assert capsys.readouterr() == (
        "",
        f"Test evaluation 3 is on record in '{database}'.{not_completed} To see what it has recorded, without another "
        f"evaluation: harness report {tmp_path} --experiment {eid}\n",
    )


def test_a_record_that_cannot_be_read_hides_no_error(tmp_path: Path) -> None:
    database = tmp_path / "results.db"
    with pytest.raises(RuntimeError, match="^the true cause$"), name_test_scores(tmp_path) as stores:
        with ResultsStore.open(database) as store:
            stores.append(store)
            store.record_opening(an_opening(None))
        database.write_bytes(b"no database")
        raise RuntimeError("the true cause")


#: Whoever runs these tests in the background has Ctrl-C ignored, and so would every program that they start.
HEARS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"

#: Sends the signal as the interpreter imports the module, wherever a command does so.
INTERRUPTED_AT = HEARS + """
import os, sys
from harness.cli import run_{program}

def watch(event, arguments):
    global hit
    if event == "import" and arguments[0] == "{module}" and not hit:
        hit = True
        os.kill(os.getpid(), signal.SIGINT)

hit = False
sys.addaudithook(watch)
sys.argv[0] = "{program}"
run_{program}()
"""


@pytest.mark.parametrize(
    "module",
    ["harness.cli.main", "click", "harness.errors", "harness.report.findings", "rich.console", "numpy", "sqlite3"],
)
def test_ctrl_c_is_one_sentence_wherever_a_report_begins(searched: Path, module: str) -> None:
    code = INTERRUPTED_AT.format(program="harness", module=module)
    done = subprocess.run(
        [sys.executable, "-c", code, "report", "results"],
        cwd=searched,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr.strip(), done.stdout) == (130, "interrupted", "")


@pytest.mark.parametrize("module", ["click", "harness.cli.aup", "harness.search.controller", "numpy"])
def test_ctrl_c_is_one_sentence_wherever_a_search_begins(tmp_path: Path, module: str) -> None:
    path = write_experiment(tmp_path, SCORES_X)
    code = INTERRUPTED_AT.format(program="aup", module=module)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.strip()) == (130, "interrupted")


def test_ctrl_c_in_a_finalizer_ends_the_command_all_the_same() -> None:
    code = HEARS + (
        "import os, sys, time\n"
        "from harness.cli.main import serve\n"
        "class Last:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(0.01)\n"
        "def work(**kwargs):\n"
        "    last = Last()\n"
        "    del last\n"
        "    time.sleep(60)\n"
        "sys.exit(serve(work, 'harness'))\n"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_a_library_swallows_is_no_success(number: signal.Signals) -> None:
    code = HEARS + (
        "import os, sys\n"
        "from harness.cli.main import serve\n"
        "def work(**kwargs):\n"
        "    try:\n"
        f"        os.kill(os.getpid(), {int(number)})\n"
        "        for _ in range(100): pass\n"
        "    except BaseException:\n"
        "        pass\n"
        "sys.exit(serve(work, 'harness'))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], env=environment()).returncode == 130


def test_a_background_job_whose_interrupts_are_ignored_goes_on() -> None:
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from harness.cli.main import serve\n"
        "sys.exit(serve(lambda **kwargs: os.kill(os.getpid(), signal.SIGINT), 'harness'))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], env=environment()).returncode == 0
