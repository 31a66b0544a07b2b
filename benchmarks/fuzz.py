"""Feeds every parser what no writer wrote: `python -m benchmarks.fuzz --inputs 1000000 [--parsers NAME ...]`.

Atheris changes the synthetic writers' own files, led by the branches that each change reaches. A finding is an
exception that is none of the package's own or no single sentence, a value that breaks the parser's promises,
ten seconds for one input, or memory beyond the limit. Each is kept as a file; exit 1 if there is any.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fuzz_features import PARSERS
from benchmarks.fuzz_parsers import make_seeds
from benchmarks.fuzz_process import FINDINGS_NAME, SEEDS_NAME, WHOLE_NAME, place_of, run_one
from benchmarks.interleaved import print_machine

REPOSITORY = Path(__file__).parents[1]
#: Memory that a parser may take beyond what it has when it begins.
MEGABYTES = 1024
#: Inputs of one process: atheris keeps what it has run, some 4 kB of a recording, and that is no parser's memory.
INPUTS_OF_A_PROCESS = 100_000
#: What atheris does not have on every machine: it is for Linux alone.
MISSING = "error: atheris is not here; expected it for fuzzing: pip install atheris (Linux, Python 3.11 to 3.13)"


@dataclass(frozen=True)
class Outcome:
    """The findings of fuzzing one parser.

    Attributes:
        num_edges: branches of the package that the inputs reached
        seconds: with the start of its process
        findings: the files of the inputs
        is_whole: whether all inputs were read; False after a hang
    """

    name: str
    num_inputs: int
    num_edges: int
    seconds: float
    findings: tuple[Path, ...]
    is_whole: bool

    def __str__(self) -> str:
        rate = self.num_inputs / self.seconds
        figures = f"{self.num_inputs:>9}{self.num_edges:>7}{self.seconds:>9.1f}{rate:>10.0f}{len(self.findings):>10}"
        return f"{self.name:18}{figures}"


def fuzz_parser(name: str, num_inputs: int, folder: Path) -> Outcome:
    """Fuzz one parser in processes of its own, one after the other, each with other random numbers.

    Args:
        folder: an empty one, for its files
    """
    outcomes: list[Outcome] = []
    for number, first in enumerate(range(0, num_inputs, INPUTS_OF_A_PROCESS)):
        size = min(INPUTS_OF_A_PROCESS, num_inputs - first)
        outcomes.append(_fuzz_once(name, size, folder / str(number), seed=number + 1))
    # One place in the package is one finding, whichever process comes upon it.
    found = {_place(path): path for outcome in reversed(outcomes) for path in outcome.findings}
    return Outcome(
        name,
        sum(outcome.num_inputs for outcome in outcomes),
        max(outcome.num_edges for outcome in outcomes),
        sum(outcome.seconds for outcome in outcomes),
        tuple(sorted(found.values())),
        all(outcome.is_whole for outcome in outcomes),
    )


def _place(finding: Path) -> str:
    described = finding.with_suffix(".txt")
    return place_of(described.read_text("utf-8")) if described.is_file() else finding.name


def _fuzz_once(name: str, num_inputs: int, folder: Path, seed: int) -> Outcome:
    began = time.monotonic()
    seeds_dir = folder / SEEDS_NAME
    seeds_dir.mkdir(parents=True)
    for number, written in enumerate(make_seeds(PARSERS[name], folder)):
        (seeds_dir / f"{number:02}").write_bytes(written)
    figures = [str(num_inputs), str(MEGABYTES), str(seed)]
    command = [sys.executable, "-m", "benchmarks.fuzz_process", name, str(folder), *figures]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    process = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, check=False)
    output = process.stderr.decode("utf-8", "replace") + process.stdout.decode("utf-8", "replace")
    counts = [int(count) for count in re.findall(r"^#(\d+)\t", output, re.MULTILINE)]
    findings_dir = folder / FINDINGS_NAME
    found = findings_dir.iterdir() if findings_dir.is_dir() else ()
    findings = tuple(sorted(path for path in found if path.suffix != ".txt"))
    is_whole = process.returncode == 0 or (folder / WHOLE_NAME).exists()
    if not is_whole and not findings:
        raise RuntimeError(f"{name}: its process ended with {process.returncode}: {output[-2000:]}")
    num_done = num_inputs if is_whole else max(counts, default=0)
    num_edges = max((int(count) for count in re.findall(r"\bcov: (\d+)", output)), default=0)
    if not num_edges:
        raise RuntimeError(f"{name}: no branch of the package was seen to be reached: {output[-2000:]}")
    return Outcome(name, num_done, num_edges, time.monotonic() - began, findings, is_whole)


def replay(name: str, input_path: Path) -> int:
    """Let a parser read one input; print what came out of it."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        make_seeds(PARSERS[name], folder)
        report = run_one(PARSERS[name].load(), folder / PARSERS[name].file_name, input_path.read_bytes())
    print(report or f"{name} reads it, or refuses it in one sentence")
    return 0 if report is None else 1


def main(arguments: Sequence[str]) -> int:
    """Fuzz, or read one input again; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1_000_000, help="inputs of each parser (default: %(default)s)")
    named = {"choices": PARSERS, "default": list(PARSERS), "metavar": "NAME"}
    parser.add_argument("--parsers", nargs="+", help="some of: %(choices)s", **named)
    parser.add_argument("--findings", type=Path, default=Path("fuzz_findings"), help="folder for what is found")
    parser.add_argument("--replay", nargs=2, metavar=("NAME", "FILE"), help="let a parser read one file again")
    chosen = parser.parse_args(arguments)
    if chosen.replay:
        return replay(chosen.replay[0], Path(chosen.replay[1]))
    if importlib.util.find_spec("atheris") is None:
        print(MISSING, file=sys.stderr)
        return 2
    print_machine(("atheris", "numpy", "pandas"))
    print(f"{'parser':18}{'inputs':>9}{'edges':>7}{'seconds':>9}{'a second':>10}{'findings':>10}", flush=True)
    outcomes = []
    for name in chosen.parsers:
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as text:
            outcome = fuzz_parser(name, chosen.inputs, Path(text))
            print(outcome, flush=True)
            if not outcome.is_whole:
                print("  its process ended before it had read all inputs")
            for path in outcome.findings:
                kept = chosen.findings / name / path.name
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(path.read_bytes())
                described = path.with_suffix(".txt")
                print(f"  {described.read_text('utf-8').strip().splitlines()[-1] if described.is_file() else 'hang'}")
                print(f"  python -m benchmarks.fuzz --replay {name} {kept}", flush=True)
        outcomes.append(outcome)
    num_findings = sum(len(outcome.findings) for outcome in outcomes)
    total = sum(outcome.num_inputs for outcome in outcomes)
    print(f"{total} inputs of {len(outcomes)} parsers, {num_findings} findings")
    return 1 if num_findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
