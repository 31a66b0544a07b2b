"""`harness systems`: the systems by name."""

from __future__ import annotations

from dataclasses import fields

import click


@click.command()
def systems() -> None:
    """List the systems: what each reads, and the hyperparameters that can be set or searched.

    A system is named in experiment.json as `"system": "fusion"`; its search space is
    `search_spaces/<system>.json`.

    \b
    Example:
      harness systems
    """
    from rich.console import Console
    from rich.table import Table

    from harness.models.systems import SYSTEMS

    table = Table("system", "in the paper", "reads", "what it is", "hyperparameters and their defaults")
    for system in SYSTEMS.values():
        choices = ", ".join(f"{field.name} {field.default}" for field in fields(system.hyperparameters))
        table.add_row(
            system.name, system.published_name, ", ".join(system.modalities), system.description, choices
        )
    Console().print(table)
