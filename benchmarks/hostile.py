"""No traceback, no hang, no lie in an exit code, no process left: `python -m benchmarks.hostile`.

Every command is run over and over, each time in a folder of its own that is whole or damaged at random, in a random
environment, with standard streams that are full, closed or left by their reader, and now and then with a signal at a
random instant. Run *i* is a function of the seed and of *i* alone, so that each finding can be repeated.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Starts a program as its installed script does, and leaves a file where it has begun to answer signals.
PROGRAM = (
    "import os, sys; from harness.cli import leave_on_interrupt, run_{0}; sys.argv[0] = '{0}'; leave_on_interrupt(); "
    "os.close(os.open(os.environ['HARNESS_HOSTILE_BEGUN'], os.O_CREAT)); run_{0}()"
)
#: The environment variable with the path of that file.
BEGUN_NAME = "HARNESS_HOSTILE_BEGUN"

#: Seconds that a command may take on a machine with nothing else to do, and that its processes may outlive it.
HANG_SECONDS, LEAK_SECONDS = 30.0, 5.0
#: An environment variable that every process of one run inherits.
MARK_NAME = "HARNESS_HOSTILE"
EXIT_CODES = (0, 1, 2, 130)
#: What Python prints of an error that nobody caught, or could not be given to anybody.
TRACES = ("Traceback (most recent call last)", "Exception ignored", "Fatal Python error")
#: Findings that are printed; all are counted.
NUM_NAMED = 20

#: Each command, with words that reach much of its code in seconds; `{model}` is no whole model.
INVOCATIONS: Mapping[str, Sequence[str]] = {
    "aup": ("experiment.json", "experiment.json --fresh", "missing.json", "corpus"),
    "init": ("new", "results", "."),
    "note": ("0", "0 again", "99 x", "0 --withdraw 1", "0 --results missing"),
    "schema": ("", "--search-space"),
    "synth": ("made --scale 0.01 --mocap-rate 2", "corpus", "made --scale 0"),
    "prepare": ("corpus --into prepared", "results", "missing"),
    "systems": ("", "fusion", "fusoin"),
    "watch": ("results --once", "results --json --once", "results", "corpus --once", "results --experiment 99 --once"),
    "report": ("results", "results --experiment 99", "missing", "results --trials 2"),
    "retrain-best": ("results", "results --test", "results --experiment 1 --seeds 1", "missing --test"),
    "replicate": ("results --seeds 1", "missing"),
    "leaks": ("results --seeds 1", "results --test"),
    "tables": ("--corpus corpus --systems majority --seeds 1 --max-epochs 1", "--systems nothing"),
    "compare": ("results:1 results:1", "1 2", "results --json"),
    "export": ("results --csv -", "results --csv out.csv", "results --parquet -", "results --all --csv -"),
    "check": ("corpus", "--results results", "--results results --repair", "--leaks corpus", ""),
    "predict": ("{model} corpus/a.wav", "{model} missing.wav --json", "{model} --dialogue experiment.json", "missing"),
    "evaluate": ("{model} corpus", "missing corpus"),
    "completion": ("bash", "zsh", "tcsh"),
    "predit": ("",),
}

ENCODINGS = ("utf-8", "ascii", "latin-1", "utf-16", "cp437", None)
OUTPUTS = ("pipe", "full", "closed", "left", "file")
INPUTS = ("null", "closed", "pipe")


@dataclass(frozen=True)
class Outcome:
    """The end of one run.

    Attributes:
        code: exit code; None where it had to be killed
        num_left: processes that outlived it
        had_begun: whether the program answered signals before it ended; until then Python itself was starting
    """

    code: int | None
    printed: str
    num_left: int
    was_signalled: bool
    had_begun: bool = True


@dataclass
class Tally:
    """What was run, and what should never happen."""

    num_runs: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)

    @property
    def counts(self) -> str:
        """The faults by kind, in words."""
        found = Counter(kind for kind, _ in self.faults)
        return ", ".join(f"{found[kind]} {kind}" for kind in ("tracebacks", "hangs", "wrong exit codes", "leaks"))


def judge(outcome: Outcome) -> list[str]:
    """Return the kinds of faults of a run.

    Example:
        >>> judge(Outcome(0, "all is well", 0, False)), judge(Outcome(3, "Exception ignored in: x", 1, False))
        ([], ['tracebacks', 'wrong exit codes', 'leaks'])
    """
    if outcome.was_signalled and not outcome.had_begun and outcome.code is not None:
        # Python itself, or the shell before it, was ended as the system ends them: no line of the program had run.
        return ["leaks"] if outcome.num_left else []
    kinds = ["tracebacks"] if any(trace in outcome.printed for trace in TRACES) else []
    if outcome.code is None:
        kinds.append("hangs")
    elif outcome.code not in EXIT_CODES or (outcome.code == 130 and not outcome.was_signalled):
        kinds.append("wrong exit codes")
    return [*kinds, *(["leaks"] if outcome.num_left else [])]


def write_whole(folder: Path) -> None:
    """Write a small synthetic corpus, an experiment of a script, and its finished search."""
    from harness.corpus.synthetic import SyntheticSettings, write_synthetic

    write_synthetic(folder / "corpus", SyntheticSettings(scale=0.01, mocap_rate=2))
    (folder / "trial.py").write_text(
        "import json, sys\nprint('#Auptimizer:%r' % json.load(open(sys.argv[1]))['größe'])\n", "utf-8"
    )
    (folder / "experiment.json").write_text(
        '{"name": "søk ☃", "script": "trial.py", "resource": "cpu", "target": "max", "proposer": "random", '
        '"n_samples": 3, "n_parallel": 2, "random_seed": 1, '
        '"parameter_config": [{"name": "größe", "range": [0, 1], "type": "float"}]}',
        "utf-8",
    )
    environment = {**os.environ, BEGUN_NAME: str(folder.with_name("whole has begun"))}
    command = [*_program("aup"), "experiment.json"]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    model = folder / "results" / "models" / "broken"
    model.mkdir(parents=True)
    (model / "model.json").write_text('{"format_version": 1}')


def copy_whole(whole: Path, folder: Path) -> None:
    """Copy it for one run; the corpus's files are linked, and so only ever replaced."""
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("corpus"))
    shutil.copytree(whole / "corpus", folder / "corpus", copy_function=os.link)


