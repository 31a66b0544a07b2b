"""`harness note`: a note on a trial, kept in results.db and shown in the report."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from harness.cli.options import DATABASE, EXPERIMENT_NUMBER


@click.command("note")
@click.argument("trial", type=click.IntRange(min=0))
@click.argument("text", required=False)
@click.option(
    "--withdraw",
    "note_id",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Number of a note on TRIAL to take back; reports and exports then leave it out.",
)
@click.option(
    "--experiment", "eid", type=EXPERIMENT_NUMBER, help="Number of the experiment.  [default: the latest search]"
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default="results",
    show_default=True,
    help="Results folder of the experiment, whose search may be running.",
)
def note(trial: int, text: str | None, note_id: int | None, eid: int | None, results: Path) -> None:
    """Write the note TEXT on the trial number TRIAL, as the report numbers it, or list the trial's notes.

    The report's page, the exported trials and `harness.open(...).trials()` show notes with their times. A trial may
    have several notes, which keep their order. Whoever gets an export or a page can read them.

    \b
    Example:
      harness note 12 "The loss rises from epoch 5 on."
      harness note 12
      harness note 12 --withdraw 1
    """
    if text is not None and note_id is not None:
        raise click.UsageError("TEXT and --withdraw exclude each other; give one of them.")

    from harness.errors import StoreError
    from harness.store.notes import read_trial_notes, record_note, withdraw_note
    from harness.store.store import ResultsStore
    from harness.wording import write_time

    database = results / DATABASE
    with ResultsStore.open_readonly(database) as store:
        experiment = store.latest_experiment() if eid is None else store.experiment(eid)
        if experiment is None:
            raise StoreError(f"results database '{database}': holds no search yet; run aup first")
        name = f"trial {trial} of experiment {experiment.eid}, {experiment.name!r}"
        if text is None and note_id is None:
            notes = read_trial_notes(store, experiment.eid, trial)
            for found in notes:
                click.echo(f"{found.note_id}  {write_time(found.written_at)} UTC  {found.text}")
            if not notes:
                click.echo(f"There is no note on {name}.", err=True)
            return
    with ResultsStore.open(database) as store:
        if note_id is not None:
            withdrawn = withdraw_note(store, experiment.eid, trial, note_id)
            click.echo(f"Withdrawn: note {note_id} on {name}: {withdrawn.text}")
        elif text is not None:
            written = record_note(store, experiment.eid, trial, text)
            place = "" if results == Path("results") else f" --results {shlex.quote(str(results))}"
            again = f"harness note {trial} --experiment {experiment.eid} --withdraw {written.note_id}{place}"
            click.echo(f"Written: note {written.note_id} on {name}. To take it back: {again}")
