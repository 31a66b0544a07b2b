"""`harness systems`: the systems by name, and one system with its hyperparameters and its search space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import SYSTEM_NAME

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from harness.models.systems import System
    from harness.search.space import Parameter


@click.command()
@click.argument("name", type=SYSTEM_NAME, required=False)
def systems(name: str | None) -> None:
    """List the systems, or show the system NAME with its hyperparameters, their defaults and its search space.

    experiment.json names a system as `"system": "fusion"` and its search space as
    `"search_space": "search_spaces/fusion.json"`. A hyperparameter that is not searched keeps its default. NAME may be
    a function of a file of yours that builds a model: the file is run, and the model checked.

    \b
    Example:
      harness systems
      harness systems fusion
      harness systems mine.py:build
    """
    from rich.console import Console

    from harness.models.systems import SYSTEMS

    console = Console(highlight=False, markup=False, emoji=False)
    if name is None:
        _print_list(console, SYSTEMS)
    else:
        _print_system(console, _read_system(name))


def _read_system(name: str) -> System:
    """Read a system; a function of the user's is tried with words, and then with a file of text_features."""
    from harness.errors import ExperimentFileError
    from harness.models.systems import read_system

    try:
        return read_system(name, Path.cwd())
    except ExperimentFileError:
        try:
            found = read_system(name, Path.cwd(), has_words=False)
        except ExperimentFileError:
            found = None
        if found is None or "text" not in found.modalities:
            raise
        return found


def _print_list(console: Console, known: Mapping[str, System]) -> None:
    table = _open_table("system", "source", "reads", "what it is")
    for system in known.values():
        table.add_row(system.name, system.published_name, ", ".join(system.modalities), system.description)
    console.print(table)
    console.print("One system's hyperparameters and search space:  harness systems NAME", soft_wrap=True)


def _print_system(console: Console, system: System) -> None:
    from harness.search.keys import read_json_object
    from harness.search.space import read_search_space, require_entries
    from harness.splits.protocol import DEFAULT_SPEECH_VARIANT

    path, searched = _find_search_space(system), {}
    if path is not None:
        origin = f"search space '{path}'"
        space = read_search_space(require_entries(read_json_object(path, origin), origin), origin, system)
        searched = {parameter.name: parameter for parameter in space.parameters}
    console.print(f"{system.name} ({system.source})", style="bold")
    console.print(f"Reads {', '.join(system.modalities)}. It is: {system.description}.", soft_wrap=True)
    if system.speech_features != DEFAULT_SPEECH_VARIANT:
        console.print(f"Speech features: {system.speech_features}, and no other", soft_wrap=True)
    if system.own is not None:
        console.print(f"SHA-256 of {system.own.file_name}: {system.own.sha256}", soft_wrap=True)
    titles = [*(["searched"] if path else []), *(["published code"] if system.published_code else [])]
    table = _open_table("hyperparameter", "default", *titles)
    for field in fields(system.hyperparameters):
        row = [field.name, str(field.default), *([_describe_range(searched.get(field.name))] if path else [])]
        table.add_row(*row, *([str(system.published_code.get(field.name, ""))] if system.published_code else []))
    console.print(table)
    if path is not None:
        console.print(f"Searched, as in {path}", soft_wrap=True)
    if system.published_code:
        console.print("Published code: the default under a protocol with the published code's layers", soft_wrap=True)
    if system.departures:
        console.print(system.departures, soft_wrap=True)


def _open_table(*titles: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for title in titles:
        # A name is never cut: it is what one types.
        table.add_column(title, overflow="fold")
    return table


def _find_search_space(system: System) -> Path | None:
    """Return the search space's file in this folder, or else the one that `harness init` would copy.

    A function of the user's has none that is known.
    """
    from harness.cli.init import find_project_files

    if system.own is not None:
        return None

    path = Path("search_spaces", f"{system.name}.json")
    return path if path.is_file() else find_project_files() / path


def _describe_range(parameter: Parameter | None) -> str:
    if parameter is None:
        return ""
    if parameter.choices:
        return " or ".join(map(str, parameter.choices))
    step = "" if parameter.step is None else f", step {parameter.step:g}"
    return f"{parameter.low:g} to {parameter.high:g}{', log scale' if parameter.is_log else ''}{step}"
