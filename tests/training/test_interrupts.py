"""A signal raises where a training is at work, and waits while something is written."""

import signal

import pytest

from harness.training.runner import DeferredInterrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_raises_at_once_where_it_is_allowed(number):
    reached = []
    with pytest.raises(KeyboardInterrupt), DeferredInterrupts() as interrupts, interrupts.allowed():
        signal.raise_signal(number)
        reached.append("after")
    assert reached == []


def test_a_signal_waits_for_the_end_of_a_write():
    reached = []
    with pytest.raises(KeyboardInterrupt), DeferredInterrupts() as interrupts, interrupts.allowed():
        with interrupts.held_back():
            signal.raise_signal(signal.SIGINT)
            reached.append("written")
        reached.append("after")
    assert reached == ["written"]


def test_a_signal_between_trainings_keeps_the_next_from_beginning():
    reached = []
    with pytest.raises(KeyboardInterrupt), DeferredInterrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        reached.append("recorded")
        with interrupts.allowed():
            reached.append("next training")
    assert reached == ["recorded"]


def test_a_signal_during_the_last_write_raises_in_the_end():
    with pytest.raises(KeyboardInterrupt), DeferredInterrupts():
        signal.raise_signal(signal.SIGINT)


def test_the_handlers_before_are_there_again_and_an_error_is_not_hidden():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="^the error$"), DeferredInterrupts():
        assert signal.getsignal(signal.SIGINT) != before
        signal.raise_signal(signal.SIGINT)
        raise ValueError("the error")
    assert signal.getsignal(signal.SIGINT) is before


# Python drops what is raised there, and warns of it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_while_an_object_is_freed_is_not_lost():
    class Freed:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), DeferredInterrupts() as interrupts, interrupts.allowed():
        Freed()
        with interrupts.held_back():
            pass
        pytest.fail("the interrupt was lost")
