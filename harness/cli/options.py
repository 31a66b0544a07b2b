"""The arguments and options that several commands share, so that they read alike wherever they stand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.cli.names import SEARCH_NUMBER

results_argument = click.argument("results", type=click.Path(path_type=Path), default="results")

search_option = click.option(
    "--experiment", "eid", type=SEARCH_NUMBER, help="Number of the search.  [default: the latest]"
)

threads_option = click.option(
    "--threads", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Processor threads.  [default: all]"
)


def seeds_option(*, default: int, help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option ``--seeds``, of whose number each command makes something else."""
    return click.option(
        "--seeds", "num_seeds", type=click.IntRange(min=1), default=default, show_default=True, help=help
    )
