"""What a shell offers where a command wants an experiment or a system."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem
from click.types import IntParamType, StringParamType

DATABASE = "results.db"


def _results_of(context: click.Context) -> Path:
    return Path(context.params.get("results") or "results")


def _offer(results: Path, before: str, begun: str, *, only_searches: bool) -> list[CompletionItem]:
    from harness.store.names import name_experiments

    return [
        CompletionItem(f"{before}{experiment.eid}", help=experiment.name)
        for experiment in name_experiments(results / DATABASE)
        if str(experiment.eid).startswith(begun) and (experiment.is_search or not only_searches)
    ]


class ExperimentNumber(IntParamType):
    """The number of an experiment in the command's results folder.

    Args:
        only_searches: whether the command takes no other kind
    """

    def __init__(self, *, only_searches: bool) -> None:
        self._only_searches = only_searches

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the numbers, each with its experiment's name."""
        # click leaves what it has read of the line in args, where the option's value is what is missing.
        named = [Path(argument) for argument in context.args]
        results = next((path for path in named if (path / DATABASE).is_file()), _results_of(context))
        return _offer(results, "", incomplete, only_searches=self._only_searches)


class ExperimentName(StringParamType):
    """A search, in any results folder: ``3``, ``NAME``, ``FOLDER``, ``FOLDER:3`` or ``FOLDER:NAME``."""

    name = "experiment"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the numbers of the folder before the colon, and paths."""
        folder, colon, number = incomplete.rpartition(":")
        results = Path(folder) if colon else _results_of(context)
        given: list[str] = list(context.params.get("experiments") or [])
        if given[1:] and given[-1] == ":":
            # bash takes a colon for the end of a word.
            results = Path(given[-2])
        items = _offer(results, f"{folder}{colon}", number, only_searches=True)
        return items or [CompletionItem(incomplete, type="dir")]


class SystemNames(StringParamType):
    """Names of systems with commas between them, or of baselines, which the shell does not offer."""

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer what may stand after the last comma."""
        from harness.models.systems import SYSTEMS

        before, comma, begun = incomplete.rpartition(",")
        given = before.split(",")
        return [
            CompletionItem(f"{before}{comma}{name}")
            for name in SYSTEMS
            if name.startswith(begun) and name not in given
        ]


EXPERIMENT_NUMBER = ExperimentNumber(only_searches=False)
SEARCH_NUMBER = ExperimentNumber(only_searches=True)
EXPERIMENT_NAME = ExperimentName()
SYSTEM_NAMES = SystemNames()
