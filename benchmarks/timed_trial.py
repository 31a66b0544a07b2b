"""`jobs/trial.py` with a clock, that ends after its second step: `timed_trial.py JOB.json TIMES.json`.

`benchmarks.start` runs it. Nothing of the trial is replaced: its functions are called through others that look at
the clock.
"""

from __future__ import annotations

import time

PYTHON_IS_UP = time.monotonic()

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

#: When the process was asked for, on the clock of ``time.monotonic``, which all processes share.
ASKED_FOR = "HARNESS_BENCHMARK_ASKED_FOR"


class Clock:
    """The parts of a start, one after the other."""

    def __init__(self, asked_for: float) -> None:
        self.parts = {"starting Python": PYTHON_IS_UP - asked_for}
        self.last = PYTHON_IS_UP
        self.tracing = 0.0

    def end_part(self, name: str) -> None:
        now = time.monotonic()
        self.parts[name] = self.parts.get(name, 0.0) + now - self.last
        self.last = now

    def around(
        self, function: Callable[..., Any], before: str | None = None, after: str | None = None
    ) -> Callable[..., Any]:
        """Return ``function`` so that its call ends the part ``before``, and its return the part ``after``."""

        def timed(*arguments: Any, **named: Any) -> Any:
            if before is not None:
                self.end_part(before)
            result = function(*arguments, **named)
            if after is not None:
                self.end_part(after)
            return result

        return timed


def watch_training(clock: Clock, trainer_class: Any, times_path: str) -> None:
    """Time the first two steps, between which the trainer feeds itself a batch; then end the process."""
    feed, step = trainer_class.feed, trainer_class._train_step
    num_fed = 0

    def timed_feed(self: Any, inputs: Any, rows: Any) -> Any:
        nonlocal num_fed
        num_fed += 1
        ended = ("making the optimiser, encoding words", "first step", "second step")[num_fed - 1]
        clock.end_part(ended)
        if num_fed == 3:
            first, second = clock.parts.pop("first step"), clock.parts.pop("second step")
            clock.parts["tracing"] = clock.tracing
            clock.parts["compiling, first step"] = first - clock.tracing
            clock.parts["second step"] = second
            with open(times_path, "w") as stream:
                json.dump(clock.parts, stream)
            os._exit(0)
        batch = feed(self, inputs, rows)
        if num_fed == 1:
            clock.end_part("first batch")
        return batch

    def timed_step(self: Any, *arguments: Any) -> Any:
        began = time.monotonic()
        result = step(self, *arguments)
        clock.tracing += time.monotonic() - began
        return result

    trainer_class.feed, trainer_class._train_step = timed_feed, timed_step


def main(job_path: str, times_path: str) -> int:
    clock = Clock(float(os.environ[ASKED_FOR]))
    from harness.training import trial

    start = trial.start_tensorflow

    def start_tensorflow(threads: int) -> None:
        clock.end_part("our light imports, reading the job")
        start(threads)
        clock.end_part("importing TensorFlow")
        from harness.training import recipe, single

        clock.end_part("our other imports, Keras")
        recipe.train_once = clock.around(recipe.train_once, before="results.db, versions, git revision")
        recipe.seed_everything = clock.around(recipe.seed_everything, before="opening features")
        single.fit_features = clock.around(single.fit_features, after="fitting vocabulary, vectors, scalers")
        single.build_network = clock.around(single.build_network, after="building the model")
        watch_training(clock, recipe.Trainer, times_path)

    trial.start_tensorflow = start_tensorflow
    return trial.main(["trial.py", job_path])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
