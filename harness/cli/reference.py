"""The command reference docs/commands.md, made from the commands' own help, and `harness completion`.

`python -m harness.cli.reference` writes docs/commands.md in the repository that this package is run from.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from harness.cli.aup import aup
from harness.cli.main import COMMANDS, harness
from harness.files import write_then_rename

REFERENCE = Path("docs", "commands.md")
BEGIN = "<!-- Written by `python -m harness.cli.reference` from the commands' help. -->"

#: Characters of a line of help, whatever the terminal in which the reference is written.
_WIDTH = 100

_AUP_SUMMARY = "Search for the best hyperparameters."


def every_command() -> Iterator[tuple[str, click.Command]]:
    """Yield each command with the words to type for it, `aup` first, in the order of `harness --help`."""
    yield "aup", aup
    with click.Context(harness, info_name="harness") as context:
        for name in harness.list_commands(context):
            command = harness.get_command(context, name)
            if command is not None:
                yield f"harness {name}", command


def help_of(typed: str, command: click.Command) -> str:
    """Return a command's help as it is printed, in lines of 100 characters at most."""
    context = click.Context(command, info_name=typed, terminal_width=_WIDTH, max_content_width=_WIDTH)
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def write_reference() -> str:
    """Return docs/commands.md."""
    parts = [
        "# The commands",
        BEGIN,
        "This is the `--help` of every command; `harness completion` sets up completion in a shell. Exit codes "
        "everywhere: 0 done, 1 the work failed, 2 the file, the arguments or the environment are wrong, 130 "
        "interrupted.",
        _write_list(),
    ]
    for typed, command in every_command():
        parts += [f"## {typed}", f"```text\n{help_of(typed, command)}\n```"]
    return "\n\n".join(parts) + "\n"


def _write_list() -> str:
    summaries = {"aup": _AUP_SUMMARY, **{f"harness {name}": entry.summary for name, entry in COMMANDS.items()}}
    rows = [
        f"| [`{typed}`](#{typed.replace(' ', '-')}) | {summary.rstrip('.')} |"
        for typed, summary in summaries.items()
    ]
    return "\n".join(["| command | does |", "|---|---|", *rows])


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script with which SHELL completes `harness` and `aup`.

    Commands, options, protocols, systems, experiments' numbers and paths are completed. To have it in every new shell,
    add the line below to ~/.bashrc or ~/.zshrc (in ~/.zshrc after compinit). For fish, add the line
    `harness completion fish | source` to ~/.config/fish/config.fish.

    \b
    Example:
      eval "$(harness completion bash)"
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None, "click knows all shells that are offered"
    for command, program in ((harness, "harness"), (aup, "aup")):
        # As click itself names the variable by which a program is asked for completions.
        click.echo(script(command, {}, program, f"_{program.upper()}_COMPLETE").source())


def main() -> None:
    """Write docs/commands.md, whole or not at all."""
    path = Path(__file__).parents[2] / REFERENCE
    with write_then_rename(path) as stream:
        stream.write(write_reference().encode("utf-8"))
    print(f"Written: {path}")


if __name__ == "__main__":
    main()
