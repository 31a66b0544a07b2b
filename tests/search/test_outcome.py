"""Each trial ends in exactly one way, with its cause."""

import signal
from pathlib import Path

import pytest

from harness.search.outcome import JobOutput, judge, read_output
from harness.search.process import EndedBy, JobEnd
from harness.store.records import TrialStatus


def exited(code: int) -> JobEnd:
    return JobEnd(EndedBy.ITSELF, code, None)


def signalled(number: int, **changes: bool) -> JobEnd:
    return JobEnd(EndedBy.ITSELF, None, number, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("end", "output", "recorded", "status", "message"),
    [
        (exited(0), "", 0.5, TrialStatus.FINISHED, None),
        (
            exited(0),
            "bye",
            None,
            TrialStatus.CRASHED,
            "the job exited with code 0 before writing a result; its last line was: bye",
        ),
        (
            exited(1),
            "Traceback\nValueError: no",
            None,
            TrialStatus.CRASHED,
            "the job exited with code 1 before writing a result; its last line was: ValueError: no",
        ),
        (
            exited(1),
            "",
            0.5,
            TrialStatus.CRASHED,
            "the job exited with code 1 after writing the result 0.5; it printed nothing",
        ),
        (
            exited(3),
            "error: the loss became NaN in epoch 2",
            None,
            TrialStatus.DIVERGED,
            (
                "the job exited with code 3 before writing a result; its last line was: error: the loss"
                " became NaN in epoch 2"
            ),
        ),
        (
            exited(1),
            "MemoryError: 3 GiB",
            None,
            TrialStatus.OUT_OF_MEMORY,
            "the job exited with code 1 before writing a result; its last line was: MemoryError: 3 GiB",
        ),
        (
            signalled(signal.SIGKILL),
            "epoch 3",
            0.5,
            TrialStatus.KILLED,
            "the job was killed by SIGKILL; its last line was: epoch 3",
        ),
        (
            signalled(signal.SIGSEGV),
            "",
            None,
            TrialStatus.CRASHED,
            "the job died of SIGSEGV; it printed nothing",
        ),
        (
            signalled(signal.SIGKILL, kernel_was_out_of_memory=True),
            "",
            None,
            TrialStatus.OUT_OF_MEMORY,
            "the system ran out of memory, and killed the job",
        ),
        (
            JobEnd(EndedBy.TIMEOUT, None, 9, "60"),
            "",
            0.5,
            TrialStatus.TIMED_OUT,
            "the job took longer than timeout_seconds, 60 s, and was ended",
        ),
        (
            JobEnd(EndedBy.MEMORY_LIMIT, None, 9, "200 MB of private memory"),
            "",
            None,
            TrialStatus.OUT_OF_MEMORY,
            "the job used 200 MB of private memory, and was ended",
        ),
        (
            JobEnd(EndedBy.STOP, None, 9),
            "",
            None,
            TrialStatus.STOPPED,
            "the search was ended while the job ran",
        ),
        (
            JobEnd(EndedBy.SYSTEM, None, None, "Permission denied (x)"),
            "",
            None,
            TrialStatus.CRASHED,
            "the job could not be started: Permission denied (x)",
        ),
    ],
    ids=lambda value: value.value if isinstance(value, TrialStatus) else "",
)
def test_a_trial_of_ours_ends_as_its_job_and_its_record_say(
    end: JobEnd, output: str, recorded: float | None, status: TrialStatus, message: str | None
) -> None:
    outcome = judge(end, JobOutput(output, None), recorded, is_harness_trial=True)
    assert (outcome.status, outcome.message) == (status, message)
    assert outcome.score == (recorded if status is TrialStatus.FINISHED else None)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_a_foreign_score_that_is_not_finite_is_none(text: str) -> None:
    outcome = judge(exited(0), JobOutput("", text), None, is_harness_trial=False)
    assert outcome.status is TrialStatus.DIVERGED
    assert outcome.message == f"the job's score is {float(text)}; expected a finite number"


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8.00 EiB", TrialStatus.OUT_OF_MEMORY),
        ("torch.OutOfMemoryError: CUDA out of memory.", TrialStatus.OUT_OF_MEMORY),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory.", TrialStatus.OUT_OF_MEMORY),
        (
            "tensorflow.python.framework.errors_impl.ResourceExhaustedError: Graph execution error:\n\n"
            "Detected at node gradients\nOOM when allocating tensor\n\t [[{{node gradients}}]] [Op:__inference_1]",
            TrialStatus.OUT_OF_MEMORY,
        ),
        ("MyMemoryError: no", TrialStatus.CRASHED),
        ("ValueError: MemoryError", TrialStatus.CRASHED),
    ],
    ids=lambda value: value.partition(":")[0],
)
def test_what_libraries_raise_without_memory_is_known_however_long_it_is(raised: str, status: TrialStatus) -> None:
    output = f'Traceback (most recent call last):\n  File "trial.py", line 1, in <module>\n{raised}\n'
    assert judge(exited(1), JobOutput(output, None), None, is_harness_trial=True).status is status


