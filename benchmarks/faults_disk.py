"""A disk that fills while a search runs: a limit on the size of files, and a small file system of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.faults_count import (
    Fault,
    Tally,
    compare_finished,
    count_faults,
    expect_end,
    read_finished,
    watch_end,
)
from benchmarks.faults_search import Controller, FaultySearch, Prepared, invent_trivial

NUM_TRIALS = 8
#: Largest files that a controller and its trials may write, in bytes: from less than an empty results.db
#: takes to more than this search does.
SIZE_LIMITS = tuple(2**exponent for exponent in range(12, 23))
#: Bytes that are left on the small file system when a search begins, or once it has begun.
ROOMS = (0, 2**14, 2**16, 2**17, 2**18, 2**19)
#: Bytes of the small file system: the prepared features of the tiny corpus take most of it.
TMPFS_BYTES = 48 * 2**20
#: Starts without room, each of which must fail with a sentence, before room is made.
NUM_STARTS = 2


def fill_the_disk(
    folder: Path,
    num_parallel: int,
    prepared: Prepared,
    size_limits: tuple[int, ...] = SIZE_LIMITS,
    rooms: tuple[int, ...] = ROOMS,
) -> Tally:
    """Run searches that find no room, make room, and go on with them."""
    tally = Tally()
    for number, limit in enumerate(size_limits):
        own = prepared if number % 2 else None
        search = invent_trivial(folder / f"limit {limit}", own, n_samples=NUM_TRIALS, n_parallel=num_parallel)
        lowers = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))"
        try:
            for _ in range(NUM_STARTS):
                _run_without_room(search, search.start(before=lowers), tally)
            _go_on_with_room(search, tally)
        finally:
            search.end()
    for number, room in enumerate(rooms):
        for begins_first in (False, True):
            try:
                with _small_file_system(folder / f"room {room} {begins_first}") as mounted:
                    own = prepared if number % 2 else None
                    _fill_and_make_room(mounted, room, begins_first, num_parallel, own, tally)
            except PermissionError as error:
                print(f"no small file system: {error}")
                return tally
    return tally


def _fill_and_make_room(
    mounted: Path, room: int, begins_first: bool, num_parallel: int, prepared: Prepared | None, tally: Tally
) -> None:
    filler = mounted / "filler"
    search = invent_trivial(mounted / "search", prepared, n_samples=NUM_TRIALS, n_parallel=num_parallel)
    search.log_dir = mounted.with_name(f"{mounted.name} logs")
    search.log_dir.mkdir()
    try:
        if not begins_first:
            _leave_room(filler, room)
        controller = search.start()
        if begins_first:
            while controller.is_running and controller.num_lines < 4:
                time.sleep(0.005)
            _leave_room(filler, room)
        _run_without_room(search, controller, tally)
        _run_without_room(search, search.start(), tally)
        filler.unlink()
        _go_on_with_room(search, tally)
    finally:
        search.end()


def _run_without_room(search: FaultySearch, controller: Controller, tally: Tally) -> None:
    """Wait for a controller that may find no room; it must say so in one sentence."""
    controller.wait()
    tally.done["starts without room"] += 1
    errors = controller.errors
    if controller.exit_code == 0 and not errors:
        return
    tally.done["of which failed"] += 1
    is_sentence = errors.startswith("error: ") and errors.count("\n") == 1 and errors.endswith("\n")
    if controller.exit_code not in (1, 2) or not is_sentence:
        said = f"{errors[:150]} ... {errors[-300:]}"
        tally.add(Fault.INCONSISTENT, f"without room: exit code {controller.exit_code}, and said: {said}")
    watch_end(search, tally)


def _go_on_with_room(search: FaultySearch, tally: Tally) -> None:
    finished = read_finished(search)
    controller = search.finish()
    expect_end(controller, tally)
    compare_finished(finished, read_finished(search), tally)
    watch_end(search, tally)
    count_faults(search, tally)


def _leave_room(filler: Path, room: int) -> None:
    """Write a file that leaves so many bytes of its file system, whoever else writes meanwhile."""
    with filler.open("wb", buffering=0) as stream:
        with suppress(OSError):  # the expected end: no space left
            while stream.write(bytes(2**12)):
                pass
        stream.truncate(max(0, stream.tell() - room))


@contextmanager
def _small_file_system(path: Path) -> Iterator[Path]:
    """Mount a file system in memory, and unmount it.

    Raises:
        PermissionError: this user may mount none
    """
    path.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = done.stderr.strip()
    except FileNotFoundError as error:
        said = str(error)
    if said:
        raise PermissionError(f"this user may mount none ({said}); the limit on the size of files was tried alone")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)
