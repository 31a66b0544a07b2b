"""`harness compare`: searches side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import DATABASE, EXPERIMENT_NAME

if TYPE_CHECKING:
    from harness.report.comparison import Contender
    from harness.store.store import ResultsStore


@click.command("compare")
@click.argument("experiments", metavar="EXPERIMENT...", nargs=-1, type=EXPERIMENT_NAME)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default="results",
    show_default=True,
    help="Folder of the experiments that are named without one.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object in place of the tables.")
def compare(experiments: tuple[str, ...], results: Path, as_json: bool) -> None:
    """Compare two or more searches side by side, in the order in which they are named.

    An EXPERIMENT is a search's number or its name, FOLDER:NUMBER or FOLDER:NAME in another results folder, or FOLDER
    alone, which is the folder's latest search. The first line says whether their scores are comparable; searches with
    another corpus, protocol or target are not ranked or tested against each other.

    \b
    Example:
      harness compare 1 2
      harness compare results/ other/results:3 --json
    """
    from harness.report.comparison import Comparison, to_json

    comparison = Comparison(tuple(_read_contenders(experiments, results)))
    if as_json:
        click.echo(json.dumps(to_json(comparison), indent=2))
    else:
        from rich.console import Console

        from harness.report.terminal import print_comparison

        print_comparison(Console(highlight=False, markup=False, emoji=False), comparison)


def _read_contenders(experiments: tuple[str, ...], results: Path) -> list[Contender]:
    from harness.errors import StoreError
    from harness.report.comparison import Contender
    from harness.report.findings import read_findings
    from harness.store.store import ResultsStore

    places = [_find_place(text, results) for text in experiments]
    found = []
    for folder, which in places:
        with ResultsStore.open_readonly(folder / DATABASE) as store:
            findings = read_findings(store, _find_eid(store, which) if which else None)
            if findings.folds is not None and not which:
                raise StoreError(
                    f"results folder '{folder}': its latest search is one fold of experiment "
                    f"{findings.folds.folded.name!r}, and a fold can be compared only with the same fold of another "
                    f"one; expected the number of one of: {_list_experiments(store)}"
                )
            found.append(findings)
    several = len({folder.resolve() for folder, _ in places}) > 1
    labels = [
        f"{folder}:{findings.experiment.eid}" if several else str(findings.experiment.eid)
        for (folder, _), findings in zip(places, found, strict=True)
    ]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise click.UsageError(f"experiment {twice} is named twice; expected different ones.")
    if len(found) < 2:
        with ResultsStore.open_readonly((places[0][0] if places else results) / DATABASE) as store:
            there = _list_experiments(store)
        raise click.UsageError(f"found {len(found)} experiment(s) to compare; expected two or more of: {there}.")
    return [Contender(label, findings) for label, findings in zip(labels, found, strict=True)]


def _find_place(text: str, results: Path) -> tuple[Path, str]:
    """Return the folder and the number or name that an argument means; the latter empty for the latest search."""
    if (Path(text) / DATABASE).is_file():
        return Path(text), ""
    folder, colon, which = text.rpartition(":")
    if colon and (Path(folder) / DATABASE).is_file():
        return Path(folder), which
    if "/" in text and not text.isdecimal():
        # A path, and not to a results folder: the store says so.
        return Path(folder if colon else text), which if colon else ""
    return results, text


def _find_eid(store: ResultsStore, which: str) -> int:
    from harness.errors import StoreError

    experiments = store.experiments()
    named = [experiment.eid for experiment in experiments if experiment.name == which]
    if which.isdecimal() and int(which) in {experiment.eid for experiment in experiments}:
        return int(which)
    if len(named) == 1:
        return named[0]
    if named:
        raise StoreError(
            f"experiment {which!r}: {len(named)} of that name are in '{store.path}'; expected the number of one: "
            f"{named}"
        )
    raise StoreError(f"experiment {which!r}: not in '{store.path}'; expected one of {_list_experiments(store)}")


def _list_experiments(store: ResultsStore) -> str:
    named = [f"{experiment.eid} ({experiment.name!r})" for experiment in store.experiments()]
    return ", ".join(named) or "none: it is empty"
