from pathlib import Path

import pytest

from harness.report.tables import (
    tabulate_all_trials,
    tabulate_best_trials,
    tabulate_causes,
    tabulate_confusion,
    tabulate_failures,
    tabulate_notes,
    tabulate_search_space,
    tabulate_settings,
)
from harness.store.notes import record_note
from harness.store.records import TrialStatus
from harness.store.store import ResultsStore
from harness.wording import write_time
from tests.report.searches import (
    begin_search,
    begin_trial,
    fail_trial,
    findings_of,
    run_search,
    run_trial,
    with_trials,
)
from tests.store.experiments import an_experiment


def test_best_trials_are_listed_with_their_points(searched: Path) -> None:
    table = tabulate_best_trials(findings_of(searched), num_trials=2)
    assert table.title == "Best trials, by validation accuracy"
    assert table.columns == (
        "place",
        "trial",
        "accuracy",
        "epoch",
        "adamlr",
        "textlstm",
        "attention",
        "time",
        "peak memory",
    )
    assert table.rows == (
        ("1", "9", "75.0 %", "4 of 4", "0.0007943", "300", "pooling", "1 min 35 s", "1.1 GB"),
        ("2", "8", "72.2 %", "4 of 4", "0.0006473", "283", "decoder", "1 min 35 s", "1.1 GB"),
    )


def test_brief_table_leaves_out_what_a_narrow_terminal_has_no_room_for(searched: Path) -> None:
    table = tabulate_best_trials(findings_of(searched), num_trials=1, is_brief=True)
    assert table.columns == ("trial", "accuracy", "epoch", "adamlr", "textlstm", "attention", "time")
    assert table.rows == (("9", "75.0 %", "4 of 4", "0.000794", "300", "pooling", "1 min 35 s"),)


def test_brief_table_has_no_column_for_what_was_the_same_in_every_trial(searched: Path) -> None:
    space = [
        {"name": "finalfc", "range": [150, 350], "type": "int"},
        {"name": "batch_size", "range": [8], "type": "choice"},
    ]
    findings = with_trials(findings_of(searched), space, [{"finalfc": 200, "batch_size": 8}], [0.5])
    assert "batch_size" in tabulate_best_trials(findings, num_trials=1).columns
    brief = tabulate_best_trials(findings, num_trials=1, is_brief=True)
    assert "finalfc" in brief.columns and "batch_size" not in brief.columns
    assert tabulate_search_space(findings).rows[1][:3] == ("batch_size", "8", "8")


def test_scores_that_are_no_accuracies_are_not_written_in_per_cent(
    store: ResultsStore, results_path: Path
) -> None:
    eid = begin_search(store, target="min")
    trial_id = begin_trial(store, eid, 0, 1)
    store.finish_trial(trial_id, TrialStatus.FINISHED, score=17.25)
    table = tabulate_best_trials(findings_of(results_path), num_trials=1)
    assert table.title == "Best trials" and table.columns[2] == "score"
    assert table.rows[0][2] == "17.25"


def test_search_space_says_where_the_best_lie_and_what_the_score_follows(searched: Path) -> None:
    assert tabulate_search_space(findings_of(searched)).rows == (
        ("adamlr", "0.0001 to 0.001, log scale", "0.0007943", "0.0006473 to 0.0007943", "+1.00"),
        ("textlstm", "150 to 300", "300", "283 to 300", "+1.00"),
        ("attention", "decoder, pooling", "pooling", "pooling 1x, decoder 1x", ""),
    )


def test_few_trials_are_not_compared(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=3)
    rows = tabulate_search_space(findings_of(results_path)).rows
    assert [row[3] for row in rows] == ["too few trials"] * 3


def test_failures_are_counted_by_cause_and_listed_with_what_they_said(
    store: ResultsStore, results_path: Path
) -> None:
    eid = begin_search(store)
    fail_trial(store, eid, 0, TrialStatus.TIMED_OUT, "ran longer than 60 s")
    fail_trial(store, eid, 1, message="exit code 1")
    fail_trial(store, eid, 1, message="exit code 1 again")
    findings = findings_of(results_path)
    assert tabulate_causes(findings).rows == (("crashed", "2"), ("timed out", "1"))
    table = tabulate_failures(findings, num_failures=2)
    assert [row[:4] for row in table.rows] == [
        ("1", "2", "crashed", "exit code 1 again"),
        ("1", "1", "crashed", "exit code 1"),
    ]
    assert table.note == "The latest 2; 1 more are in results.db, view 'failures'."


