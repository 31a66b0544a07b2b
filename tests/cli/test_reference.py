import click
import pytest

from harness.cli.main import COMMANDS
from harness.cli.reference import BEGIN, END, every_command, help_of, write_list_into, write_reference
from harness.errors import HarnessError


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


def test_the_list_is_written_between_its_two_lines_and_nothing_else_is_touched() -> None:
    written = write_list_into(f"# A title\n{BEGIN}\nstale\n{END}\nthe rest\n")
    beginning = f"# A title\n{BEGIN}\n\n| command | does |\n|---|---|\n| [`aup`](docs/commands.md#aup) | "
    assert written.startswith(beginning)
    assert written.endswith(f" |\n\n{END}\nthe rest\n") and "stale" not in written
    assert write_list_into(written) == written


@pytest.mark.parametrize("readme", ["", f"{BEGIN}\n", f"{END}\n{BEGIN}"], ids=["neither", "no end", "the wrong order"])
def test_a_readme_without_a_place_for_it_is_refused(readme: str) -> None:
    with pytest.raises(HarnessError, match="holds no place for the list of commands"):
        write_list_into(readme)
