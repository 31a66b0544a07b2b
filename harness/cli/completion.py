"""`harness completion`: what a shell needs to complete `harness` and `aup`."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script with which SHELL completes `harness` and `aup`.

    Commands, options, protocols, systems, experiments' numbers and paths are completed. To have it in every
    new shell, add the line below to ~/.bashrc or ~/.zshrc (there after compinit), and to
    ~/.config/fish/config.fish the line `harness completion fish | source`.

    \b
    Example:
      eval "$(harness completion bash)"
    """
    from click.shell_completion import get_completion_class

    from harness.cli.aup import aup
    from harness.cli.main import harness

    script = get_completion_class(shell)
    assert script is not None, "click knows all shells that are offered"
    for command, program in ((harness, "harness"), (aup, "aup")):
        # As click itself names the variable by which a program is asked for completions.
        click.echo(script(command, {}, program, f"_{program.upper()}_COMPLETE").source())