def _empty(path: Path, generator: random.Random) -> None:
    path.write_bytes(b"")


def _scramble(path: Path, generator: random.Random) -> None:
    path.write_bytes(generator.randbytes(generator.randrange(1, 4096)))


def _make_folder(path: Path, generator: random.Random) -> None:
    path.mkdir()


def _make_pipe(path: Path, generator: random.Random) -> None:
    os.mkfifo(path)


def _link_device(path: Path, generator: random.Random) -> None:
    path.symlink_to("/dev/zero")


def _link_nowhere(path: Path, generator: random.Random) -> None:
    path.symlink_to("nowhere")


def _leave_out(path: Path, generator: random.Random) -> None:
    pass


#: What a file is replaced by.
REPLACEMENTS: Sequence[Callable[[Path, random.Random], None]] = (
    *(_empty, _scramble, _make_folder, _make_pipe, _link_device, _link_nowhere, _leave_out),
)


def damage(folder: Path, generator: random.Random) -> str:
    """Damage up to three files of a folder, and say how; an empty text where it stays whole."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    # The few files that every command reads are as likely as the many of the corpus together.
    first = [path for path in files if path.parent in (folder, folder / "results")]
    said = []
    for _ in range(generator.choice((0, 0, 1, 1, 3))):
        path = generator.choice(generator.choice((first, files)))
        if not path.is_file():
            continue
        content = path.read_bytes()
        path.unlink()
        how = generator.randrange(len(REPLACEMENTS) + 2)
        if how < len(REPLACEMENTS):
            REPLACEMENTS[how](path, generator)
            name = REPLACEMENTS[how].__name__.strip("_")
        elif how == len(REPLACEMENTS):
            path.write_bytes(content[: generator.randrange(len(content) + 1)])
            name = "cut"
        else:
            changed = bytearray(content)
            for place in (generator.randrange(len(content)) for _ in range(4) if content):
                changed[place] ^= 1 << generator.randrange(8)
            path.write_bytes(changed)
            name = "flip bits"
        said.append(f"{name} {path.relative_to(folder)}")
    return "; ".join(said)


def _program(name: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM.format(name)]


def run_once(
    whole: Path, folder: Path, generator: random.Random, hang_seconds: float = HANG_SECONDS
) -> tuple[str, Outcome]:
    """Run one command, and return what was done in words and how it ended."""
    copy_whole(whole, folder)
    command = generator.choice(list(INVOCATIONS))
    words = generator.choice(INVOCATIONS[command]).format(model="results/models/broken").split()
    line = [*_program("aup"), *words] if command == "aup" else [*_program("harness"), command, *words]
    damaged = damage(folder, generator)
    mark = uuid.UUID(int=generator.getrandbits(128)).hex
    environment = {**os.environ, MARK_NAME: mark, "COLUMNS": generator.choice(("20", "80", "300"))}
    environment[BEGUN_NAME] = str(folder.with_name(f"{folder.name} has begun"))
    encoding, no_home = generator.choice(ENCODINGS), generator.random() < 0.2
    if encoding is not None:
        environment["PYTHONIOENCODING"] = encoding
    else:
        environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    if no_home:
        environment.pop("HOME", None)
    streams = generator.choice(INPUTS), generator.choice(OUTPUTS)
    number = generator.choice((None, None, signal.SIGINT, signal.SIGTERM))
    instant = generator.expovariate(2.0)
    try:
        outcome = _run(line, folder, environment, streams, number, instant, hang_seconds)
    except KeyboardInterrupt:
        _count_left(mark)
        raise
    when = "" if number is None else f", {number.name} after {instant:.3f} s"
    said = (
        f"{command} {' '.join(words)} [{damaged or 'whole'}], encoding {encoding}, input {streams[0]}, output "
        f"{streams[1]}{', no HOME' if no_home else ''}{when}"
    )
    return said, outcome


def _run(
    line: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    streams: tuple[str, str],
    number: signal.Signals | None,
    instant: float,
    hang_seconds: float = HANG_SECONDS,
) -> Outcome:
    # A shell closes a stream as users do; what it is replaced by keeps its pid.
    closing = (" <&-" if streams[0] == "closed" else "") + (" >&-" if streams[1] == "closed" else "")
    error_path, output_path = folder / "standard error", folder / "standard output"
    with error_path.open("wb") as errors, output_path.open("wb") as output, open("/dev/full", "wb") as full:
        to = {"full": full, "file": output, "closed": subprocess.DEVNULL}.get(streams[1], subprocess.PIPE)
        process = subprocess.Popen(
            ["/bin/sh", "-c", f'exec "$@"{closing}', "sh", *line],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE if streams[0] == "pipe" else subprocess.DEVNULL,
            stdout=to,
            stderr=errors,
            start_new_session=True,
            preexec_fn=_hear_interrupts,
        )
        if streams[1] == "left" and process.stdout is not None:
            process.stdout.close()
            process.stdout = None
        deadline = time.monotonic() + hang_seconds
        was_signalled = False
        if number is not None:
            try:
                process.wait(timeout=instant)
            except subprocess.TimeoutExpired:
                was_signalled = True
                process.send_signal(number)
        try:
            found, _ = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
            code: int | None = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            found, _ = process.communicate()
            code = None
    printed = (found or b"").decode("utf-8", "replace") + output_path.read_text("utf-8", "replace")
    printed += error_path.read_text("utf-8", "replace")
    had_begun = os.path.exists(environment[BEGUN_NAME])
    return Outcome(code, printed, _count_left(environment[MARK_NAME]), was_signalled, had_begun)


def _hear_interrupts() -> None:
    """Undo that whoever started this in the background ignores Ctrl-C, as the command would then too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _count_left(mark: str) -> int:
    """Wait for the processes of a run to end, and return how many have not; those are killed."""
    entry = f"{MARK_NAME}={mark}".encode()
    deadline = time.monotonic() + LEAK_SECONDS
    while True:
        left = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if entry in (folder / "environ").read_bytes().split(b"\0"):
                    left.append(int(folder.name))
            except OSError:
                continue
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return len(left)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Run commands in damaged folders and odd environments, and count tracebacks, hangs over 30 s, "
        "wrong exit codes and processes that are left. Exits with 1 if anything was counted. Ctrl-C ends the run in "
        "progress and prints what was counted until then."
    )
    parser.add_argument("--runs", type=int, default=100, help="commands that are run  [default: 100]")
    parser.add_argument("--first", type=int, default=0, help="number of the first run, to repeat one  [default: 0]")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is random  [default: 0]")
    parser.add_argument(
        "--hang-seconds",
        type=float,
        default=HANG_SECONDS,
        help="that a command may take; more on a busy machine  [default: 30]",
    )
    parser.add_argument("--minutes", type=float, help="begin no run after so many  [default: no limit]")
    options = parser.parse_args(arguments)
    if not Path("/proc/self/environ").is_file():
        print("error: there is no /proc here: leaks could not be seen; run this on Linux", file=sys.stderr)
        return 2
    began, tally, is_interrupted = time.monotonic(), Tally(), False
    with tempfile.TemporaryDirectory(prefix="hostile; it's a \"folder\" ") as text:
        whole = Path(text) / "whole"
        whole.mkdir()
        try:
            write_whole(whole)
            for number in range(options.first, options.first + options.runs):
                if options.minutes is not None and time.monotonic() - began > 60 * options.minutes:
                    break
                folder = Path(text) / str(number)
                said, outcome = run_once(whole, folder, random.Random(f"{options.seed} {number}"), options.hang_seconds)
                tally.num_runs += 1
                for kind in judge(outcome):
                    tally.faults.append((kind, said))
                    if len(tally.faults) <= NUM_NAMED:
                        print(f"  run {number}, {kind}, exit code {outcome.code}: {said}")
                        print(outcome.printed[-2000:], flush=True)
                shutil.rmtree(folder, ignore_errors=True)
        except KeyboardInterrupt:
            is_interrupted = True
    print(f"{tally.num_runs} runs in {time.monotonic() - began:.0f} s: {tally.counts}")
    if is_interrupted:
        return 130
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
