"""`aup experiment.json` that notes its own processor time in FILE: `cluster_controller.py FILE`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

#: Of each trial that has ended: the process's seconds of processor time, the clock, and the workers that were accepted,
#: of a cluster's.
LOOKS: list[tuple[float, float, int]] = []


def main() -> None:
    from harness.cli.aup import main as run_aup
    from harness.search.backend import TrialResourceManager

    report = TrialResourceManager.report

    def report_and_look(self: Any, *arguments: Any, **options: Any) -> None:
        report(self, *arguments, **options)
        workers = getattr(self, "_workers", None)
        num_workers = 0 if workers is None else len(workers.accepted)
        LOOKS.append((time.process_time(), time.monotonic(), num_workers))

    TrialResourceManager.report = report_and_look  # type: ignore[method-assign]
    path = Path(sys.argv[1])
    sys.argv = ["aup", "experiment.json"]
    try:
        run_aup()
    finally:
        path.write_text(json.dumps(LOOKS))


if __name__ == "__main__":
    main()
