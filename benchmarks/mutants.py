"""How many small mistakes in the code that makes scores the tests notice: `python -m benchmarks.mutants --into FOLDER`.

A mutant is the package with one operator, bound or constant of `scoring/`, `splits/`, `training/` or the search's
proposers changed. It is killed if a test of that room fails. Mutants are drawn from all of these places at random, and
each is tested in a copy of the repository, never in the repository itself. FOLDER keeps every result, so that an
interrupted run goes on where it stopped. The package cosmic-ray makes the changes: `pip install '.[benchmarks]'`.

Not changed is what no test should notice: annotations, texts of messages, logging, `__all__`, whether a dataclass is
frozen, and the `strict` of `zip`. A mutant is tested by those tests of its room that run the changed line, as measured
on the unchanged copy, the quickest first. Each run is forked from a process that has imported the large packages.
"""

from __future__ import annotations

import argparse
import ast
import ctypes
import hashlib
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True)
class Room:
    """Part of the package, and its tests.

    Attributes:
        sources: files and folders that are mutated
        tests: files and folders; the examples in the docstrings of ``sources`` are tests too
    """

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]


ROOMS = (
    Room("scoring", ("harness/scoring",), ("tests/scoring",)),
    Room("splits", ("harness/splits",), ("tests/splits",)),
    Room("training", ("harness/training",), ("tests/training",)),
    Room(
        "proposer",
        ("harness/search/proposer.py", "harness/search/space.py"),
        ("tests/search/test_proposer.py", "tests/search/test_space.py", "tests/search/test_space_file.py"),
    ),
)

