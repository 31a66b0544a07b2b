"""Signals are told of by a pipe as well as by their handlers, and handled as before in the end."""

import select
import signal

from harness.search.interrupts import SignalPipe


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
