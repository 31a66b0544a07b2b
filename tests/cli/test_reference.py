import click
import pytest

from harness.cli.main import COMMANDS
from harness.cli.reference import every_command, help_of, write_reference


def test_every_command_is_in_it_with_its_whole_help() -> None:
    reference = write_reference()
    assert [typed for typed, _ in every_command()] == ["aup", *(f"harness {name}" for name in COMMANDS)]
    for typed, command in every_command():
        assert f"\n## {typed}\n\n```text\nUsage: {typed} " in reference
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.opts[0] in help_of(typed, command)


def test_it_is_the_same_whatever_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = write_reference()
    monkeypatch.setenv("COLUMNS", "40")
    assert write_reference() == expected