#: Operator -> what replaces it: its neighbour, and its opposite. A choice: replacements by something unrelated, such as
#: + by >>, fail in nearly every test and would only flatter the share.
COMPARISONS = {
    "Lt": ("LtE", "GtE"),
    "LtE": ("Lt", "Gt"),
    "Gt": ("GtE", "LtE"),
    "GtE": ("Gt", "Lt"),
    "Eq": ("NotEq",),
    "NotEq": ("Eq",),
    "Is": ("IsNot",),
    "IsNot": ("Is",),
}
ARITHMETIC = {
    "Add": "Sub",
    "Sub": "Add",
    "Mul": "Div",
    "Div": "Mul",
    "FloorDiv": "Mul",
    "Mod": "FloorDiv",
    "Pow": "Mul",
    "BitOr": "BitAnd",
    "BitAnd": "BitOr",
    "LShift": "RShift",
    "RShift": "LShift",
}
#: cosmic-ray's names of the operators that are used.
OPERATORS = (
    *(f"ReplaceComparisonOperator_{old}_{new}" for old, news in COMPARISONS.items() for new in news),
    *(f"ReplaceBinaryOperator_{old}_{new}" for old, new in ARITHMETIC.items()),
    *("ReplaceUnaryOperator_Delete_USub", "ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_Delete_Invert"),
    *("ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "AddNot"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "NumberReplacer"),
)

#: Imported before the forks; where one is missing, the tests that need it are skipped as everywhere. None of them may
#: run an operation of TensorFlow when it is imported.
PRELOADED = (
    *("numpy", "scipy.stats", "scipy.special", "scipy.optimize", "pytest", "hypothesis", "hypothesis.extra.numpy"),
    *("tensorflow", "keras", "pandas", "sklearn.ensemble", "statsmodels.api", "opda", "optuna", "coverage"),
)

#: Names on which logging is called.
LOGGERS = ("log", "logger", "logging", "warnings")
#: Arguments that are checks which never fire in right code, or guards against a writer of code.
IGNORED_ARGUMENTS = ("strict", "frozen", "slots", "kw_only", "stacklevel")

#: A mutant that takes more than this many times the time of its tests, and this many seconds, has timed out.
LIMIT_RATIO, LIMIT_SECONDS = 4.0, 20.0
#: Bytes that a mutant may allocate.
LIMIT_MEMORY = 8 * 2**30
#: Seconds of tests, as measured, that one mutant is given.
BUDGET_SECONDS = 60.0
#: The share of mutants that shall die.
EXPECTED_SHARE = 0.9

Lines = tuple[int, int]


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        path: the file, from the repository's root
        occurrence: the how-manieth place in the file where ``operator`` can change something
        line: where the change begins, from 1
    """

    path: str
    operator: str
    occurrence: int
    line: int


@dataclass(frozen=True)
class Statement:
    """The first and last line of a statement, of a compound one without its body; and whether an import runs it."""

    lines: Lines
    runs_at_import: bool


def list_mutants(path: str, source: str) -> list[Mutant]:
    """List every change of a file, without those that no test should notice.

    Some of these may not compile; ``mutate`` refuses them.
    """
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator

    ignored = _ignored_ranges(ast.parse(source))
    nodes = list(ast_nodes(get_ast(source)))
    found = []
    for name in OPERATORS:
        operator, occurrence = get_operator(f"core/{name}")(), 0
        for node in nodes:
            for begin, _ in operator.mutation_positions(node):
                is_ignored = any(first <= tuple(begin) < last for first, last in ignored)
                if not is_ignored and not _doubles(name, node):
                    found.append(Mutant(path, name, occurrence, begin[0]))
                occurrence += 1
    return found


def mutate(source: str, mutant: Mutant) -> str | None:
    """Return the changed source; None where it does not compile, or means the same."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    changed = mutate_code(source, get_operator(f"core/{mutant.operator}")(), mutant.occurrence)
    if changed is None:
        return None
    try:
        tree = ast.parse(changed)
        compile(tree, mutant.path, "exec")
    except SyntaxError:
        return None
    return None if ast.dump(tree) == ast.dump(ast.parse(source)) else str(changed)


def _doubles(operator: str, node: Any) -> bool:
    """Return whether another operator makes the same change: a negated comparison is the opposite comparison."""
    if operator != "AddNot":
        return False
    condition = node.children[2 if node.type == "test" else 1]
    opposites = ("<", "<=", ">", ">=", "==", "!=", "is", "is not")
    is_single = condition.type == "comparison" and len(condition.children) == 3
    return condition.type == "not_test" or (is_single and condition.children[1].get_code().strip() in opposites)


def _ignored_ranges(tree: ast.Module) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the places that no test should notice, each from (line, column) to the one behind it."""
    found: list[ast.expr | ast.stmt | ast.keyword] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
            found += [each.annotation for each in every if each is not None and each.annotation is not None]
            found += [node.returns] if node.returns is not None else []
        elif isinstance(node, ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.Raise):
            found += [each for each in ast.walk(node) if isinstance(each, ast.JoinedStr)]
        elif isinstance(node, ast.keyword) and node.arg in IGNORED_ARGUMENTS:
            found.append(node.value)
        elif isinstance(node, ast.Call) and _is_logging(node):
            found.append(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "cast" and node.args:
            found.append(node.args[0])
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            found.append(node)
        elif isinstance(node, ast.Assign) and "__all__" in map(ast.unparse, node.targets):
            found.append(node)
        elif isinstance(node, ast.Assign) and node in tree.body and _is_type(node.value):
            found.append(node)
    return [((each.lineno, each.col_offset), (each.end_lineno or 0, each.end_col_offset or 0)) for each in found]


def _is_logging(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value).lower().strip("_") in LOGGERS


def _is_type(value: ast.expr) -> bool:
    """Return whether a module's variable is a name of a type, such as ``int | None``."""
    return isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr) and isinstance(value.left, ast.Name)


def find_statement(source: str, line: int) -> Statement:
    """Return the innermost statement at a line."""
    best: Statement | None = None

    def visit(body: Iterable[ast.AST], in_function: bool) -> None:
        nonlocal best
        for node in body:
            inside = in_function
            if isinstance(node, ast.stmt):
                last = node.end_lineno or node.lineno
                inner = getattr(node, "body", None)
                if isinstance(inner, list) and inner:
                    last = max(node.lineno, inner[0].lineno - 1)
                decorators = getattr(node, "decorator_list", [])
                first = min([node.lineno, *(each.lineno for each in decorators)])
                if first <= line <= last:
                    best = Statement((first, last), not in_function)
                inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            visit(ast.iter_child_nodes(node), inside)

    visit(ast.parse(source).body, False)
    return best or Statement((line, line), True)


@dataclass(frozen=True)
class MeasuredTest:
    """One test on the unchanged copy.

    Attributes:
        seconds: the processor's time, that of its processes included, or the time that passed if that is less
        lines: file -> the lines that it runs outside of imports
    """

    name: str
    room: str
    passed: bool
    seconds: float
    lines: Mapping[str, Sequence[int]]

    @property
    def file(self) -> str:
        return self.name.partition("::")[0]


