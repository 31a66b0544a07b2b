"""What a worker process that a controller starts on its own machine does first; Dask imports it by name."""

from __future__ import annotations

import logging
import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C to the controller: a terminal sends it to both, and running trials may finish.

    Nobody on this machine needs Dask's HTTP server either.
    """
    # Not SIG_IGN, which the trials would inherit: they have a session of their own, and a script may want it.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    # It was held back since this process began.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    worker.http_server.stop()
    worker.services.pop("dashboard", None)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
