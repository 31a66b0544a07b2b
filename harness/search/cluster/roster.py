"""Which workers of a cluster may run trials: each is asked once, and told what differs if it may not."""

from __future__ import annotations

import time
from collections import Counter
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
#: Workers lost at one stage, one after the other, after which the next that comes to it is no hope. A choice.
_ALLOWED_LOSSES = 3


class Standing(Enum):
    """How a worker stands with a search."""

    ASKED = auto()
    IS_SENT_FEATURES = auto()
    ASKED_AGAIN = auto()
    ACCEPTED = auto()
    REFUSED = auto()


#: What a worker goes through until it is accepted, in order.
_STAGES = (Standing.ASKED, Standing.IS_SENT_FEATURES, Standing.ASKED_AGAIN)


@dataclass
class _Worker:
    """A worker that is there.

    Attributes:
        number: of the question that it was asked last
        asked_at: when that was, on the monotonic clock
        is_told: whether the user has heard that it does not answer
    """

    address: str
    number: int
    asked_at: Seconds
    standing: Standing
    is_told: bool = False


class _Losses:
    """Counts the workers that are lost at a stage, one after the other; those that were there together count once."""

    def __init__(self) -> None:
        self._num_lost: Counter[Standing] = Counter()
        self._num_asked = 0

    def count(self, worker: _Worker, num_asked: int) -> None:
        """Take notice that a worker is lost, when ``num_asked`` questions had been asked."""
        if worker.standing in _STAGES and worker.number > self._num_asked:
            self._num_lost[worker.standing] += 1
            self._num_asked = num_asked

    def forgive(self, *stages: Standing) -> None:
        """Take notice that a worker has passed some stages."""
        for stage in stages:
            del self._num_lost[stage]

    def leave_hope(self, standing: Standing) -> bool:
        """Whether a worker that stands so is likely to be accepted."""
        if standing not in _STAGES:
            return False
        return all(self._num_lost[stage] <= _ALLOWED_LOSSES for stage in _STAGES[_STAGES.index(standing) :])


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
        self._workers: dict[str, _Worker] = {}
        self._questions: dict[str, _Worker] = {}
        self._num_asked = 0
        self._losses = _Losses()
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
        for address in set(self._workers) - addresses:
            self.forget(address)
        for address in sorted(addresses - set(self._workers)):
            self._ask(address)
        now = time.monotonic()
        for worker in self._questions.values():
            if not worker.is_told and now - worker.asked_at > _BUSY_SECONDS:
                worker.is_told = True
                self._note(
                    f"Worker {worker.address} has not answered for {_BUSY_SECONDS:g} s, as one does that is busy "
                    "with other tasks; it gets trials when it has."
                )

    def forget(self, address: str) -> None:
        """Take notice that a worker has left; whoever comes with its address is asked again."""
        worker = self._drop(address)
        if worker is not None:
            self._losses.count(worker, self._num_asked)

    def forget_all(self) -> None:
        """Take notice that the scheduler is gone, and with it every worker's place."""
        for address in list(self._workers):
            self._drop(address)

    def lose(self, key: str) -> None:
        """Take notice that a question is gone with its scheduler; whoever was asked will be asked again."""
        if key in self._questions:
            self._drop(self._questions[key].address)
        elif self._sender is not None:
            self._sender.take(key, None)

    def take(self, key: str, answer: object) -> bool:
        """Take a worker's answer, or the error that came in place of one; returns whether ``key`` was asked."""
        if self._sender is not None and self._sender.take(key, answer):
            self._go_on()
            return True
        worker = self._questions.pop(key, None)
        if worker is None:
            return False
        try:
            if isinstance(answer, BaseException):
                raise answer
            said = from_plain(Answer, answer)
        except WireError as error:
            said = Answer(Verdict.REFUSED, (f"it answered in another way ({error})",))
        except BaseException as error:
            said = Answer(Verdict.REFUSED, (f"it could not answer ({describe_error(error)})",))
        self._judge(worker, said)
        return True

    def _judge(self, worker: _Worker, said: Answer) -> None:
        if said.verdict is Verdict.ACCEPTED:
            worker.standing = Standing.ACCEPTED
            self.accepted.add(worker.address)
            self._losses.forgive(*_STAGES)
        elif said.verdict is Verdict.NEEDS_FEATURES and self._sender is not None:
            worker.standing = Standing.IS_SENT_FEATURES
            self._losses.forgive(Standing.ASKED)
            self._sender.send(worker.address)
            self._go_on()
        else:
            self._refuse(worker.address, "; ".join(said.differences) or "it has not the features, which cannot be sent")

    def _go_on(self) -> None:
        assert self._sender is not None
        for address, failure in self._sender.done():
            if failure is None:
                self._ask(address, Standing.ASKED_AGAIN)
            else:
                self._refuse(address, f"the features could not be sent to it ({failure})")

    def _ask(self, address: str, standing: Standing = Standing.ASKED) -> None:
        self._num_asked += 1
        key = f"{self._name}-enlist-{self._num_asked}"
        worker = _Worker(address, self._num_asked, time.monotonic(), standing)
        self._workers[address] = self._questions[key] = worker
        self._link.submit(key, enlist, to_plain(self._expectations), worker=address)

    def _drop(self, address: str) -> _Worker | None:
        self._touch()
        worker = self._workers.pop(address, None)
        self.accepted.discard(address)
        self.complaints.pop(address, None)
        stale = [key for key, asked in self._questions.items() if asked is worker]
        for key in stale:
            del self._questions[key]
        self._link.cancel(stale)
        if self._sender is not None:
            self._sender.forget(address)
        return worker

    def _refuse(self, address: str, complaint: str) -> None:
        self._touch()
        self._workers[address].standing = Standing.REFUSED
        self.complaints[address] = complaint
        expected = f"expected harness-iemocap {__version__} and all else as here"
        self._note(f"Worker {address} gets no trials: {complaint}; {expected}.")

    def _touch(self) -> None:
        if self.accepted or any(self._losses.leave_hope(worker.standing) for worker in self._workers.values()):
            self._last_hope = time.monotonic()