def choose_tests(tests: Sequence[MeasuredTest], mutant: Mutant, source: str, budget: float) -> list[MeasuredTest]:
    """Return the tests of a mutant, the quickest first; as many as ``budget`` seconds hold, and at least one.

    Those are the tests that run its line; for what an import runs, those that run anything of the file. A line that no
    test runs in its own process may be run by a process that the tests of the same name start.
    """
    statement = find_statement(source, mutant.line)
    lines = range(statement.lines[0], statement.lines[1] + 1)
    touching = [test for test in tests if test.lines.get(mutant.path)]
    if statement.runs_at_import:
        chosen = touching or list(tests)
    else:
        chosen = [test for test in touching if not set(lines).isdisjoint(test.lines[mutant.path])]
    if not chosen:
        chosen = [test for test in tests if Path(test.file).name.startswith(f"test_{Path(mutant.path).stem}")]
    kept: list[MeasuredTest] = []
    for test in sorted(chosen, key=lambda test: test.seconds):
        if kept and sum(each.seconds for each in kept) + test.seconds > budget:
            break
        kept.append(test)
    return kept


class Selection:
    """A plugin of pytest: runs the chosen tests in their order, and writes down which one failed."""

    def __init__(self, chosen: Sequence[str], known: Iterable[str], report: Path) -> None:
        self._order = {name: place for place, name in enumerate(chosen)}
        self._known = set(known)
        self._report = report

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        # A test that is not known has its name from a constant that was changed.
        items[:] = [item for item in items if item.nodeid in self._order or item.nodeid not in self._known]
        items.sort(key=lambda item: self._order.get(item.nodeid, -1))

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self._report.write_text(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._report.write_text(f"{report.nodeid}, when it was imported")


class Measurement:
    """A plugin of pytest: writes down of each test whether it passes, how long it takes and which lines it runs."""

    def __init__(self, root: Path, sources: Sequence[str], report: Path) -> None:
        import coverage

        include = [str(root / (each if each.endswith(".py") else f"{each}/*")) for each in sources]
        self._coverage = coverage.Coverage(data_file=None, include=include, config_file=False)
        self._root, self._report = root, report
        self._seconds: Counter[str] = Counter()
        self._failed: set[str] = set()
        self._ran: dict[str, None] = {}
        self._coverage.start()

    def pytest_runtest_protocol(self, item: Any) -> None:
        self._coverage.switch_context(item.nodeid)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._began = _processor_seconds(), time.monotonic()

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._ran[report.nodeid] = None
        if report.failed or report.skipped:
            self._failed.add(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._seconds[nodeid] += min(_processor_seconds() - self._began[0], time.monotonic() - self._began[1])
        self._coverage.switch_context("")

    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        """Count the lines of a fixture for a whole file, or for all files, for all the tests there."""
        nodeid = request.node.nodeid
        if fixturedef.scope != "function":
            self._coverage.switch_context(f"fixture {nodeid.partition('::')[0]}")
        yield
        if fixturedef.scope != "function":
            self._coverage.switch_context(os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0])

    pytest_fixture_setup.pytest_impl = {"hookwrapper": True}  # type: ignore[attr-defined]

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        data = self._coverage.get_data()
        lines: dict[str, dict[str, list[int]]] = {}
        for path in data.measured_files():
            for line, contexts in data.contexts_by_lineno(path).items():
                for context in contexts:
                    of_context = lines.setdefault(context, {})
                    of_context.setdefault(str(Path(path).relative_to(self._root)), []).append(line)
        found = []
        for name in self._ran:
            own: dict[str, list[int]] = {}
            for part in (lines.get(name, {}), lines.get(f"fixture {name.partition('::')[0]}", {})):
                for path, numbers in part.items():
                    own[path] = sorted({*own.get(path, ()), *numbers})
            found.append({"name": name, "passed": name not in self._failed, "seconds": self._seconds[name], "lines": own})
        self._report.write_text(json.dumps(found))


def _processor_seconds() -> float:
    return sum(os.times()[:4])


@dataclass(frozen=True)
class Ended:
    """The end of a forked run of pytest: its exit code, None where it took too long, and what it wrote down."""

    code: int | None
    report: str
    seconds: float


class Bench:
    """A copy of the repository in which forks of this process run tests.

    Args:
        root: the copy
        folder: for what a run writes
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self._folder = folder
        self._report = folder / "report"
        self._changes = 0

    @contextmanager
    def changed(self, path: str, text: str) -> Iterator[None]:
        """Put a changed file in place of one of the copy's, and put that back."""
        self._changes += 1
        file = self.root / path
        before, status = file.read_bytes(), file.stat()
        file.write_text(text, "utf-8")
        # Python tells by the time and the size whether what it has compiled is of this file.
        os.utime(file, (status.st_atime, status.st_mtime + 10 * self._changes))
        try:
            yield
        finally:
            file.write_bytes(before)
            os.utime(file, (status.st_atime, status.st_mtime))

    def measure(self, room: Room) -> list[MeasuredTest]:
        """Run all the tests of a room once."""
        paths = [*room.tests, *room.sources]
        ended = self._fork(paths, lambda: Measurement(self.root, room.sources, self._report), None)
        if not ended.report:
            raise SystemExit(f"error: the tests of {room.name} did not run; they printed:\n{self._printed()}")
        return [MeasuredTest(room=room.name, **each) for each in json.loads(ended.report)]

    def test(self, chosen: Sequence[MeasuredTest], known: Sequence[MeasuredTest]) -> Ended:
        """Run some tests until one fails."""
        files = list(dict.fromkeys(test.file for test in chosen))
        names = [test.name for test in chosen]
        seconds = LIMIT_SECONDS + LIMIT_RATIO * sum(test.seconds for test in chosen)
        plugin = Selection(names, (test.name for test in known), self._report)
        ended = self._fork([*files, "-x"], lambda: plugin, seconds)
        if ended.code == 4:
            raise SystemExit(f"error: pytest was called wrongly; it printed:\n{self._printed()}")
        return ended

    def _printed(self) -> str:
        return (self._folder / "printed").read_text("utf-8", "replace")[-3000:]

    def _fork(self, arguments: Sequence[str], plugin: Any, limit: float | None) -> Ended:
        self._report.unlink(missing_ok=True)
        temporary = self._folder / "temporary"
        began = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if not pid:
            try:
                self._run(arguments, plugin, temporary, limit)
            finally:
                os._exit(70)
        code = _wait(pid, None if limit is None else 5 * limit)
        _end_children()
        shutil.rmtree(temporary, ignore_errors=True)
        report = self._report.read_text("utf-8") if self._report.exists() else ""
        return Ended(None if code == -signal.SIGXCPU else code, report, time.monotonic() - began)

    def _run(self, arguments: Sequence[str], plugin: Any, temporary: Path, limit: float | None) -> None:
        os.setsid()
        output = os.open(self._folder / "printed", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number, descriptor in ((0, os.open(os.devnull, os.O_RDONLY)), (1, output), (2, output)):
            os.dup2(descriptor, number)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
            resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_MEMORY, LIMIT_MEMORY))
        os.chdir(self.root)
        os.environ["PYTHONPATH"] = str(self.root)
        os.environ.pop("PYTEST_ADDOPTS", None)
        sys.path[:] = [str(self.root), *(path for path in sys.path if path not in ("", str(REPOSITORY)))]
        _fix_hypothesis()
        import pytest

        options = ["-q", "-n0", "--timeout=0", "-p", "no:cacheprovider", f"--basetemp={temporary}"]
        code = pytest.main([*options, *arguments], plugins=[plugin()])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code))


