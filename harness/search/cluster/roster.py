"""Which workers of a cluster may run trials: each is asked once, and told what differs if it may not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from harness import __version__
from harness.corpus.utterances import Seconds
from harness.search.cluster.enlisting import enlist
from harness.search.cluster.feature_sender import FeatureSender
from harness.search.cluster.link import SchedulerLink
from harness.search.cluster.order import Answer, Expectations, Verdict
from harness.search.cluster.plain import WireError, describe_error, from_plain, to_plain

#: Seconds after which a worker without an answer is told of. A choice: it answers in one as soon as it is free.
_BUSY_SECONDS: Seconds = 30.0
#: Workers lost, one after the other, while they were asked: then one that is asked is no hope any more. A choice.
_ALLOWED_SILENCES = 3


class Standing(Enum):
    """How a worker stands with a search."""

    ASKED = auto()
    ACCEPTED = auto()
    REFUSED = auto()


@dataclass
class _Question:
    """What a worker was asked, and has not answered yet."""

    address: str
    asked_at: Seconds
    is_told: bool = False


class Roster:
    """The workers of a cluster, in the controller's own thread.

    Attributes:
        accepted: the addresses of those that may run trials now
        complaints: what was wrong with those that were refused, by address
    """

    def __init__(
        self,
        name: str,
        link: SchedulerLink,
        expectations: Expectations,
        sender: FeatureSender | None,
        note: Callable[[str], None],
    ) -> None:
        self._name, self._link, self._expectations = name, link, expectations
        self._sender, self._note = sender, note
        self._standings: dict[str, Standing] = {}
        self._questions: dict[str, _Question] = {}
        self._num_asked = 0
        self._num_silent = 0
        self._last_hope = time.monotonic()
        self.accepted: set[str] = set()
        self.complaints: dict[str, str] = {}

    @property
    def seconds_without(self) -> Seconds:
        """How long no worker has been there that may run a trial, or is likely to say that it may."""
        self._touch()
        return time.monotonic() - self._last_hope

    def see(self, addresses: frozenset[str]) -> None:
        """Take notice of the workers that there are now; new ones are asked."""
        for address in set(self._standings) - addresses:
            self.forget(address)
        for address in sorted(addresses - set(self._standings)):
            self._ask(address)
        now = time.monotonic()
        for question in self._questions.values():
            if not question.is_told and now - question.asked_at > _BUSY_SECONDS:
                question.is_told = True
                self._note(
                    f"Worker {question.address} has not answered for {_BUSY_SECONDS:g} s, as one does that is busy "
                    "with other tasks; it gets trials when it has."
                )

    def forget(self, address: str) -> None:
        """Take notice that a worker has left; whoever comes with its address is asked again."""
        self._touch()
        self._standings.pop(address, None)
        self.accepted.discard(address)
        self.complaints.pop(address, None)
        stale = [key for key, question in self._questions.items() if question.address == address]
        self._num_silent += len(stale)
        for key in stale:
            del self._questions[key]
        self._link.cancel(stale)
        if self._sender is not None:
            self._sender.forget(address)

    def forget_all(self) -> None:
        """Take notice that the scheduler is gone, and with it every worker's place."""
        num_silent = self._num_silent
        for address in list(self._standings):
            self.forget(address)
        self._num_silent = num_silent

    def lose(self, key: str) -> None:
        """Take notice that a question is lost; whoever was asked will be asked again."""
        if key in self._questions:
            self.forget(self._questions[key].address)
        elif self._sender is not None:
            self._sender.take(key, None)

    def take(self, key: str, answer: object) -> bool:
        """Take a worker's answer, or the error that came in place of one; returns whether ``key`` was asked."""
        if self._sender is not None and self._sender.take(key, answer):
            self._go_on()
            return True
        question = self._questions.pop(key, None)
        if question is None:
            return False
        try:
            if isinstance(answer, BaseException):
                raise answer
            said = from_plain(Answer, answer)
        except WireError as error:
            said = Answer(Verdict.REFUSED, (f"it answered in another way ({error})",))
        except BaseException as error:
            said = Answer(Verdict.REFUSED, (f"it could not answer ({describe_error(error)})",))
        self._judge(question.address, said)
        return True

    def _judge(self, address: str, said: Answer) -> None:
        if said.verdict is Verdict.ACCEPTED:
            self._standings[address] = Standing.ACCEPTED
            self.accepted.add(address)
            self._num_silent = 0
        elif said.verdict is Verdict.NEEDS_FEATURES and self._sender is not None:
            self._sender.send(address)
            self._go_on()
        else:
            self._refuse(address, "; ".join(said.differences) or "it has not the features, which cannot be sent")

    def _go_on(self) -> None:
        assert self._sender is not None
        for address, failure in self._sender.done():
            if failure is None:
                self._ask(address)
            else:
                self._refuse(address, f"the features could not be sent to it ({failure})")

    def _ask(self, address: str) -> None:
        self._standings[address] = Standing.ASKED
        self._num_asked += 1
        key = f"{self._name}-enlist-{self._num_asked}"
        self._questions[key] = _Question(address, time.monotonic())
        self._link.submit(key, enlist, to_plain(self._expectations), worker=address)

    def _refuse(self, address: str, complaint: str) -> None:
        self._touch()
        self._standings[address] = Standing.REFUSED
        self.complaints[address] = complaint
        expected = f"expected harness-iemocap {__version__} and all else as here"
        self._note(f"Worker {address} gets no trials: {complaint}; {expected}.")

    def _touch(self) -> None:
        is_asked = Standing.ASKED in self._standings.values() and self._num_silent <= _ALLOWED_SILENCES
        if self.accepted or is_asked:
            self._last_hope = time.monotonic()
