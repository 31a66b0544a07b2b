"""Views for people: results.db opened in any SQLite browser answers the usual questions."""

from __future__ import annotations

from collections.abc import Mapping

from harness.store.database import Database

#: Beside every score, so that one on the synthetic corpus is never taken for one on IEMOCAP.
_CORPUS = """CASE experiments.is_synthetic WHEN 1 THEN 'synthetic' ELSE
            CASE experiments.corpus_hash WHEN '' THEN 'unknown' ELSE substr(experiments.corpus_hash, 1, 8) END
            END AS corpus"""

#: Scores are comparable where corpus, purpose, protocol and target are the same.
_WHOSE = (
    f"experiments.eid, experiments.name AS experiment, {_CORPUS}, experiments.kind AS purpose, "
    "experiments.protocol_name"
)

VIEWS: Mapping[str, str] = {
    "experiments_overview": f"""
        SELECT {_WHOSE}, system, status, target,
            CASE target WHEN 'max' THEN max(score) ELSE min(score) END AS best_score,
            num_samples AS num_planned, count(trial_id) AS num_attempts,
            coalesce(sum(trials_status = 'finished'), 0) AS num_finished,
            coalesce(sum(trials_status = 'running'), 0) AS num_running,
            coalesce(sum(trials_status NOT IN ('finished', 'running')), 0) AS num_failed,
            shortened, created_at, ended_at
        FROM experiments LEFT JOIN
            (SELECT eid, trial_id, status AS trials_status, score FROM trials) USING (eid)
        GROUP BY eid
        ORDER BY eid DESC
    """,
    "trials_overview": f"""
        SELECT {_WHOSE}, trials.trial_index, trials.attempt, trials.status, trials.score,
            trial_results.best_epoch,
            (SELECT max(epochs.epoch) FROM epochs WHERE epochs.trial_id = trials.trial_id) AS last_epoch,
            round(trial_results.duration_seconds, 1) AS duration_seconds,
            round(trial_results.peak_memory_bytes / 1048576.0) AS peak_memory_mib,
            hyperparameters.*, trials.message, trials.started_at, trials.ended_at
        FROM trials
            JOIN experiments ON experiments.eid = trials.eid
            JOIN hyperparameters ON hyperparameters.trial_id = trials.trial_id
            LEFT JOIN trial_results ON trial_results.trial_id = trials.trial_id
        ORDER BY trials.eid DESC, trials.trial_index, trials.attempt
    """,
    "best_trials": f"""
        SELECT {_WHOSE}, row_number() OVER (PARTITION BY trials.eid ORDER BY
                CASE target WHEN 'max' THEN -trials.score ELSE trials.score END, trials.trial_index) AS place,
            trials.trial_index, trials.score, trial_results.best_epoch,
            round(trial_results.duration_seconds, 1) AS duration_seconds,
            hyperparameters.*
        FROM trials
            JOIN experiments ON experiments.eid = trials.eid
            JOIN hyperparameters ON hyperparameters.trial_id = trials.trial_id
            LEFT JOIN trial_results ON trial_results.trial_id = trials.trial_id
        WHERE trials.status = 'finished'
        ORDER BY trials.eid DESC, place
    """,
    "learning_curves": f"""
        SELECT {_WHOSE}, trials.trial_index, trials.attempt, epochs.epoch,
            train_loss, validation_loss, train_accuracy, validation_accuracy,
            train_unweighted_accuracy, validation_unweighted_accuracy, seconds, epochs.trial_id
        FROM epochs
            JOIN trials ON trials.trial_id = epochs.trial_id
            JOIN experiments ON experiments.eid = trials.eid
        ORDER BY epochs.trial_id DESC, epochs.epoch
    """,
    "failures": """
        SELECT eid, experiments.name AS experiment, trial_index, attempt, trials.status, message, exit_code, signal,
            started_at, trials.ended_at, last_output, trial_id
        FROM trials JOIN experiments USING (eid)
        WHERE trials.status NOT IN ('running', 'finished')
        ORDER BY trial_id DESC
    """,
    "validation_confusion": f"""
        SELECT {_WHOSE}, trials.trial_index, counted.emotion, counted.predicted, counted.num_utterances,
            counted.trial_id
        FROM (
                SELECT trial_id, emotion, predicted, count(*) AS num_utterances
                FROM validation_predictions
                GROUP BY trial_id, emotion, predicted
            ) AS counted
            JOIN trials ON trials.trial_id = counted.trial_id
            JOIN experiments ON experiments.eid = trials.eid
    """,
    "test_results": """
        SELECT opening_id, opened_at, command, test_openings.protocol, test_scores.seed, test_scores.kind, epoch,
            weighted_accuracy, unweighted_accuracy, macro_f1, model,
            (SELECT max(is_synthetic) FROM experiments WHERE experiments.eid = test_openings.eid OR
                (test_openings.eid IS NULL AND experiments.corpus_hash = test_openings.corpus_hash)) AS is_synthetic,
            completed_at, eid, experiments.name AS experiment
        FROM test_openings
            LEFT JOIN test_scores USING (opening_id)
            LEFT JOIN experiments USING (eid)
        ORDER BY opening_id DESC, test_scores.seed, test_scores.kind
    """,
    "trial_test_results": """
        SELECT experiments.kind AS command, system, protocol_name, trials.seed, trial_test_scores.kind, epoch,
            weighted_accuracy, unweighted_accuracy, macro_f1, is_synthetic, opening_id, trial_id, eid,
            experiments.name AS experiment
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
