"""Notes on trials keep their order, are taken back, and survive whatever ends the process that writes them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import StoreError, visible_lines
from harness.store.export import ExportedRows, read_rows
from harness.store.notes import MAX_CHARACTERS, read_notes, read_trial_notes, record_note, withdraw_note
from harness.store.records import TrialStatus
from harness.store.store import ResultsStore
from tests.search.searches import environment
from tests.store.experiments import an_experiment


def begin(store: ResultsStore, num_trials: int = 2) -> int:
    eid = store.create_experiment(an_experiment())
    for trial_index in range(num_trials):
        store.start_trial(eid, trial_index, 1, {})
    return eid


def exported_notes(store: ResultsStore, eid: int) -> list[list[dict[str, str]]]:
    exported = read_rows(store, ExportedRows.TRIALS, [eid])
    place = [column.name for column in exported.columns].index("notes")
    return [json.loads(str(row[place] or "[]")) for row in exported.rows]


def test_notes_keep_their_order_and_their_time(store: ResultsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    eid = begin(store)
    # A clock that was set back changes no order.
    times = iter(["2026-01-02T00:00:00.000+00:00", "2026-01-01T00:00:00.000+00:00", "2026-01-03T00:00:00.000+00:00"])
    monkeypatch.setattr("harness.store.notes.utc_now", lambda: next(times))
    written = [
        record_note(store, eid, 1, "  first, of two lines\nhere "),
        record_note(store, eid, 1, "second"),
        record_note(store, eid, 0, "of another trial"),
    ]
    assert [note.text for note in read_trial_notes(store, eid, 1)] == ["first, of two lines\nhere", "second"]
    assert read_notes(store, eid) == [written[2], written[0], written[1]]
    assert exported_notes(store, eid) == [
        [{"written_at": "2026-01-03T00:00:00.000+00:00", "text": "of another trial"}],
        [
            {"written_at": "2026-01-02T00:00:00.000+00:00", "text": "first, of two lines\nhere"},
            {"written_at": "2026-01-01T00:00:00.000+00:00", "text": "second"},
        ],
    ]


def test_a_note_is_taken_back_once_and_stays_on_record(store: ResultsStore) -> None:
    eid = begin(store)
    wrong, right = (record_note(store, eid, 1, text) for text in ("wrong", "right"))
    assert withdraw_note(store, eid, 1, wrong.note_id) == wrong
    assert read_notes(store, eid) == [right]
    assert [[note["text"] for note in notes] for notes in exported_notes(store, eid)] == [[], ["right"]]
    with pytest.raises(StoreError) as caught:
        withdraw_note(store, eid, 1, wrong.note_id)
    assert str(caught.value) == "note 1: not on trial 1 of experiment 1, or withdrawn before; expected one of [2]"
    with pytest.raises(StoreError, match=r"^note 2: not on trial 0 of experiment 1, or withdrawn before"):
        withdraw_note(store, eid, 0, right.note_id)
    (kept,) = store.query("SELECT text FROM trial_notes WHERE withdrawn_at IS NOT NULL")
    assert kept == {"text": "wrong"}


def test_a_trial_that_runs_again_keeps_its_notes(store: ResultsStore) -> None:
    eid = begin(store, num_trials=1)
    note = record_note(store, eid, 0, "ran out of memory beside the other search")
    store.finish_trial(1, TrialStatus.OUT_OF_MEMORY, message="no")
    store.start_trial(eid, 0, 1, {})
    assert read_trial_notes(store, eid, 0) == [note]
    assert [[found["text"] for found in notes] for notes in exported_notes(store, eid)] == [[note.text]] * 2


@pytest.mark.parametrize(
    ("eid", "trial_index", "text", "message"),
    [
        (1, 2, "x", "trial 2: experiment 1, 'fusion search', in 'PATH' has not begun it; expected a trial "
         "from 0 to 1"),
        (2, 0, "x", "trial 0: experiment 2, 'fusion search', in 'PATH' has not begun it; expected one that "
         "has begun, and none has"),
        (3, 0, "x", "experiment 3: not in 'PATH'; expected one of [1, 2]"),
        (1, 0, " \n ", "note on trial 0: the text is empty; expected at least one character"),
        (1, 0, "x" * 2001, f"note on trial 0: the text has 2001 characters; expected at most {MAX_CHARACTERS}"),
        (1, 0, "a\x1b[2J", "note on trial 0: the text has the character '\\x1b', which cannot be printed; expected "
         "printable text, with line breaks or without"),
        (1, 0, "a\udcff", "note on trial 0: the text has the character '\\udcff', which cannot be printed; expected "
         "printable text, with line breaks or without"),
    ],
    ids=["no such trial", "no trial", "no such experiment", "empty", "too long", "escape", "no Unicode"],
)  # fmt: skip
def test_a_note_that_cannot_be_kept_is_refused(
    store: ResultsStore, eid: int, trial_index: int, text: str, message: str
) -> None:
    begin(store)
    begin(store, num_trials=0)
    with pytest.raises(StoreError) as caught:
        record_note(store, eid, trial_index, text)
    assert str(caught.value) == message.replace("PATH", str(store.path))
    assert read_notes(store, 1) == []


def test_spaces_of_any_kind_joiners_and_the_line_ends_of_windows_are_printable(store: ResultsStore) -> None:
    """French and Persian texts, and one pasted from a file of Windows, were refused."""
    eid = begin(store)
    text = "5\u00a0% \u3000wide, \u0645\u06cc\u200c\u0634\u0648\u062f, \u0915\u094d\u200d"
    assert record_note(store, eid, 0, f"{text}\r\nnext").text == f"{text}\nnext"
    assert visible_lines(f"{text}\nnext") == f"{text}\nnext"


WRITES_ON = """
import sys
from pathlib import Path
from harness.store.notes import record_note
from harness.store.store import ResultsStore

with ResultsStore.open(Path(sys.argv[1])) as store:
    for number in range(100_000):
        record_note(store, 1, 0, f"note {number}")
        print(number, flush=True)
"""


def test_a_killed_writer_leaves_every_note_that_it_has_confirmed_while_the_search_goes_on(
    store: ResultsStore, results_path: Path
) -> None:
    eid = begin(store, num_trials=1)
    command = [sys.executable, "-c", WRITES_ON, str(results_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as writer:
        assert writer.stdout is not None
        confirmed = [writer.stdout.readline() for _ in range(3)]
        # The controller, meanwhile.
        trial_id = store.start_trial(eid, 1, 1, {})
        store.finish_trial(trial_id, TrialStatus.FINISHED, score=0.5)
        os.kill(writer.pid, signal.SIGKILL)
        confirmed += [line for line in writer.stdout if line.endswith("\n")]
    assert writer.returncode == -signal.SIGKILL
    texts = [note.text for note in read_notes(store, eid)]
    assert texts[: len(confirmed)] == [f"note {number}" for number in range(len(confirmed))]
    # At most the one that was committed and not confirmed.
    assert len(texts) - len(confirmed) in (0, 1)
    assert store.query("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert store.trial(trial_id).score == 0.5
