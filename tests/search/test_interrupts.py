"""Signals come through a pipe, become requests, and end the wait."""

import os
import select
import signal
import subprocess
import sys
import threading
import time

import pytest

from harness.search.interrupts import Interrupts, Request, SignalPipe


def is_ready(pipe: SignalPipe) -> bool:
    return bool(select.select([pipe], [], [], 0.0)[0])


def test_a_signal_is_handled_and_makes_the_pipe_ready_until_it_is_read() -> None:
    pipe, handled = SignalPipe(), []
    try:
        pipe.handle(signal.SIGUSR1, lambda number, frame: handled.append(number))
        assert not is_ready(pipe) and pipe.read() == b""
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        assert handled == [signal.SIGUSR1, signal.SIGUSR1]
        assert is_ready(pipe) and pipe.read() == bytes(handled)
        assert not is_ready(pipe)
    finally:
        pipe.close()


def test_a_full_pipe_is_ready_and_loses_no_word_of_it() -> None:
    pipe = SignalPipe()
    try:
        for _ in range(100_000):
            pipe.wake()
        assert is_ready(pipe) and len(pipe.read()) > 4096
        assert not is_ready(pipe)
    finally:
        pipe.close()


def test_what_was_there_before_is_there_again() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    outer = SignalPipe()
    try:
        inner = SignalPipe()
        inner.handle(signal.SIGUSR1, lambda number, frame: None)
        inner.close()
        assert signal.getsignal(signal.SIGUSR1) is before
        outer.handle(signal.SIGUSR1, lambda number, frame: None)
        signal.raise_signal(signal.SIGUSR1)
        assert outer.read() == bytes([signal.SIGUSR1])
    finally:
        outer.close()
    assert signal.getsignal(signal.SIGUSR1) is before


@pytest.mark.usefixtures("hangups_heard")
@pytest.mark.parametrize(
    ("numbers", "request_made"),
    [
        ([], Request.GO_ON),
        ([signal.SIGINT], Request.STOP_PROPOSING),
        ([signal.SIGINT, signal.SIGINT], Request.END_TRIALS),
        ([signal.SIGTERM], Request.END_TRIALS),
        ([signal.SIGTERM, signal.SIGINT], Request.END_TRIALS),
        ([signal.SIGHUP], Request.END_TRIALS),
    ],
    ids=["nothing", "Ctrl-C", "Ctrl-C twice", "SIGTERM", "SIGTERM, then Ctrl-C", "SIGHUP"],
)
def test_signals_become_requests(numbers: list[signal.Signals], request_made: Request) -> None:
    with Interrupts() as interrupts:
        for number in numbers:
            os.kill(os.getpid(), number)
            interrupts.wait(1.0)
        assert interrupts.request is request_made


def test_the_end_of_a_child_wakes_the_wait() -> None:
    with Interrupts() as interrupts:
        began = time.monotonic()
        child = subprocess.Popen([sys.executable, "-c", "pass"])
        interrupts.wait(5.0)
        assert time.monotonic() - began < 4.0
        child.wait()


def test_a_signal_before_the_wait_is_not_missed() -> None:
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        began = time.monotonic()
        interrupts.wait(5.0)
        assert time.monotonic() - began < 1.0


def test_signals_mean_what_they_meant_before() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in numbers]
    with Interrupts():
        pass
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_search_under_nohup_goes_on_when_its_terminal_is_closed() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
            interrupts.wait(0.1)
            assert interrupts.request is Request.GO_ON
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_may_wake_the_wait_and_one_that_comes_too_late_does_nothing() -> None:
    with Interrupts() as interrupts:
        thread = threading.Timer(0.2, interrupts.wake)
        thread.start()
        began = time.monotonic()
        interrupts.wait(None)
        assert 0.1 < time.monotonic() - began < 3
        assert interrupts.request is Request.GO_ON
        thread.join()
        for _ in range(100_000):  # more than a pipe holds
            interrupts.wake()
        interrupts.wait(None)
    interrupts.wake()
