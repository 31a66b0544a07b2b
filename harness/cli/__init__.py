"""The command line: one module for each command. A module imports the code it needs when its command is called."""

import os
import signal
from types import FrameType


def run_harness() -> None:
    """The program `harness`."""
    leave_on_interrupt()
    from harness.cli.main import main

    main()


def run_aup() -> None:
    """The program `aup`."""
    leave_on_interrupt()
    from harness.cli.aup import main

    main()


def leave_on_interrupt() -> None:
    """Leave at once on Ctrl-C or SIGTERM until a command begins: nothing has been done, and imports end in a traceback.

    Where somebody has chosen otherwise, as for a background job of a script, that stays.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    try:
        os.write(2, b"interrupted\n")
    finally:
        os._exit(130)