def _fix_hypothesis() -> None:
    """Let hypothesis draw the same examples every time, without the time limits and the search for a small example."""
    from hypothesis import HealthCheck, Phase, settings

    phases = (Phase.explicit, Phase.generate)
    checks = list(HealthCheck)
    settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, phases=phases, suppress_health_check=checks
    )
    settings.load_profile("mutants")


def _wait(pid: int, limit: float | None) -> int | None:
    """Wait for a process; after ``limit`` seconds end it, and return None."""
    deadline = None if limit is None else time.monotonic() + limit
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if deadline is not None and time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(0.02)


def _adopt_orphans() -> None:
    """Become the parent of processes below that lose theirs, on Linux, so that they can be ended."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, of linux/prctl.h


def _end_children() -> None:
    """End all the processes that a run left behind."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.kill()
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _preload() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in PRELOADED:
        with suppress(ImportError):
            importlib.import_module(name)


def copy_repository(repository: Path, folder: Path) -> Path:
    """Copy what the tests read; the recordings beside the repository are linked."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", "results", "build", "*.egg-info")
    root = folder / "repository"
    shutil.copytree(repository, root, ignore=ignored, symlinks=True)
    shared = repository.resolve().parent / "shared"
    if shared.is_dir():
        (folder / "shared").symlink_to(shared)
    return root


def list_files(root: Path, names: Iterable[str]) -> list[str]:
    """Return the Python files of files and folders, from the root."""
    found = []
    for name in names:
        path = root / name
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return [str(path.relative_to(root)) for path in found]


def _digest(root: Path, files: Iterable[str]) -> str:
    content = b"".join(name.encode() + b"\0" + (root / name).read_bytes() for name in files)
    return hashlib.sha256(content).hexdigest()[:16]


def measure_tests(bench: Bench, room: Room, into: Path) -> list[MeasuredTest]:
    """Return the tests of a room that pass on the unchanged copy, measured now or by an earlier run."""
    digest = _digest(bench.root, list_files(bench.root, ("harness", *room.tests)))
    path = into / f"tests-{room.name}-{digest}.json"
    if path.exists():
        tests = [MeasuredTest(**each) for each in json.loads(path.read_text("utf-8"))]
    else:
        tests = bench.measure(room)
        path.write_text(json.dumps([asdict(test) for test in tests]), "utf-8")
    passed = [test for test in tests if test.passed]
    if not passed:
        raise SystemExit(f"error: no test of {room.name} passes on the unchanged copy")
    print(f"{room.name}: {len(passed)} tests, {sum(test.seconds for test in passed):.0f} s of the processor", flush=True)
    for test in tests:
        if not test.passed:
            print(f"  not used, for it fails or is skipped on the unchanged copy: {test.name}", flush=True)
    return passed


@dataclass(frozen=True)
class Result:
    """What became of a mutant; a line of results.jsonl.

    Attributes:
        digest: of the file that was changed
        outcome: killed, timed out or survived
        by: the test that failed
        old, new: the changed line
        num_tests: that were chosen
    """

    path: str
    operator: str
    occurrence: int
    line: int
    digest: str
    room: str
    outcome: str
    by: str
    old: str
    new: str
    num_tests: int
    seconds: float

    @property
    def key(self) -> tuple[str, str, int, str]:
        return self.path, self.operator, self.occurrence, self.digest


def _changed_lines(source: str, changed: str) -> tuple[str, str]:
    pairs = zip(source.splitlines(), changed.splitlines(), strict=False)
    old, new = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
    return old.strip(), " ".join(new.split())


def test_mutant(
    bench: Bench, room: Room, mutant: Mutant, changed: str, tests: Sequence[MeasuredTest], budget: float
) -> Result:
    """Run a mutant's tests."""
    source = (bench.root / mutant.path).read_text("utf-8")
    chosen = choose_tests(tests, mutant, source, budget)
    old, new = _changed_lines(source, changed)
    ended = Ended(0, "", 0.0)
    if chosen:
        with bench.changed(mutant.path, changed):
            ended = bench.test(chosen, tests)
    outcome = "timed out" if ended.code is None else "survived" if ended.code in (0, 5) else "killed"
    by = ended.report or ("" if outcome == "survived" else f"exit code {ended.code}")
    digest = _digest(bench.root, [mutant.path])
    return Result(
        **asdict(mutant),
        digest=digest,
        room=room.name,
        outcome=outcome,
        by=by,
        old=old,
        new=new,
        num_tests=len(chosen),
        seconds=round(ended.seconds, 2),
    )


