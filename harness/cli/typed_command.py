"""What the user typed, as results.db keeps it with each opening of the test session."""

from __future__ import annotations

import shlex
import sys


def typed_command() -> str:
    """Return the command line of this process, quoted so that it runs again as it stands."""
    return shlex.join(["harness", *sys.argv[1:]])
