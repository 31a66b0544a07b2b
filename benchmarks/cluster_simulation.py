"""A scheduler and many workers in one process, whose jobs end at once: `cluster_simulation.py WORKERS PORT`.

What a worker does besides its tasks is slowed down as far as it goes: by default 1000 of them would have this process
look at its clock 50 000 times a second. A controller sees nothing of that.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import uuid
from collections.abc import Mapping
from typing import Any

import dask

QUIET = {
    "distributed.admin.tick.interval": "1h",
    "distributed.admin.tick.cycle": "1h",
    "distributed.admin.system-monitor.interval": "1h",
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-ttl": None,
}
#: Workers that begin together.
AT_ONCE = 50


def end_at_once(message: Mapping[str, Any]) -> dict[str, Any]:
    """Stand in for ``run_trial_task``: a job that began, printed a score, and ended."""
    from harness.codec import to_plain
    from harness.search.dask.messages import JobReturn, JobStarted
    from harness.search.outcome import JobOutput
    from harness.search.process import EndedBy, JobEnd
    from harness.store.records import TrialRecords

    trial_id, execution = message["trial_id"], uuid.uuid4().hex
    returned: dict[str, Any] = to_plain(
        JobReturn(
            trial_id=trial_id,
            started=JobStarted(trial_id, execution, "simulated", 1, 0.0),
            end=JobEnd(EndedBy.ITSELF, 0, None),
            output=JobOutput("#Auptimizer:0.5\n", "0.5"),
            records=TrialRecords(None, (), None, execution),
        )
    )
    return returned


async def serve(num_workers: int, port: int, folder: str) -> None:
    """Serve until the process is ended; says "ready" when every worker is there."""
    from distributed import Scheduler, Worker

    # Workers talk to the scheduler within the process, and the controller from outside.
    listening = {"protocol": ["inproc", "tcp"], "host": [None, "127.0.0.1"], "port": [0, port]}
    async with Scheduler(**listening, dashboard=False) as scheduler:
        for first in range(0, num_workers, AT_ONCE):
            workers = [
                Worker(scheduler.address, nthreads=1, memory_limit=0, local_directory=folder, dashboard=False)
                for _ in range(min(AT_ONCE, num_workers - first))
            ]
            await asyncio.gather(*workers)
            for worker in workers:
                worker.periodic_callbacks["find-missing"].stop()
        print("ready", flush=True)
        await scheduler.finished()


def main() -> None:
    import harness.search.dask.worker

    logging.getLogger("distributed").setLevel(logging.ERROR)
    # A task names the function; the worker imports it from this process.
    harness.search.dask.worker.run_trial_task = end_at_once
    with dask.config.set(QUIET), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), folder))


if __name__ == "__main__":
    main()
