"""The command line: one module for each command. A module imports the code it needs when its command is called."""

import os
import signal
from types import FrameType


def run_harness() -> None:
    """The program `harness`."""
    _leave_on_interrupt()
    from harness.cli.main import main

    main()


def run_aup() -> None:
    """The program `aup`."""
    _leave_on_interrupt()
    from harness.cli.aup import main

    main()


def _leave_on_interrupt() -> None:
    """Leave at once on Ctrl-C until a command begins: nothing has been done yet, and imports end in a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    try:
        os.write(2, b"interrupted\n")
    finally:
        os._exit(130)
