"""`harness export`: trials, epochs, predictions and test scores as CSV or Parquet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import DATABASE, EXPERIMENT_NUMBER, results_argument

if TYPE_CHECKING:
    from harness.store.records import ExperimentRow


@click.command("export")
@results_argument
@click.option(
    "--csv",
    "csv_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="CSV file to write; an existing file is replaced. - is standard output.",
)
@click.option(
    "--parquet",
    "parquet_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Parquet file to write; an existing file is replaced. - is standard output. Needs pyarrow.",
)
@click.option(
    "--what",
    type=click.Choice(["experiments", "trials", "epochs", "predictions", "test-scores", "evaluations"]),
    default="trials",
    show_default=True,
    help=(
        "What a row is: an experiment, an attempt at a trial with its hyperparameters, an epoch, a trial's prediction "
        "of one validation utterance, a test score with who chose its epoch, or a saved model's score on another "
        "corpus, including models from elsewhere."
    ),
)
@click.option(
    "--experiment",
    "eids",
    type=EXPERIMENT_NUMBER,
    multiple=True,
    help="Number of an experiment; may be given several times.  [default: the latest search, with its other folds]",
)
@click.option("--all", "is_whole", is_flag=True, help="Every experiment of the folder, not only searches.")
@click.option(
    "--optuna",
    "optuna_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Optuna storage (SQLite) to write, a study for each experiment, which optuna-dashboard opens; an existing "
    "file is replaced. Needs optuna.",
)
@click.option(
    "--mlflow",
    "mlflow_path",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="MLflow folder (SQLite) to write, an experiment of MLflow's for each experiment and a run for each trial, "
    "which mlflow server opens; it must be new or empty. Needs mlflow.",
)
@click.option(
    "--datasette-metadata",
    "writes_metadata",
    is_flag=True,
    help=(
        "Write RESULTS/metadata.json again, from which Datasette takes titles, descriptions and units; it is first "
        "written with results.db."
    ),
)
def export(
    results: Path,
    csv_path: Path | None,
    parquet_path: Path | None,
    what: str,
    eids: tuple[int, ...],
    is_whole: bool,
    optuna_path: Path | None,
    mlflow_path: Path | None,
    writes_metadata: bool,
) -> None:
    """Write the contents of the results folder RESULTS as a flat table, for other programs.

    Headings include the units. Accuracies and scores are shares from 0 to 1, and the column is_synthetic marks those
    that are not scores on IEMOCAP. A job's output is not exported, except for its last line in the message of a failed
    job; nor is the machine. In CSV, a text that a spreadsheet would take for a formula gets an apostrophe before it;
    Parquet is exact.

    \b
    Example:
      harness export results/ --csv trials.csv
      harness export results/ --what epochs --csv -
      harness export results/ --optuna studies.db
      harness export results/ --mlflow mlflow-runs/
    """
    if csv_path and parquet_path:
        raise click.UsageError("--csv and --parquet exclude each other; give one of them.")
    if eids and is_whole:
        raise click.UsageError("--experiment and --all exclude each other; give one of them.")
    if not (csv_path or parquet_path or optuna_path or mlflow_path or writes_metadata):
        raise click.UsageError(
            "nothing to write; expected --csv FILE or --parquet FILE, - for standard output, --optuna FILE or "
            "--mlflow DIR."
        )

    from harness.report.flat_files import STANDARD_OUTPUT, write_csv, write_parquet, write_rows
    from harness.store.datasette import METADATA_NAME, write_metadata
    from harness.store.export import ExportedRows, choose_experiments, read_rows
    from harness.store.store import ResultsStore

    if parquet_path == STANDARD_OUTPUT and sys.stdout.isatty():
        raise click.UsageError("--parquet - would print bytes in the terminal; expected a pipe or a file.")
    with ResultsStore.open_readonly(results / DATABASE) as store, store.snapshot():
        if writes_metadata:
            metadata_path = store.path.with_name(METADATA_NAME)
            said = f"Written: {metadata_path}"
            if not write_metadata(store.path, store.database):
                said = f"'{metadata_path}' is a file of your own, and stays; move it away, and export again."
            click.echo(said, err=True)
        path = csv_path or parquet_path
        if path is not None:
            experiments = choose_experiments(store, eids, is_whole)
            rows = read_rows(store, ExportedRows(what), [experiment.eid for experiment in experiments])
            num_rows = write_rows(path, rows, write_parquet if csv_path is None else write_csv)
            _report(path, num_rows, what, experiments)
        if optuna_path is not None:
            from harness.report.optuna_storage import write_optuna

            experiments = choose_experiments(store, eids, is_whole)
            _report(optuna_path, write_optuna(optuna_path, store, experiments), "trials", experiments)
        if mlflow_path is not None:
            from harness.report.mlflow_folder import write_mlflow

            experiments = choose_experiments(store, eids, is_whole)
            _report(mlflow_path, write_mlflow(mlflow_path, store, experiments), "runs", experiments)


def _report(path: Path, num_rows: int, what: str, experiments: list[ExperimentRow]) -> None:
    """Say on standard error what was written, so that standard output holds the table alone."""
    from harness.report.flat_files import STANDARD_OUTPUT
    from harness.wording import SYNTHETIC_SENTENCE, plural

    of = plural(len(experiments), "experiment")
    if path != STANDARD_OUTPUT:
        click.echo(f"Written: {path}, {plural(num_rows, 'row')} ({what} of {of})", err=True)
    if any(experiment.is_synthetic for experiment in experiments):
        click.echo(SYNTHETIC_SENTENCE, err=True)
