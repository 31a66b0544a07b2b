"""The commands as an installation has them, for tests that type them into a shell."""

import os
import sys
from pathlib import Path

from tests.search.searches import environment


def put_commands(folder: Path) -> dict[str, str]:
    """Write `harness` and `aup` into ``folder``/bin, and return an environment whose PATH finds them first."""
    for command, module in (("harness", "main"), ("aup", "aup")):
        path = folder / "bin" / command
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{sys.executable}\nimport sys\nfrom harness.cli.{module} import main\nsys.exit(main())\n")
        path.chmod(0o755)
    return environment() | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
