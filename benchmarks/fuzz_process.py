"""The process in which one parser is fuzzed: `python -m benchmarks.fuzz_process PARSER FOLDER INPUTS MEGABYTES SEED`.

The folder has the parser's files and its seeds; findings come into it, each as the input and the traceback.
Atheris ends the process by itself, so that nothing is printed here that the caller could not do without.
"""

from __future__ import annotations

import hashlib
import json
import random
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SEEDS_NAME, FINDINGS_NAME, WHOLE_NAME = "seeds", "findings", "whole"
#: Seconds that one input may take.
HANG_SECONDS = 10
#: Values that a JSON file may have where another is expected.
ODD_VALUES: Sequence[Any] = (
    *(None, True, False, 0, -1, 1, 1.5, 10**400, -(10**19), 1e-320, float("inf"), float("nan")),
    *("", "x", "\0", "\n", "\ud800", "../../x", "/etc/passwd", "~nobody-such/x", "x" * 300, "1" * 400, "1e999 GB"),
    *([], {}, [[]], [None], [0, 1], [1, 0], {"": 0}, [{}], {"name": "x"}, ["x"], [1.5, "x", None]),
)


def run_one(check: Callable[[Path], None], path: Path, data: bytes) -> str | None:
    """Let a parser read ``data``; return None, or the traceback of what should never come out of it."""
    from harness.errors import HarnessError

    path.write_bytes(data)
    try:
        check(path)
    except HarnessError as error:
        text = str(error)
        if not text or "\n" in text:
            return f"not one sentence: {text!r}\n{traceback.format_exc()}"
    except Exception:
        return traceback.format_exc()
    return None


def place_of(report: str) -> str:
    """Return where a traceback ends inside this package, and the error's type: equal ones are one finding."""
    lines = report.strip().splitlines()
    places = [line.strip() for line in lines if line.strip().startswith("File ") and "harness/" in line]
    return f"{places[-1] if places else ''} {lines[-1].split(':')[0]}"


def change_json(data: bytes, generator: random.Random) -> bytes | None:
    """Change one value inside a JSON text; None where there is none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    places: list[tuple[Any, Any]] = []
    unseen = [value]
    while unseen:
        node = unseen.pop()
        inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, child in inside:
            places.append((node, key))
            unseen.append(child)
    if not places or generator.random() < 0.02:
        return json.dumps(generator.choice(ODD_VALUES)).encode()
    node, key = generator.choice(places)
    what = generator.random()
    if what < 0.15:
        del node[key]
    elif what < 0.25 and isinstance(node, dict):
        node[generator.choice(("", "x", "seed", "\0", *node))] = generator.choice(ODD_VALUES)
    elif what < 0.4:
        other, place = generator.choice(places)
        node[key] = json.loads(json.dumps(other.get(place) if isinstance(other, dict) else other[0]))
    else:
        node[key] = generator.choice(ODD_VALUES)
    return json.dumps(value).encode()


def main(arguments: Sequence[str]) -> None:
    """Fuzz one parser until it has read so many inputs, or one takes too long or too much memory."""
    import atheris

    name, folder = arguments[0], Path(arguments[1])
    num_inputs, megabytes, random_seed = (int(argument) for argument in arguments[2:])
    with atheris.instrument_imports(include=["harness"], enable_loader_override=False):
        from benchmarks.fuzz_features import PARSERS

        parser = PARSERS[name]
        check = parser.load()
        path = folder / parser.file_name
        for seed in sorted((folder / SEEDS_NAME).iterdir()):
            run_one(check, path, seed.read_bytes())
    findings_dir = folder / FINDINGS_NAME
    findings_dir.mkdir(exist_ok=True)
    _limit_memory(megabytes)
    known: set[str] = set()
    num_read = 0

    def test_one_input(data: bytes) -> None:
        nonlocal num_read
        num_read += 1
        if num_read >= num_inputs:
            # The clock that finds hangs would else end the process on its way out.
            signal.setitimer(signal.ITIMER_REAL, 0)
            (folder / WHOLE_NAME).touch()
        report = run_one(check, path, data)
        if report is not None and (place := place_of(report)) not in known:
            known.add(place)
            stem = hashlib.sha256(data).hexdigest()[:12]
            (findings_dir / f"{stem}.input").write_bytes(data)
            (findings_dir / f"{stem}.txt").write_text(report, "utf-8", "backslashreplace")

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        generator = random.Random(seed)
        changed = change_json(data, generator) if generator.random() < 0.8 else None
        if changed is None or len(changed) > max_size:
            return bytes(atheris.Mutate(data, max_size))
        return changed

    sizes = [seed.stat().st_size for seed in (folder / SEEDS_NAME).iterdir()]
    options = [f"-atheris_runs={num_inputs}", f"-timeout={HANG_SECONDS}", "-rss_limit_mb=0", "-print_final_stats=1"]
    options.append(f"-seed={random_seed}")
    options += [f"-max_len={max(256, 2 * max(sizes))}", f"-artifact_prefix={findings_dir}/", str(folder / SEEDS_NAME)]
    extra = {"custom_mutator": mutate} if parser.is_json else {}
    atheris.Setup([sys.argv[0], *options], test_one_input, **extra)
    atheris.Fuzz()


def _limit_memory(megabytes: int) -> None:
    """Let this process take so much more than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(sys.argv[1:])
