"""The tests of a mutant, for `benchmarks.mutants`: measured, chosen, and run by forks of a process that is ready."""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FunctionType
from typing import Any, NoReturn

from benchmarks.mutants_code import Mutant, Statement, exchange_code, find_statement

REPOSITORY = Path(__file__).parents[1]

#: Imported before the forks; where one is missing, the tests that need it are skipped as everywhere. None of them may
#: run an operation of TensorFlow when it is imported.
PRELOADED = (
    *("numpy", "scipy.stats", "scipy.special", "scipy.optimize", "pytest", "hypothesis", "hypothesis.extra.numpy"),
    *("tensorflow", "keras", "pandas", "sklearn.ensemble", "statsmodels.api", "opda", "optuna", "coverage"),
)

#: A mutant that takes more than this many times the time of its tests, and this many seconds, has timed out.
LIMIT_RATIO, LIMIT_SECONDS = 4.0, 20.0
#: Bytes that a mutant may allocate.
LIMIT_MEMORY = 8 * 2**30


@dataclass(frozen=True)
class Room:
    """Part of the package, and its tests.

    Attributes:
        sources: files and folders that are mutated
        tests: files and folders; the examples in the docstrings of ``sources`` are tests too
        has_long: whether tests that take minutes are chosen too, as far as the budget of a mutant goes
    """

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]
    has_long: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """What pytest is given in place of its settings."""
        return ("-m", "not thorough") if self.has_long else ()


@dataclass(frozen=True)
class MeasuredTest:
    """One test on the unchanged copy.

    Attributes:
        seconds: the processor's time, that of its processes included, or the time that passed if that is less
        lines: file -> the lines that it runs outside of imports
    """

    IMPORT = "import"

    name: str
    passed: bool
    seconds: float
    lines: Mapping[str, Sequence[int]]

    @property
    def file(self) -> str:
        return self.name.partition("::")[0]


@dataclass(frozen=True)
class RoomTests:
    """The tests of a room that pass, and the lines that run before them, by file."""

    tests: Sequence[MeasuredTest]
    imported: Mapping[str, Sequence[int]]

    def runs_at_import(self, path: str, statement: Statement) -> bool:
        return not statement.isdisjoint(self.imported.get(path, ()))


def choose_tests(
    tests: Sequence[MeasuredTest], mutant: Mutant, statement: Statement, budget: float
) -> list[MeasuredTest]:
    """Return the tests of a mutant, as many as ``budget`` seconds hold and at least one, the quickest files first.

    Those are the tests that run its statement; for what an import runs, those that run anything of the file. A line
    that no test runs in its own process may be run by a process that the tests of the same name start.
    """
    chosen = [test for test in tests if test.lines.get(mutant.path)]
    if not statement.runs_at_import:
        chosen = [test for test in chosen if not statement.isdisjoint(test.lines[mutant.path])]
    elif not chosen:
        chosen = list(tests)
    if not chosen:
        chosen = [test for test in tests if Path(test.file).name.startswith(f"test_{Path(mutant.path).stem}")]
    kept: list[MeasuredTest] = []
    for test in sorted(chosen, key=lambda test: test.seconds):
        if kept and sum(each.seconds for each in kept) + test.seconds > budget:
            break
        kept.append(test)
    of_file: dict[str, float] = defaultdict(float)
    for test in kept:
        of_file[test.file] += test.seconds
    # A file's tests share what is made once for them.
    return sorted(kept, key=lambda test: (of_file[test.file], test.file, test.seconds))


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
        self._seconds: dict[str, float] = defaultdict(float)
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
        # Not a test: what runs before all tests.
        found = [{"name": MeasuredTest.IMPORT, "passed": True, "seconds": 0.0, "lines": lines.get("", {})}]
        for name in self._ran:
            own: dict[str, list[int]] = {}
            for part in (lines.get(name, {}), lines.get(f"fixture {name.partition('::')[0]}", {})):
                for path, numbers in part.items():
                    own[path] = sorted({*own.get(path, ()), *numbers})
            passed, seconds = name not in self._failed, self._seconds[name]
            found.append({"name": name, "passed": passed, "seconds": seconds, "lines": own})
        self._report.write_text(json.dumps(found))


def _processor_seconds() -> float:
    return sum(os.times()[:4])


@dataclass(frozen=True)
class Ended:
    """The end of a forked run of tests: its exit code, None where it took too long, and what it wrote down."""

    code: int | None
    report: str
    seconds: float


#: Exit codes of forks: something unexpected was raised; the changed code could not be exchanged.
FAILED_CODE, NOT_EXCHANGED_CODE = 70, 71


