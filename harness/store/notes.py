"""Notes that people write on trials, recorded in results.db and read from it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import StoreError, is_visible
from harness.store.records import utc_now
from harness.store.rows import Row, insert, of_table, read_record
from harness.store.schema import has_notes
from harness.store.store import ResultsStore

#: A choice: a long paragraph, so that tables with notes can still be read.
MAX_CHARACTERS = 2000


@dataclass(frozen=True)
class TrialNote:
    """A note on a trial, whichever of the trial's attempts is the latest.

    Attributes:
        note_id: unique in its results.db; notes that were written later have higher ones
        written_at: UTC, in ISO 8601
    """

    note_id: int
    eid: int
    trial_index: int
    text: str
    written_at: str


def record_note(results: ResultsStore, eid: int, trial_index: int, text: str) -> TrialNote:
    """Record a note on a trial, running or ended, and return it; other processes may write at the same time.

    Args:
        text: white space at both ends is left out

    Raises:
        StoreError: no such experiment or trial, or the text is empty, too long or not printable
    """
    text = _check_text(trial_index, text)
    with results.writing() as database:
        _require_trial(results, eid, trial_index)
        written_at = utc_now()
        row = {"eid": eid, "trial_index": trial_index, "text": text, "written_at": written_at}
        return TrialNote(insert(database, "trial_notes", row), eid, trial_index, text, written_at)


def withdraw_note(results: ResultsStore, eid: int, trial_index: int, note_id: int) -> TrialNote:
    """Take a note back, once, and return it: no report or export has it any more, and results.db keeps it as withdrawn.

    Raises:
        StoreError: no such experiment or trial, or no such note on it that has not been withdrawn
    """
    with results.writing() as database:
        notes = read_trial_notes(results, eid, trial_index)
        for note in notes:
            if note.note_id == note_id:
                database.execute("UPDATE trial_notes SET withdrawn_at = ? WHERE note_id = ?", [utc_now(), note_id])
                return note
    raise StoreError(
        f"note {note_id}: not on trial {trial_index} of experiment {eid}, or withdrawn before; expected one of "
        f"{[note.note_id for note in notes]}"
    )


def read_trial_notes(results: ResultsStore, eid: int, trial_index: int) -> list[TrialNote]:
    """Return the notes on one trial that were not withdrawn, in the order in which they were written.

    Raises:
        StoreError: no such experiment or trial
    """
    _require_trial(results, eid, trial_index)
    return [note for note in read_notes(results, eid) if note.trial_index == trial_index]


def read_notes(results: ResultsStore, eid: int) -> list[TrialNote]:
    """Return the notes on an experiment's trials that were not withdrawn, by trial, then in the order of writing."""
    if not has_notes(results.database):
        return []
    rows = results.query(
        "SELECT note_id, eid, trial_index, text, written_at FROM trial_notes "
        "WHERE eid = ? AND withdrawn_at IS NULL ORDER BY trial_index, note_id",
        [eid],
    )
    return [_read_note(row) for row in rows]


@of_table("table 'trial_notes'", "note_id")
def _read_note(row: Row) -> TrialNote:
    return read_record(TrialNote, row)


def _require_trial(results: ResultsStore, eid: int, trial_index: int) -> None:
    experiment = results.experiment(eid)
    if results.query("SELECT 1 FROM trials WHERE eid = ? AND trial_index = ? LIMIT 1", [eid, trial_index]):
        return
    known = results.query("SELECT min(trial_index) AS low, max(trial_index) AS high FROM trials WHERE eid = ?", [eid])
    low, high = known[0]["low"], known[0]["high"]
    expected = "one that has begun, and none has" if low is None else f"a trial from {low} to {high}"
    raise StoreError(
        f"trial {trial_index}: experiment {eid}, {experiment.name!r}, in '{results.path}' has not begun it; expected "
        f"{expected}"
    )


def _check_text(trial_index: int, text: str) -> str:
    stripped = text.strip().replace("\r\n", "\n")
    if not stripped:
        raise StoreError(f"note on trial {trial_index}: the text is empty; expected at least one character")
    if len(stripped) > MAX_CHARACTERS:
        raise StoreError(
            f"note on trial {trial_index}: the text has {len(stripped)} characters; expected at most {MAX_CHARACTERS}"
        )
    wrong = [character for character in stripped if not (is_visible(character) or character in "\n\t")]
    if wrong:
        raise StoreError(
            f"note on trial {trial_index}: the text has the character {wrong[0]!a}, which cannot be printed; expected "
            "printable text, with line breaks or without"
        )
    return stripped