def test_a_score_that_is_no_number_is_a_crash() -> None:
    outcome = judge(exited(0), JobOutput("", "high"), None, is_harness_trial=False)
    assert outcome.status is TrialStatus.CRASHED
    assert outcome.message == "the job's last score is 'high'; expected a number after #Auptimizer:"


def test_of_several_numbers_in_a_score_line_the_first_is_the_score() -> None:
    assert judge(exited(0), JobOutput("", "0.25,0.5"), None, is_harness_trial=False).score == 0.25


@pytest.mark.parametrize("text", ["1_000", "7,8", "0,75", "٣", "", "0x10", "1e"])
def test_what_only_python_or_half_of_europe_reads_as_a_number_is_no_score(text: str) -> None:
    outcome = judge(exited(0), JobOutput("", text), None, is_harness_trial=False)
    assert outcome.status is TrialStatus.CRASHED
    assert outcome.message == f"the job's last score is {text!r}; expected a number after #Auptimizer:"


def test_what_our_trial_prints_is_no_score() -> None:
    assert judge(exited(0), JobOutput("", "0.9"), None, is_harness_trial=True).status is TrialStatus.CRASHED


def test_only_causes_outside_a_trial_are_retried() -> None:
    retried = [
        status
        for end, status in [
            (exited(1), TrialStatus.CRASHED),
            (signalled(signal.SIGKILL), TrialStatus.KILLED),
            (JobEnd(EndedBy.MEMORY_LIMIT, None, 9), TrialStatus.OUT_OF_MEMORY),
            (JobEnd(EndedBy.TIMEOUT, None, 9), TrialStatus.TIMED_OUT),
        ]
        if judge(end, JobOutput("", None), None, is_harness_trial=True).may_be_retried
    ]
    assert retried == [TrialStatus.KILLED, TrialStatus.OUT_OF_MEMORY]


@pytest.mark.parametrize(
    ("written", "score_text"),
    [
        (b"#Auptimizer:0.1\n#Auptimizer:0.5\nbye\n", "0.5"),
        (b"a word before #Auptimizer: 0.5\r\n", "0.5"),
        (b"\xff\xfe not UTF-8\n#Auptimizer:0.5", "0.5"),
        (b"#Auptimizer:0.5\n" + b"later noise\n" * 10_000, "0.5"),
        (b"nothing\n", None),
        (b"", None),
    ],
    ids=["the last counts", "a word before", "not UTF-8", "long before the end", "no score", "empty"],
)
def test_a_score_is_found_wherever_it_stands(tmp_path: Path, written: bytes, score_text: str | None) -> None:
    path = tmp_path / "7.0.out"
    path.write_bytes(written)
    assert read_output(path).score_text == score_text


def test_the_last_line_is_the_last_with_anything_but_a_score_on_it(tmp_path: Path) -> None:
    path = tmp_path / "7.0.out"
    path.write_bytes(b"epoch 1\nMemoryError\n\n#Auptimizer:0.5\n  \n")
    assert read_output(path).last_line == "MemoryError"