def test_confusion_of_the_best_trial_counts_utterances(store: ResultsStore, results_path: Path) -> None:
    run_trial(store, begin_search(store), 0, 1, 0.75)
    table = tabulate_confusion(findings_of(results_path))
    assert table.columns == ("raters said", "anger", "excitement", "neutral", "sadness", "recall")
    assert table.rows == (
        ("anger", "3", "1", "0", "0", "75.0 %"),
        ("excitement", "0", "2", "1", "0", "66.7 %"),
        ("neutral", "0", "0", "8", "2", "80.0 %"),
        ("sadness", "1", "0", "0", "2", "66.7 %"),
    )
    assert table.note == "Mean recall (unweighted accuracy): 72.1 %."


def test_tables_of_a_search_that_has_just_begun_are_empty(store: ResultsStore, results_path: Path) -> None:
    begin_search(store)
    findings = findings_of(results_path)
    for table in (
        tabulate_best_trials(findings, 10),
        tabulate_causes(findings),
        tabulate_failures(findings, 10),
        tabulate_confusion(findings),
    ):
        assert table.rows == ()
    assert [row[1:] for row in tabulate_search_space(findings).rows[2:]] == [
        ("decoder, pooling", "", "too few trials", "")
    ]


@pytest.mark.parametrize(
    "what", ["system", "protocol", "corpus", "seed", "git revision", "versions", "protocol: split_rule"]
)
def test_settings_say_how_to_make_the_search_again(searched: Path, what: str) -> None:
    settings = dict(tabulate_settings(findings_of(searched)).rows)
    assert settings[what]


def test_settings_of_a_script_of_its_own_name_no_unknown_hash(store: ResultsStore, results_path: Path) -> None:
    """The page had ", hash " for its protocol, and ", content hash " for its corpus."""
    nothing = dict.fromkeys(("system", "protocol_name", "protocol_hash", "corpus_hash", "corpus_path"), "")
    store.create_experiment(an_experiment(**nothing, protocol="{}"))
    settings = dict(tabulate_settings(findings_of(results_path)).rows)
    assert (settings["protocol"], settings["corpus"]) == ("of its own script", "not known")
    assert "system" not in settings and all(settings.values())


def test_settings_of_a_quick_start_name_its_corpus(store: ResultsStore, results_path: Path) -> None:
    """The page had ", content hash ..." for it."""
    store.create_experiment(an_experiment(corpus_path="", corpus_hash="c0ffee", is_synthetic=True))
    settings = dict(tabulate_settings(findings_of(results_path)).rows)
    assert settings["corpus"] == "the synthetic one of a quick start, content hash c0ffee"


def test_every_trial_has_its_best_and_its_last_epoch(store: ResultsStore, results_path: Path) -> None:
    eid = begin_search(store)
    run_trial(store, eid, 0, 3, 0.6)
    begin_trial(store, eid, 1, 3, 0.5, num_epochs=2)
    begin_trial(store, eid, 2, 3)
    table = tabulate_all_trials(findings_of(results_path))
    assert [dict(zip(table.columns, row, strict=True)) for row in table.rows] == [
        {
            "trial": str(number),
            "status": status,
            "best accuracy": score,
            "best epoch": best,
            "last epoch": last,
            "its accuracy": accuracy,
            "adamlr": adamlr,
            "textlstm": textlstm,
            "attention": attention,
            "time": time,
            "peak memory": memory,
        }
        for number, (status, score, best, last, accuracy, adamlr, textlstm, attention, time, memory) in enumerate(
            [
                ("finished", "60.0 %", "4", "4", "60.0 %", "0.0001259", "150", "decoder", "1 min 35 s", "1.1 GB"),
                ("running", "", "", "2", "50.0 %", "0.0003162", "225", "pooling", "", ""),
                ("running", "", "", "", "", "0.0007943", "300", "decoder", "", ""),
            ]
        )
    ]


def test_a_note_is_shown_though_somebody_has_deleted_its_trials_row(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    with ResultsStore.open(path) as store:
        eid = run_search(store, num_trials=3)
        notes = [record_note(store, eid, trial_index, "seen") for trial_index in (0, 2)]
        # Nothing refers to it: what its own process recorded is deleted with it.
        store.database.execute("PRAGMA foreign_keys = OFF")
        store.database.execute("DELETE FROM trials WHERE trial_index = 2")
    kept, left = tabulate_notes(findings_of(path)).rows
    assert kept[:2] == ("0", "finished") and kept[2]
    assert left == ("2", "not known", "", "seen", write_time(notes[1].written_at))