def draw(root: Path, rooms: Sequence[Room], number: int, seed: int) -> list[tuple[Room, Mutant, str]]:
    """Draw mutants that compile from all that there are, each with its room and its source."""
    rooms_of = {path: room for room in rooms for path in list_files(root, room.sources)}
    sources = {path: (root / path).read_text("utf-8") for path in rooms_of}
    every = [mutant for path, source in sources.items() for mutant in list_mutants(path, source)]
    print(f"{len(every)} mutants of {len(sources)} files; {min(number, len(every))} are drawn with seed {seed}", flush=True)
    random.Random(seed).shuffle(every)
    drawn: list[tuple[Room, Mutant, str]] = []
    for mutant in every:
        if len(drawn) == number:
            break
        changed = mutate(sources[mutant.path], mutant)
        if changed is not None:
            drawn.append((rooms_of[mutant.path], mutant, changed))
    return drawn


def summarise(results: Sequence[Result], rooms: Sequence[Room]) -> str:
    """Return the table of the rooms."""
    lines = [f"{'room':10}{'mutants':>9}{'killed':>9}{'timed out':>11}{'survived':>10}{'died':>8}"]
    for name in (*(room.name for room in rooms), "all"):
        outcomes = Counter(result.outcome for result in results if name in (result.room, "all"))
        total = outcomes.total()
        share = f"{1 - outcomes['survived'] / total:.0%}" if total else "-"
        counts = f"{outcomes['killed']:>9}{outcomes['timed out']:>11}{outcomes['survived']:>10}"
        lines.append(f"{name:10}{total:>9}{counts}{share:>8}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None, repository: Path = REPOSITORY, rooms: Sequence[Room] = ROOMS) -> int:
    parser = argparse.ArgumentParser(
        description="Change single operators, bounds and constants in a copy of the package, and count which changes "
        "the tests of the same room notice. Exits with 1 if fewer than 90 % are noticed."
    )
    parser.add_argument("--into", type=Path, required=True, help="folder for the results; one of an earlier run goes on")
    parser.add_argument("--mutants", type=int, default=300, help="that are drawn  [default: 300]")
    parser.add_argument("--seed", type=int, default=0, help="of the draw  [default: 0]")
    parser.add_argument("--room", choices=[room.name for room in rooms], help="draw from one room alone")
    parser.add_argument("--minutes", type=float, help="begin no mutant after so many  [default: no limit]")
    parser.add_argument("--survivors", action="store_true", help="test those again that survived in an earlier run")
    parser.add_argument(
        "--budget", type=float, default=BUDGET_SECONDS, help="seconds of tests that one mutant is given  [default: 60]"
    )
    options = parser.parse_args(arguments)
    began = time.monotonic()
    rooms = [room for room in rooms if options.room in (None, room.name)]
    options.into.mkdir(parents=True, exist_ok=True)
    _adopt_orphans()
    _preload()
    with tempfile.TemporaryDirectory(prefix="mutants-") as text:
        folder = Path(text)
        bench = Bench(copy_repository(repository, folder), folder)
        drawn = draw(bench.root, rooms, options.mutants, options.seed)
        tests = {room.name: measure_tests(bench, room, options.into) for room in rooms}
        results = _run(bench, drawn, tests, options, began)
    print()
    print(summarise(results, rooms))
    if len(results) < len(drawn):
        print(f"{len(drawn) - len(results)} of the mutants that were drawn are left for another run")
    died = sum(result.outcome != "survived" for result in results)
    return 0 if died >= EXPECTED_SHARE * len(results) else 1


def _run(
    bench: Bench,
    drawn: Sequence[tuple[Room, Mutant, str]],
    tests: Mapping[str, Sequence[MeasuredTest]],
    options: argparse.Namespace,
    began: float,
) -> list[Result]:
    path = options.into / "results.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    known = {result.key: result for result in (Result(**json.loads(line)) for line in lines)}
    results: list[Result] = []
    for number, (room, mutant, changed) in enumerate(drawn, start=1):
        key = mutant.path, mutant.operator, mutant.occurrence, _digest(bench.root, [mutant.path])
        result = known.get(key)
        is_due = result is None or (options.survivors and result.outcome == "survived")
        if is_due and options.minutes is not None and time.monotonic() - began > 60 * options.minutes:
            if result is None:
                continue
        elif is_due:
            result = test_mutant(bench, room, mutant, changed, tests[room.name], options.budget)
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")
        assert result is not None
        results.append(result)
        where = f"{number:4} {result.outcome:9} {result.seconds:6.1f} s  {mutant.path}:{mutant.line}"
        print(f"{where}  {result.by}" if result.by else f"{where}  of {result.num_tests} tests", flush=True)
        if result.outcome == "survived":
            print(f"     - {result.old}\n     + {result.new}", flush=True)
    return results


if __name__ == "__main__":
    sys.exit(main())