class Collected:
    """A process that has collected the tests of a room, and forks for each mutant.

    So a mutant needs no imports: its functions are given their changed code.
    """

    def __init__(self, bench: Bench, room: Room) -> None:
        self._channel, theirs = multiprocessing.Pipe()
        self._report, self._printed = bench.folder / f"report-{room.name}", bench.folder / f"printed-{room.name}"
        self._temporary = bench.folder / f"temporary-{room.name}"
        self.pid = os.fork()
        if not self.pid:
            self._channel.close()
            plugin = _Forking(theirs, self._report, bench.root)
            bench.run_pytest([*room.tests, *room.sources, *room.options, "-x"], plugin, self._temporary, self._printed)
        theirs.close()
        self._receive()

    def test(self, path: str, source: str, changed: str | None, names: Sequence[str], limit: float) -> Ended | None:
        """Run tests in their order until one fails.

        Args:
            changed: the file's changed source; None changes nothing

        Returns:
            None where the change is in something that an import runs
        """
        self._report.unlink(missing_ok=True)
        began = time.monotonic()
        request = {"path": path, "source": source, "changed": changed, "names": list(names), "limit": limit}
        self._channel.send_bytes(json.dumps(request).encode())
        code = json.loads(self._receive())
        shutil.rmtree(self._temporary, ignore_errors=True)
        if code == FAILED_CODE:
            raise SystemExit(f"error: the tests could not be run; they printed:\n{self.last_printed()}")
        report = self._report.read_text("utf-8") if self._report.exists() else ""
        return None if code == NOT_EXCHANGED_CODE else Ended(code, report, time.monotonic() - began)

    def _receive(self) -> bytes:
        try:
            return self._channel.recv_bytes()
        except EOFError:
            raise SystemExit(f"error: the tests were not collected; pytest printed:\n{self.last_printed()}") from None

    def last_printed(self) -> str:
        return self._printed.read_text("utf-8", "replace")[-3000:]


class _Forking:
    """A plugin of pytest: in place of running what is collected, forks for each request, and runs its tests."""

    def __init__(self, channel: Connection, report: Path, root: Path) -> None:
        self._channel, self._report, self._root = channel, report, root
        self._functions: list[FunctionType] = []

    def pytest_runtestloop(self, session: Any) -> None:
        _adopt_orphans()
        folder = str(self._root / "harness")
        functions = (each for each in gc.get_objects() if isinstance(each, FunctionType))
        self._functions = [each for each in functions if each.__code__.co_filename.startswith(folder)]
        # A collection would write to every object, and so copy all memory into each fork.
        gc.collect()
        gc.freeze()
        self._channel.send_bytes(b"ready")
        while True:
            try:
                request = json.loads(self._channel.recv_bytes())
            except EOFError:
                os._exit(0)
            pid = os.fork()
            if not pid:
                try:
                    os._exit(self._run(session, request))
                except BaseException:
                    traceback.print_exc()
                    sys.__stderr__.flush()
                finally:
                    os._exit(FAILED_CODE)
            code = _wait(pid, 5 * request["limit"])
            end_children()
            self._channel.send_bytes(json.dumps(code).encode())

    def _run(self, session: Any, request: Mapping[str, Any]) -> int:
        from _pytest.main import pytest_runtestloop

        os.setsid()
        _set_limits(request["limit"])
        if request["changed"] is not None:
            path = str(self._root / request["path"])
            if not exchange_code(self._functions, path, request["source"], request["changed"]):
                return NOT_EXCHANGED_CODE
        selection = Selection(request["names"], (item.nodeid for item in session.items), self._report)
        selection.pytest_collection_modifyitems(session.config, session.items)
        session.config.pluginmanager.register(selection)
        with suppress(session.Failed):
            pytest_runtestloop(session)
        return int(session.testsfailed > 0)


