"""Values of results.db that somebody has changed by hand are refused in one sentence, whatever reads them."""

from collections.abc import Callable, Sequence

import pytest

from harness.errors import StoreError
from harness.store.export import ExportedRows, read_rows
from harness.store.notes import read_notes, record_note
from harness.store.pruning import Pruning, PruningRule, Rival, find_pruning, record_pruning
from harness.store.records import ScoreKind, TestScores
from harness.store.store import ResultsStore
from tests.store.experiments import a_result, an_environment, an_epoch, an_experiment, an_opening

SENTENCE = "results.db, {}: {}; expected what harness wrote; put the value back, or restore a copy of the file"


@pytest.fixture
def searched(store: ResultsStore) -> ResultsStore:
    """A store with one experiment, one trial of it with an epoch, and one test evaluation."""
    eid = store.create_experiment(an_experiment())
    trial_id = store.start_trial(eid, 0, 1, {"dropout": 0.5})
    store.record_environment(trial_id, an_environment())
    store.record_epoch(trial_id, an_epoch())
    record_pruning(store, trial_id, Pruning(PruningRule.MEDIAN, 3, 0.25, 0.5, (Rival(0, 0.5),)))
    store.record_result(trial_id, a_result())
    record_note(store, eid, 0, "of a trial that was changed by hand")
    opening_id = store.record_opening(an_opening(eid))
    store.record_test_scores(opening_id, TestScores(1, ScoreKind.VALIDATION_CHOSEN, 0.5, 0.5, 0.5))
    return store


def read_trials(store: ResultsStore) -> object:
    return store.trials(1)


