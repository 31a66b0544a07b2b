"""Each trial ends in exactly one way, with its cause and its last words, whatever its job does."""

import pytest

from harness.store.records import TrialRow, TrialStatus
from tests.search.promises import search_cases

LEAST = "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"


def not_finite(score: str) -> str:
    return f"the job's score is {score}; expected a finite number"


#: Case -> what the job does, how the trial ends, its exit code or minus its signal, and the message.
CASES: dict[str, tuple[str, TrialStatus, int, str | None]] = {
    "a score": ("print('#Auptimizer:0.5')", TrialStatus.FINISHED, 0, None),
    "nothing": (
        "",
        TrialStatus.CRASHED,
        0,
        "the job exited with code 0 before writing a result; it printed nothing",
    ),
    "no score": (
        "print('bye')",
        TrialStatus.CRASHED,
        0,
        "the job exited with code 0 before writing a result; its last line was: bye",
    ),
    "NaN": ("print('#Auptimizer:nan')", TrialStatus.DIVERGED, 0, not_finite("nan")),
    "inf": ("print('#Auptimizer:inf')", TrialStatus.DIVERGED, 0, not_finite("inf")),
    "-inf": ("print('#Auptimizer:-inf')", TrialStatus.DIVERGED, 0, not_finite("-inf")),
    "1e999": ("print('#Auptimizer:1e999')", TrialStatus.DIVERGED, 0, not_finite("inf")),
    "no number": (
        "print('#Auptimizer:high')",
        TrialStatus.CRASHED,
        0,
        "the job's last score is 'high'; expected a number after #Auptimizer:",
    ),
    "a result, then exit 1": (
        "print('#Auptimizer:0.5')\nsys.exit('error: too late')",
        TrialStatus.CRASHED,
        1,
        "the job exited with code 1 after writing the result 0.5; its last line was: error: too late",
    ),
    # What our own trials mean by it, others do not.
    "exit 3": (
        "print('no such option')\nsys.exit(3)",
        TrialStatus.CRASHED,
        3,
        "the job exited with code 3 before writing a result; its last line was: no such option",
    ),
    "a result, then SIGKILL": (
        "print('#Auptimizer:0.5')\nprint('and on')\nos.kill(os.getpid(), signal.SIGKILL)",
        TrialStatus.KILLED,
        -9,
        "the job was killed by SIGKILL; its last line was: and on",
    ),
    "SIGTERM": (
        "os.kill(os.getpid(), signal.SIGTERM)",
        TrialStatus.KILLED,
        -15,
        "the job was killed by SIGTERM; it printed nothing",
    ),
    "a real-time signal": (
        "os.kill(os.getpid(), 40)",
        TrialStatus.KILLED,
        -40,
        "the job was killed by signal 40; it printed nothing",
    ),
    "SIGSEGV": (
        "print('into the wild', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)",
        TrialStatus.CRASHED,
        -11,
        "the job died of SIGSEGV; its last line was: into the wild",
    ),
    "MemoryError": (
        LEAST + "bytearray(2**31)",
        TrialStatus.OUT_OF_MEMORY,
        1,
        "the job exited with code 1 before writing a result; its last line was: MemoryError",
    ),
    "MemoryError, and more lines after it": (
        LEAST + "import atexit\natexit.register(print, 'closing the log')\nbytearray(2**31)",
        TrialStatus.OUT_OF_MEMORY,
        1,
        "the job exited with code 1 before writing a result; its last line was: closing the log",
    ),
    "MemoryError in colours": (
        "print('\\x1b[35mTraceback (most recent call last):\\x1b[0m\\n  File\\n\\x1b[1;35mMemoryError\\x1b[0m')\n"
        "sys.exit(1)",
        TrialStatus.OUT_OF_MEMORY,
        1,
        "the job exited with code 1 before writing a result; its last line was: MemoryError",
    ),
    "a MemoryError that was survived": (
        LEAST + "import traceback\ntry: bytearray(2**31)\nexcept MemoryError: traceback.print_exc()\nraise ValueError",
        TrialStatus.CRASHED,
        1,
        "the job exited with code 1 before writing a result; its last line was: ValueError",
    ),
    "C++ without memory": (
        LEAST + "import ctypes\nnew = ctypes.CDLL('libstdc++.so.6')._Znwm\n"
        "new.argtypes = [ctypes.c_size_t]\nnew(2**31)",
        TrialStatus.OUT_OF_MEMORY,
        -6,
        "the job died of SIGABRT; its last line was: what():  std::bad_alloc",
    ),
    "100 MB that is no UTF-8": (
        "print('#Auptimizer:0.25', flush=True)\nfor _ in range(100): os.write(1, b'\\xff\\xfe\\n\\x80x' * 200_000)",
        TrialStatus.FINISHED,
        0,
        None,
    ),
    "one line of 10 MB": (
        "os.write(1, b'long ' * 2_000_000)\nsys.exit(1)",
        TrialStatus.CRASHED,
        1,
        "the job exited with code 1 before writing a result; its last line was: " + "long " * 60,
    ),
    "what a terminal obeys": (
        "print('\\x1b]0;owned\\x07\\x1b[2Jerror:\\x00 \\x1b[31mred\\x1b[0m\\u202e')\nsys.exit(1)",
        TrialStatus.CRASHED,
        1,
        r"the job exited with code 1 before writing a result; its last line was: error:\x00 red\u202e",
    ),
    "no output left": (
        "os.close(1)\nos.close(2)\nos._exit(7)",
        TrialStatus.CRASHED,
        7,
        "the job exited with code 7 before writing a result; it printed nothing",
    ),
}


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[TrialRow]]:
    return search_cases(tmp_path_factory.mktemp("it's; a \"folder\""), {case: CASES[case][0] for case in CASES})


@pytest.mark.parametrize("case", CASES)
def test_a_trial_ends_in_exactly_one_way(attempts: dict[str, list[TrialRow]], case: str) -> None:
    _, status, code, message = CASES[case]
    (trial,) = attempts[case]
    assert trial.last_output is not None
    assert (trial.status, trial.message) == (status, message), trial.last_output[-500:]
    assert (trial.exit_code, trial.signal) == ((code, None) if code >= 0 else (None, -code))
    assert (trial.score is not None) == (status is TrialStatus.FINISHED)


def test_the_last_lines_of_a_long_output_are_kept_and_no_more(attempts: dict[str, list[TrialRow]]) -> None:
    (trial,) = attempts["100 MB that is no UTF-8"]
    assert trial.score == 0.25
    assert trial.last_output is not None
    assert len(trial.last_output) <= 4000
    assert trial.last_output.endswith("\ufffd\ufffd\n\ufffdx")


def test_a_traceback_is_kept_whole(attempts: dict[str, list[TrialRow]]) -> None:
    (trial,) = attempts["MemoryError"]
    assert trial.last_output is not None
    assert trial.last_output.startswith("Traceback (most recent call last):")
    assert trial.last_output.endswith("MemoryError\n")
