"""The commands as an installation has them, and as a page shows them, for tests that type or parse them."""

import os
import re
import shlex
import sys
from contextlib import suppress
from pathlib import Path

import click

from harness.cli.reference import every_command
from tests.search.searches import environment

COMMANDS = dict(every_command())


def put_commands(folder: Path) -> dict[str, str]:
    """Write `harness` and `aup` into ``folder``/bin, and return an environment whose PATH finds them first."""
    for command, module in (("harness", "main"), ("aup", "aup")):
        path = folder / "bin" / command
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{sys.executable}\nimport sys\nfrom harness.cli.{module} import main\nsys.exit(main())\n")
        path.chmod(0o755)
    return environment() | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}


def typed_in(line: str) -> list[str]:
    """Return the words of a command of ours in a line, none where it is another program's."""
    inner = re.search(r"\$\((.*)\)", line)
    words = shlex.split(inner[1] if inner else line, comments=True)
    words = words[: min((words.index(mark) for mark in ("|", "&&", ">", "&") if mark in words), default=len(words))]
    while words and re.match(r"\w+=|nohup$", words[0]):
        del words[0]
    return words if words[:1] in (["harness"], ["aup"]) else []


def check_parses(line: str) -> None:
    """Parse a command as it would be, and stop before it does anything."""
    words = typed_in(line)
    if words and words != ["harness", "--version"]:
        name = " ".join(words[: 1 if words[0] == "aup" else 2])
        assert name in COMMANDS, f"{line!r}: there is no command {name!r}"
        with suppress(click.exceptions.Exit):  # --help is answered at once
            COMMANDS[name].make_context(name, words[len(name.split()) :]).close()
