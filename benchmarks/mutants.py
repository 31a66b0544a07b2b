"""How many small mistakes in the code that makes scores the tests notice: `python -m benchmarks.mutants --into FOLDER`.

A mutant is the package with one operator, bound or constant of `scoring/`, `splits/`, `training/` or the search's
proposers changed. It is killed if a test of that room fails. Mutants are drawn from all of these places at random, and
each is tested in a copy of the repository, never in the repository itself. FOLDER keeps every result, so that an
interrupted run goes on where it stopped. The package cosmic-ray makes the changes: `pip install '.[benchmarks]'`.

Not changed is what no test should notice: annotations, texts of messages, logging, `__all__`, whether a dataclass is
frozen, and the `strict` of `zip`. A mutant is tested by the tests of its room that run the changed line, as measured on
the unchanged copy, the quickest files first. A test of another room does not count.

A process that has collected a room's tests forks for each mutant, and its functions get the changed code. What an
import runs is tested in a process that imports everything anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.mutants_code import Mutant, list_mutants, mutate
from benchmarks.mutants_tests import REPOSITORY, Bench, MeasuredTest, Room, RoomTests, preload

PROPOSERS_TESTS = ("proposer", "space", "space_file", "experiment_file", "known_keys")

ROOMS = (
    Room("scoring", ("harness/scoring",), ("tests/scoring",)),
    Room("splits", ("harness/splits",), ("tests/splits",)),
    Room("training", ("harness/training",), ("tests/training",), has_long=True),
    Room(
        "proposer",
        ("harness/search/proposer.py", "harness/search/space.py"),
        tuple(f"tests/search/test_{name}.py" for name in PROPOSERS_TESTS),
    ),
)

#: Seconds of tests, as measured, that one mutant is given.
BUDGET_SECONDS = 60.0
#: The share of mutants that shall die.
EXPECTED_SHARE = 0.9


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


def measure_tests(bench: Bench, room: Room, into: Path) -> RoomTests:
    """Return the tests of a room that pass on the unchanged copy, measured now or by an earlier run."""
    digest = _digest(bench.root, list_files(bench.root, ("harness", *room.tests)))
    path = into / f"tests-{room.name}-{digest}.json"
    if not path.exists():
        path.write_text(json.dumps(bench.measure(room)), "utf-8")
    before, *tests = [MeasuredTest(**each) for each in json.loads(path.read_text("utf-8"))]
    passed = [test for test in tests if test.passed]
    seconds = sum(test.seconds for test in passed)
    print(f"{room.name}: {len(passed)} tests, {seconds:.0f} s of the processor", flush=True)
    for test in tests:
        if not test.passed:
            print(f"  not used, for it fails or is skipped on the unchanged copy: {test.name}", flush=True)
    return RoomTests(passed, before.lines)


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


def judge(bench: Bench, room: Room, mutant: Mutant, changed: str, tests: RoomTests, budget: float) -> Result:
    """Run a mutant's tests."""
    ended, num_tests = bench.test(room, tests, mutant, changed, budget)
    outcome = "timed out" if ended.code is None else "survived" if ended.code in (0, 5) else "killed"
    old, new = _changed_lines((bench.root / mutant.path).read_text("utf-8"), changed)
    return Result(
        **asdict(mutant),
        digest=_digest(bench.root, [mutant.path]),
        room=room.name,
        outcome=outcome,
        by=ended.report or ("" if ended.code in (0, None) else f"exit code {ended.code}"),
        old=old,
        new=new,
        num_tests=num_tests,
        seconds=round(ended.seconds, 2),
    )


def shuffle(root: Path, rooms: Sequence[Room], seed: int) -> list[tuple[Room, Mutant]]:
    """Return all the mutants there are in the order in which they are drawn, each with its room."""
    rooms_of = {path: room for room in rooms for path in list_files(root, room.sources)}
    every = [mutant for path in rooms_of for mutant in list_mutants(path, (root / path).read_text("utf-8"))]
    print(f"{len(every)} mutants of {len(rooms_of)} files", flush=True)
    random.Random(seed).shuffle(every)
    return [(rooms_of[mutant.path], mutant) for mutant in every]


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
    parser.add_argument("--into", type=Path, required=True, help="folder of the results; an earlier run goes on")
    parser.add_argument("--mutants", type=int, default=300, help="that are drawn  [default: 300]")
    parser.add_argument("--seed", type=int, default=0, help="of the draw  [default: 0]")
    names = [room.name for room in rooms]
    parser.add_argument("--rooms", nargs="+", choices=names, default=names, help="test the mutants of these alone")
    parser.add_argument("--minutes", type=float, help="begin no mutant after so many  [default: no limit]")
    parser.add_argument("--survivors", action="store_true", help="test those again that survived in an earlier run")
    parser.add_argument(
        "--budget", type=float, default=BUDGET_SECONDS, help="seconds of tests that one mutant is given  [default: 60]"
    )
    options = parser.parse_args(arguments)
    began = time.monotonic()
    options.into.mkdir(parents=True, exist_ok=True)
    preload()
    with tempfile.TemporaryDirectory(prefix="mutants-") as text:
        folder = Path(text)
        bench = Bench(copy_repository(repository, folder), folder)
        every = shuffle(bench.root, rooms, options.seed)
        rooms = [room for room in rooms if room.name in options.rooms]
        tests = {room.name: measure_tests(bench, room, options.into) for room in rooms}
        results = _run(bench, every, tests, options, began)
    print()
    print(summarise(results, rooms))
    died = sum(result.outcome != "survived" for result in results)
    return 0 if died >= EXPECTED_SHARE * len(results) else 1


def _run(
    bench: Bench,
    every: Sequence[tuple[Room, Mutant]],
    tests: Mapping[str, RoomTests],
    options: argparse.Namespace,
    began: float,
) -> list[Result]:
    path = options.into / "results.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    known = {result.key: result for result in (Result(**json.loads(line)) for line in lines)}
    results: list[Result] = []
    number = 0
    for room, mutant in every:
        if number == options.mutants:
            break
        result = known.get((mutant.path, mutant.operator, mutant.occurrence, _digest(bench.root, [mutant.path])))
        is_due = result is None or (options.survivors and result.outcome == "survived")
        changed = mutate((bench.root / mutant.path).read_text("utf-8"), mutant) if is_due else None
        if is_due and changed is None:
            # It means the same, or does not compile: another one takes its place, whichever rooms are chosen.
            continue
        has_time = options.minutes is None or time.monotonic() - began < 60 * options.minutes
        if changed is not None and has_time and room.name in tests:
            result = judge(bench, room, mutant, changed, tests[room.name], options.budget)
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")
        number += 1
        if result is not None and room.name in tests:
            results.append(result)
            print(_describe(number, result), flush=True)
    return results


def _describe(number: int, result: Result) -> str:
    where = f"{number:4} {result.outcome:9} {result.seconds:6.1f} s  {result.path}:{result.line}"
    if result.outcome != "survived":
        return f"{where}  {result.by}"
    return f"{where}  of {result.num_tests} tests\n     - {result.old}\n     + {result.new}"


if __name__ == "__main__":
    sys.exit(main())
