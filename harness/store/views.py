"""Views for people: results.db opened in any SQLite browser answers the usual questions."""

from __future__ import annotations

from collections.abc import Mapping

from harness.store.database import Database

VIEWS: Mapping[str, str] = {
    "experiments_overview": """
        SELECT eid, kind, name, system, protocol_name, status, created_at,
            count(trial_id) AS num_trials,
            coalesce(sum(trials_status = 'finished'), 0) AS num_finished,
            coalesce(sum(trials_status = 'running'), 0) AS num_running,
            coalesce(sum(trials_status NOT IN ('finished', 'running')), 0) AS num_failed,
            CASE target WHEN 'max' THEN max(score) ELSE min(score) END AS best_score,
            is_synthetic, shortened
        FROM experiments LEFT JOIN
            (SELECT eid, trial_id, status AS trials_status, score FROM trials) USING (eid)
        GROUP BY eid
        ORDER BY eid DESC
    """,
    "trials_overview": """
        SELECT trials.eid, trials.trial_index, trials.attempt, trials.status, trials.score,
            trial_results.best_epoch,
            (SELECT max(epochs.epoch) FROM epochs WHERE epochs.trial_id = trials.trial_id) AS last_epoch,
            trial_results.duration_seconds,
            round(trial_results.peak_memory_bytes / 1048576.0) AS peak_memory_mib,
            trials.message, trials.started_at, trials.ended_at, hyperparameters.*
        FROM trials
            JOIN hyperparameters USING (trial_id)
            LEFT JOIN trial_results ON trial_results.trial_id = trials.trial_id
        ORDER BY trials.eid DESC, trials.trial_index, trials.attempt
    """,
    "best_trials": """
        SELECT eid, row_number() OVER (PARTITION BY eid ORDER BY
                CASE target WHEN 'max' THEN -trials.score ELSE trials.score END, trial_index) AS place,
            trial_index, trials.score, best_epoch, trials.hyperparameters, trial_id
        FROM trials JOIN experiments USING (eid) LEFT JOIN trial_results USING (trial_id)
        WHERE trials.status = 'finished'
        ORDER BY eid DESC, place
    """,
    "failures": """
        SELECT eid, trial_index, attempt, status, message, exit_code, signal, started_at, ended_at,
            last_output, trial_id
        FROM trials
        WHERE status NOT IN ('running', 'finished')
        ORDER BY trial_id DESC
    """,
    "validation_confusion": """
        SELECT trial_id, emotion, predicted, count(*) AS num_utterances
        FROM validation_predictions
        GROUP BY trial_id, emotion, predicted
    """,
    "test_results": """
        SELECT opening_id, opened_at, command, test_openings.protocol, test_scores.seed, test_scores.kind, epoch,
            weighted_accuracy, unweighted_accuracy, macro_f1, is_synthetic, completed_at, eid
        FROM test_openings
            LEFT JOIN test_scores USING (opening_id)
            LEFT JOIN experiments USING (eid)
        ORDER BY opening_id DESC, test_scores.seed, test_scores.kind
    """,
    "trial_test_results": """
        SELECT experiments.kind AS command, system, protocol_name, trials.seed, trial_test_scores.kind, epoch,
            weighted_accuracy, unweighted_accuracy, macro_f1, is_synthetic, opening_id, trial_id, eid
        FROM trial_test_scores JOIN trials USING (trial_id) JOIN experiments USING (eid)
        ORDER BY trial_id DESC, trial_test_scores.kind DESC
    """,
}


def drop_views(database: Database) -> None:
    """Drop every view, as a migration that renames a column must: SQLite checks all of them then."""
    for name in database.view_names():
        database.execute(f"DROP VIEW {name}")


def create_views(database: Database) -> None:
    """Create every view anew, as a migration that changes a table under one must."""
    for name, select in VIEWS.items():
        database.create_view(name, select, replace=True)