@pytest.mark.parametrize(
    ("change", "read", "where", "what"),
    [
        (
            "UPDATE experiments SET protocol = '{'",
            lambda store: store.experiments(),
            "table 'experiments', row with eid 1",
            "protocol is '{' (line 1, column 2: ends too early; expected the rest of the JSON)",
        ),
        (
            "UPDATE experiments SET settings = 'null'",
            lambda store: store.experiments(),
            "table 'experiments', row with eid 1",
            "settings is 'null'; expected an object as JSON",
        ),
        (
            "UPDATE experiments SET status = 'done'",
            lambda store: store.experiments(),
            "table 'experiments', row with eid 1",
            "status is 'done'; expected one of ['running', 'finished', 'failed', 'interrupted']",
        ),
        (
            "UPDATE experiments SET name = x'ff00'",
            lambda store: store.experiments(),
            "table 'experiments', row with eid 1",
            r"name is b'\xff\x00'; expected a text",
        ),
        (
            "UPDATE trials SET hyperparameters = 'null'",
            read_trials,
            "table 'trials', row with trial_id 1",
            "hyperparameters is 'null'; expected an object as JSON",
        ),
        (
            "UPDATE trials SET hyperparameters = 'dropout'",
            lambda store: read_rows(store, ExportedRows.TRIALS, [1]),
            "table 'trials', row with trial_id 1",
            "hyperparameters is 'dropout' (line 1, column 1: found 'dropout'; expected a value: \"a text\", a number, "
            "true, false, null, [...] or {...})",
        ),
        (
            "UPDATE trials SET score = 'high'",
            read_trials,
            "table 'trials', row with trial_id 1",
            "score is 'high'; expected a number or null",
        ),
        (
            "UPDATE trials SET score = 9e999",
            read_trials,
            "table 'trials', row with trial_id 1",
            "score is inf; expected a number or null",
        ),
        (
            "UPDATE trials SET started_at = 'yesterday'",
            read_trials,
            "table 'trials', row with trial_id 1",
            "started_at is 'yesterday'; expected a time such as '2026-03-04T05:06:07.891+00:00'",
        ),
        (
            "UPDATE trials SET status = 'killed', ended_at = '2026-03-04 05:06'",
            read_trials,
            "table 'trials', row with trial_id 1",
            "ended_at is '2026-03-04 05:06'; expected a time such as '2026-03-04T05:06:07.891+00:00'",
        ),
        (
            "UPDATE experiments SET created_at = 'yesterday'",
            lambda store: store.experiment(1),
            "table 'experiments', row with eid 1",
            "created_at is 'yesterday'; expected a time such as '2026-03-04T05:06:07.891+00:00'",
        ),
        (
            "UPDATE experiments SET ended_at = '2026-03-04 05:06'",
            lambda store: store.experiment(1),
            "table 'experiments', row with eid 1",
            "ended_at is '2026-03-04 05:06'; expected a time such as '2026-03-04T05:06:07.891+00:00'",
        ),
        (
            "UPDATE trial_environments SET versions = '[]'",
            lambda store: store.environment(1),
            "table 'trial_environments', row with trial_id 1",
            "versions is '[]'; expected an object as JSON",
        ),
        (
            "UPDATE epochs SET validation_accuracy = 'x'",
            lambda store: store.epochs(1),
            "table 'epochs', row with trial_id 1",
            "validation_accuracy is 'x'; expected a number",
        ),
        (
            "UPDATE test_openings SET seeds = '1, 2'",
            lambda store: store.openings(),
            "table 'test_openings', row with opening_id 1",
            "seeds is '1, 2' (line 1, column 2: found ', 2'; expected nothing after the end of the JSON)",
        ),
        (
            "UPDATE test_scores SET macro_f1 = 'x'",
            lambda store: store.openings(),
            "a table of scores, row with seed 1",
            "macro_f1 is 'x'; expected a number",
        ),
        (
            "UPDATE validation_predictions SET probability_neu = 'x'",
            lambda store: store.validation_predictions(1),
            "a table of predictions, row with utterance_id Ses04F_impro04_M018",
            "probability_neu is 'x'; expected a number",
        ),
        (
            "UPDATE trial_notes SET text = x'ff00'",
            lambda store: read_notes(store, 1),
            "table 'trial_notes', row with note_id 1",
            r"text is b'\xff\x00'; expected a text",
        ),
        (
            "UPDATE prunings SET rule = 'mean'",
            lambda store: find_pruning(store, 1),
            "table 'prunings', row with trial_id 1",
            "rule is 'mean'; expected one of ['median', 'asha']",
        ),
        (
            "UPDATE prunings SET threshold = 'x'",
            lambda store: find_pruning(store, 1),
            "table 'prunings', row with trial_id 1",
            "threshold is 'x'; expected a number",
        ),
        (
            """UPDATE prunings SET rivals = '{"0": "x"}'""",
            lambda store: find_pruning(store, 1),
            "table 'prunings', row with trial_id 1",
            """rivals is '{"0": "x"}'; expected the numbers of trials, each with an accuracy""",
        ),
    ],
    ids=lambda value: value.replace("UPDATE ", "") if isinstance(value, str) and value.startswith("UPDATE") else "",
)
def test_a_value_that_was_changed_by_hand_is_named(
    searched: ResultsStore, change: str, read: Callable[[ResultsStore], Sequence[object]], where: str, what: str
) -> None:
    """Each ended in a traceback of json, of an enum or of a sort."""
    searched.database.execute(change)
    with pytest.raises(StoreError) as caught:
        read(searched)
    assert str(caught.value) == SENTENCE.format(where, what)


@pytest.mark.parametrize("table", ["experiments", "trials", "trial_environments", "test_openings", "epochs"])
def test_a_column_that_somebody_has_added_is_nobodys_business(searched: ResultsStore, table: str) -> None:
    searched.database.execute(f"ALTER TABLE {table} ADD COLUMN remark TEXT DEFAULT 'mine'")
    assert len(searched.experiments()) == len(searched.trials(1)) == len(searched.openings()) == 1
    assert searched.environment(1) == an_environment()
    assert searched.epochs(1) == [an_epoch()]