class Bench:
    """A copy of the repository in which forks of this process run tests.

    Args:
        root: the copy
        folder: for what a run writes
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self._report, self._printed = folder / "report", folder / "printed"
        self._changes = 0
        self._collected: dict[str, Collected] = {}

    @contextmanager
    def changed(self, path: str, text: str) -> Iterator[None]:
        """Put a changed file in place of one of the copy's, and put that back."""
        self._changes += 1
        file = self.root / path
        before, status = file.read_bytes(), file.stat()
        file.write_text(text, "utf-8")
        # Python sees by the time and the size whether what it has compiled is of this file.
        os.utime(file, (status.st_atime, status.st_mtime + 10 * self._changes))
        try:
            yield
        finally:
            file.write_bytes(before)
            os.utime(file, (status.st_atime, status.st_mtime))

    def measure(self, room: Room) -> list[dict[str, Any]]:
        """Run all the tests of a room once."""
        arguments = [*room.tests, *room.sources, *room.options]
        ended = self._fork(arguments, lambda: Measurement(self.root, room.sources, self._report), None)
        if not ended.report:
            raise SystemExit(f"error: the tests of {room.name} did not run; they printed:\n{self._last_printed()}")
        return list(json.loads(ended.report))

    def test(self, room: Room, tests: RoomTests, mutant: Mutant, changed: str, budget: float) -> tuple[Ended, int]:
        """Run the tests of a mutant until one fails; return how they ended, and how many were chosen."""
        source = (self.root / mutant.path).read_text("utf-8")
        statement = find_statement(source, mutant.line)
        chosen = choose_tests(tests.tests, mutant, statement, budget)
        if not chosen:
            return Ended(0, "", 0.0), 0
        seconds = LIMIT_SECONDS + LIMIT_RATIO * sum(test.seconds for test in chosen)
        names = [test.name for test in chosen]
        # Collects the unchanged file.
        collected = self._collect(room, tests)
        ended: Ended | None = None
        with self.changed(mutant.path, changed):
            if not statement.runs_at_import:
                ended = collected.test(mutant.path, source, changed, names, seconds)
            # A function that an import calls may have left there what the change would have changed.
            is_final = ended is not None and (ended.code != 0 or not tests.runs_at_import(mutant.path, statement))
            if ended is None or not is_final:
                ended = self._test_anew(room, chosen, names, tests, seconds)
        return ended, len(chosen)

    def _collect(self, room: Room, tests: RoomTests) -> Collected:
        if room.name not in self._collected:
            collected = self._collected[room.name] = Collected(self, room)
            names = [test.name for test in sorted(tests.tests, key=lambda test: test.seconds)[:10]]
            unchanged = collected.test("", "", None, names, LIMIT_SECONDS)
            if unchanged is None or unchanged.code != 0:
                said = collected.last_printed()
                raise SystemExit(f"error: tests of {room.name} fail in a fork of where they were collected:\n{said}")
        return self._collected[room.name]

    def _test_anew(
        self, room: Room, chosen: Sequence[MeasuredTest], names: Sequence[str], tests: RoomTests, seconds: float
    ) -> Ended:
        """Import and collect everything again, in a process of its own."""
        files = list(dict.fromkeys(test.file for test in chosen))
        plugin = Selection(names, (test.name for test in tests.tests), self._report)
        ended = self._fork([*files, *room.options, "-x"], lambda: plugin, seconds)
        if ended.code in (4, FAILED_CODE):
            raise SystemExit(f"error: pytest could not run; it printed:\n{self._last_printed()}")
        return ended

    def _last_printed(self) -> str:
        return self._printed.read_text("utf-8", "replace")[-3000:]

    def _fork(self, arguments: Sequence[str], plugin: Callable[[], Any], limit: float | None) -> Ended:
        self._report.unlink(missing_ok=True)
        temporary = self.folder / "temporary"
        began = time.monotonic()
        pid = os.fork()
        if not pid:
            if limit is not None:
                _set_limits(limit)
            self.run_pytest(arguments, plugin, temporary, self._printed)
        code = _wait(pid, None if limit is None else 5 * limit)
        end_children({collected.pid for collected in self._collected.values()})
        shutil.rmtree(temporary, ignore_errors=True)
        report = self._report.read_text("utf-8") if self._report.exists() else ""
        return Ended(code, report, time.monotonic() - began)

    def run_pytest(self, arguments: Sequence[str], plugin: Any, temporary: Path, printed: Path) -> NoReturn:
        """Run pytest in the copy, and exit; only in a fork."""
        try:
            os.setsid()
            output = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for number, descriptor in ((0, os.open(os.devnull, os.O_RDONLY)), (1, output), (2, output)):
                os.dup2(descriptor, number)
            os.chdir(self.root)
            os.environ["PYTHONPATH"] = str(self.root)
            os.environ.pop("PYTEST_ADDOPTS", None)
            sys.path[:] = [str(self.root), *(path for path in sys.path if path not in ("", str(REPOSITORY)))]
            _fix_hypothesis()
            import pytest

            options = ["-q", "-n0", "--timeout=0", "-p", "no:cacheprovider", f"--basetemp={temporary}"]
            made = plugin() if callable(plugin) else plugin
            code = pytest.main([*options, *arguments], plugins=[made])
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(int(code))
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(FAILED_CODE)


def _set_limits(seconds: float) -> None:
    """Limit the processor's time of this process, and its memory."""
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_MEMORY, LIMIT_MEMORY))


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
    """Wait for a process, and return its exit code; None if its time is used up, or ``limit`` seconds passed."""
    deadline = None if limit is None else time.monotonic() + limit
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return None if code == -signal.SIGXCPU else code
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


def end_children(kept: Collection[int] = ()) -> None:
    """End all the processes that a run left behind."""
    import psutil

    while left := [each for each in psutil.Process().children() if each.pid not in kept]:
        for process in left:
            with suppress(psutil.Error):
                for each in (*process.children(recursive=True), process):
                    each.kill()
            with suppress(ChildProcessError):
                os.waitpid(process.pid, 0)


def preload() -> None:
    """Import the large packages, and become the parent of what runs leave behind."""
    _adopt_orphans()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in PRELOADED:
        with suppress(ImportError):
            importlib.import_module(name)
