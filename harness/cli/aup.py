"""`aup`: the search. Auptimizer installs no such command; this one runs its experiment loop."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness import __version__
from harness.cli.main import INTERRUPTED_EXIT_CODE, serve

if TYPE_CHECKING:
    from harness.search.experiment_file import ExperimentSettings
    from harness.search.view import SearchReport, SearchView


@click.command("aup")
@click.argument("experiment", type=click.Path(path_type=Path))
@click.option(
    "--fresh",
    is_flag=True,
    help=(
        "Begin a new experiment and keep the old one of that name; without this option an unchanged experiment is "
        "resumed.  [default: resume]"
    ),
)
@click.version_option(__version__, prog_name="aup")
def aup(experiment: Path, fresh: bool) -> int:
    """Search for the best hyperparameters, as the JSON file EXPERIMENT describes.

    The results are written to the folder `results` beside the file. The corpus is prepared first if necessary. If
    neither the file nor HARNESS_CORPUS names a corpus, a synthetic one is made. With the key `folds`, every fold is a
    search of its own. Ctrl-C lets the running trials finish, a second Ctrl-C ends them; the same command resumes the
    search later.

    \b
    Example:
      aup experiment.json

    Exit codes: 0 done, 1 more failed trials than max_failures, 2 wrong file or arguments, 130 interrupted.
    """
    from harness.errors import WorkFailedError
    from harness.search.display import SearchDisplay, open_console
    from harness.search.experiment_file import read_experiment_file
    from harness.search.view import Ending
    from harness.wording import plural

    settings = read_experiment_file(experiment)
    display = SearchDisplay(open_console(), settings.path)
    try:
        report = _run(settings, display, fresh)
    finally:
        display.close()
    if report is None:
        return 0
    if report.ending is Ending.TOO_MANY_FAILURES:
        raise WorkFailedError(
            f"experiment {report.experiment.name!r}: {plural(report.num_failed, 'trial')} failed, and max_failures is "
            f"{report.max_failures}; fix the cause and begin a new experiment with --fresh"
        )
    return INTERRUPTED_EXIT_CODE if report.ending is Ending.INTERRUPTED else 0


def _run(settings: ExperimentSettings, view: SearchView, fresh: bool) -> SearchReport | None:
    """Return the report of the search that was run last; None where every fold had finished before."""
    if settings.folds is None:
        from harness.search.controller import run_search

        return run_search(settings, view, fresh)
    from harness.search.folds import run_folds

    return run_folds(settings, view, fresh)


def main() -> None:
    """The entry point of the `aup` command."""
    # Before NumPy is imported: the controller needs none of its threads, and one a core would idle.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # What was recorded is the result: a search does not fail for want of a reader.
    sys.exit(serve(aup, "aup", needs_output=False))
