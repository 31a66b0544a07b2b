"""Mutants are changes that a test should notice, and what becomes of each is counted and kept."""

import json
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest

from benchmarks.mutants_code import Statement, exchange_code, find_statement

CLIPPED = '''"""Numbers that are cut off."""

from __future__ import annotations

HIGHEST = 10
UNUSED = [3]


def clip(number: int | None, *, name: str = "") -> int:
    """Return 2 at most 10."""
    if number is None:
        raise ValueError(f"{name}: {1 + 1} numbers are missing")
    return min(max(number, 0), HIGHEST)
'''
TESTED = '''import pytest

from harness.clipped import clip

@pytest.mark.long
def test_numbers_are_cut_off():
    assert [clip(-1), clip(5), clip(11)] == [0, 5, 10]
'''
RUN = """
import sys
from pathlib import Path
from benchmarks import mutants, mutants_tests
mutants_tests.PRELOADED = ("pytest", "hypothesis", "coverage")
room = mutants_tests.Room("clipped", ("harness/clipped.py",), ("tests",), has_long=True)
sys.exit(mutants.main(sys.argv[2:], Path(sys.argv[1]), [room]))
"""


def test_only_what_a_test_should_notice_is_changed() -> None:
    pytest.importorskip("cosmic_ray")
    from benchmarks.mutants_code import list_mutants, mutate

    mutants = list_mutants("clipped.py", CLIPPED)
    changed = [mutate(CLIPPED, mutant) for mutant in mutants]
    lines = CLIPPED.splitlines()
    new = [
        next(after for before, after in zip(lines, text.splitlines(), strict=True) if before != after)
        for text in changed
        if text is not None
    ]
    assert [" ".join(line.split()) for line in new] == [
        "if number is not None:",
        *("HIGHEST = 11", "HIGHEST = 9", "UNUSED = [ 4]", "UNUSED = [ 2]"),
        *("return min(max(number, 1), HIGHEST)", "return min(max(number, -1), HIGHEST)"),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [(5, Statement(5, 5, True)), (9, Statement(9, 9, True)), (11, Statement(11, 11, False))],
    ids=["a constant", "the default of an argument", "a condition without what depends on it"],
)
def test_the_statement_of_a_line_is_found(line: int, expected: Statement) -> None:
    assert find_statement(CLIPPED, line) == expected


def test_loaded_functions_get_changed_code_unless_an_import_runs_it() -> None:
    names: dict[str, object] = {}
    exec(compile(CLIPPED, "clipped.py", "exec"), names)
    clip = names["clip"]
    assert isinstance(clip, FunctionType)
    assert not exchange_code([clip], "clipped.py", CLIPPED, CLIPPED.replace("10\n", "11\n"))
    assert not exchange_code([clip], "clipped.py", CLIPPED, CLIPPED.replace('name: str = ""', 'name: str = "1"'))
    assert clip(-1) == 0
    assert exchange_code([clip], "clipped.py", CLIPPED, CLIPPED.replace("number, 0", "number, 1"))
    assert clip(-1) == 1


@pytest.mark.long
def test_mutants_are_counted_and_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("cosmic_ray")
    pytest.importorskip("coverage")
    repository = tmp_path / "it's a repository"
    files = {"harness/clipped.py": CLIPPED, "harness/__init__.py": "", "tests/test_clipped.py": TESTED}
    files["setup.cfg"] = "[tool:pytest]\naddopts = -m 'not long'\nmarkers =\n    long: takes minutes\n"
    for name, text in files.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)

    def run(number: int) -> subprocess.CompletedProcess[str]:
        options = ["--into", str(tmp_path / "into"), "--mutants", str(number)]
        command = [sys.executable, "-c", RUN, str(repository), *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    first, done = run(3), run(100)
    assert (first.returncode, done.returncode) == (1, 1), done.stderr
    assert done.stdout.splitlines()[-1].split() == ["all", "7", "5", "0", "2", "71%"]
    results = [json.loads(line) for line in (tmp_path / "into" / "results.jsonl").read_text().splitlines()]
    survived = sorted(result["new"] for result in results if result["outcome"] == "survived")
    assert survived == ["UNUSED = [ 2]", "UNUSED = [ 4]"]
    assert {result["by"] for result in results if result["outcome"] == "killed"} == {
        "tests/test_clipped.py::test_numbers_are_cut_off"
    }
    assert (repository / "harness/clipped.py").read_text() == CLIPPED
