"""What becomes of an error that no command expects."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import harness, run
from harness.errors import CorpusError


def test_a_file_that_the_system_refuses_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def read(**kwargs: Any) -> None:
        tmp_path.read_bytes()

    assert run(read, "harness") == 2
    expected = f"error: '{tmp_path}': Is a directory; make it readable and writable, or name another\n"
    assert capsys.readouterr() == ("", expected)


def test_what_a_terminal_would_obey_is_spelt_out(capsys: pytest.CaptureFixture[str]) -> None:
    """The name of a file coloured the terminal, broke the sentence, or turned it from right to left."""

    def read(**kwargs: Any) -> None:
        raise CorpusError("file 'a\x1b[31mb\n\u202ec': is empty; expected labels")

    assert run(read, "harness") == 2
    assert capsys.readouterr() == ("", "error: file 'ab\\n\\u202ec': is empty; expected labels\n")


def test_a_bug_is_a_traceback() -> None:
    def fail(**kwargs: Any) -> None:
        raise OSError("no file at all")

    with pytest.raises(OSError, match="no file at all"):
        run(fail, "harness")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("predit", "'predict', or another of init, schema"), ("xyz", "one of init, schema")],
    ids=["near", "far"],
)
def test_an_unknown_command_gets_the_nearest_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, typed: str, expected: str
) -> None:
    monkeypatch.setattr("sys.argv", ["harness", typed])
    assert run(harness, "harness") == 2
    assert f"Error: No such command '{typed}'; expected {expected}, synth, " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["retrain-best", "replicate", "leaks"])
def test_a_folder_without_results_is_refused_before_tensorflow_is_imported(command: str, tmp_path: Path) -> None:
    code = (
        "import sys; from harness.cli.main import main\n"
        f"sys.argv = ['harness', {command!r}, {str(tmp_path)!r}]\n"
        "try: main()\n"
        "finally: print([name for name in ('tensorflow', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "[]\n")
    assert "results.db': not found" in done.stderr
