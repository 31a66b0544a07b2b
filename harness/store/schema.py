"""The tables and views of results.db, and its migrations.

Two writers meet in one trial: the controller owns the rows of ``trials``, the trial's own process
or, for a trial on another machine, the controller those of ``trial_environments``, ``epochs``,
``trial_results``, ``prunings`` and ``validation_predictions``. No row has two writers, so neither can overwrite
the other. Only people write ``trial_notes``.

The views are for people: results.db opened in any SQLite browser answers the usual questions.

sqlite-utils is imported without pandas, which it imports only to know the type of a timestamp: that saves a quarter
of a second.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache

_HIDES_PANDAS = "pandas" not in sys.modules
if _HIDES_PANDAS:
    # None makes an import fail as if the package were not there, and sqlite-utils allows for that.
    sys.modules["pandas"] = None  # type: ignore[assignment]
try:
    from sqlite_utils import Database, Migrations
    from sqlite_utils.db import quote_identifier
finally:
    if _HIDES_PANDAS:
        del sys.modules["pandas"]

__all__ = ["Database", "quote_identifier"]


#: Beside every score, so that one on the synthetic corpus is never taken for one on IEMOCAP.
_CORPUS = """CASE experiments.is_synthetic WHEN 1 THEN 'synthetic' ELSE
            CASE experiments.corpus_hash WHEN '' THEN 'unknown' ELSE substr(experiments.corpus_hash, 1, 8) END
            END AS corpus"""

#: Scores are comparable where corpus, purpose, protocol and target are the same.
_WHOSE = (
    f"experiments.eid, experiments.name AS experiment, {_CORPUS}, experiments.kind AS purpose, "
    "experiments.protocol_name, json_extract(experiments.protocol, '$.happiness') AS happiness, "
    "json_extract(experiments.protocol, '$.scenes') AS scenes"
)

VIEWS: Mapping[str, str] = {
    "experiments_overview": f"""
        SELECT {_WHOSE}, system, status, target,
            CASE target WHEN 'max' THEN max(score) ELSE min(score) END AS best_score,
            num_samples AS num_planned, count(trial_id) AS num_attempts,
            coalesce(sum(trials_status = 'finished'), 0) AS num_finished,
            coalesce(sum(trials_status = 'running'), 0) AS num_running,
            coalesce(sum(trials_status = 'pruned'), 0) AS num_pruned,
            coalesce(sum(trials_status NOT IN ('finished', 'running', 'pruned', 'stopped')), 0) AS num_failed,
            coalesce(sum(trials_status = 'stopped'), 0) AS num_stopped,
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
        WHERE trials.status NOT IN ('running', 'finished', 'pruned', 'stopped')
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
        SELECT experiments.kind AS command, system, protocol_name,
            json_extract(experiments.protocol, '$.happiness') AS happiness,
            json_extract(experiments.protocol, '$.scenes') AS scenes, trials.seed, trial_test_scores.kind, epoch,
            weighted_accuracy, unweighted_accuracy, macro_f1, is_synthetic, opening_id, trial_id, eid,
            experiments.name AS experiment
        FROM trial_test_scores JOIN trials USING (trial_id) JOIN experiments USING (eid)
        ORDER BY trial_id DESC, trial_test_scores.kind DESC
    """,
    "evaluation_results": """
        SELECT evaluation_id, evaluated_at, model, evaluations.system, evaluations.protocol_name,
            evaluations.corpus_path, CASE evaluations.is_synthetic WHEN 1 THEN 'synthetic' ELSE
            substr(evaluations.corpus_hash, 1, 8) END AS corpus, evaluations.is_synthetic, is_trained_on_synthetic,
            evaluation_scores.seed, evaluation_scores.kind, epoch, weighted_accuracy, unweighted_accuracy, macro_f1,
            eid, experiments.name AS experiment
        FROM evaluations
            JOIN evaluation_scores USING (evaluation_id)
            LEFT JOIN experiments USING (eid)
        ORDER BY evaluation_id DESC, evaluation_scores.kind DESC, evaluation_scores.seed
    """,
}


#: Marks a file as ours ("HARN"), so that a stranger's database is never migrated.
APPLICATION_ID = 0x4841524E

# The searches of one experiment of several folds name it; each fold has one search.
_EXPERIMENTS = """
CREATE TABLE folded_experiments (
    folded_id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    identity TEXT NOT NULL,
    folds TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE TABLE experiments (
    eid INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    identity TEXT NOT NULL,
    system TEXT NOT NULL,
    protocol_name TEXT NOT NULL,
    protocol_hash TEXT NOT NULL,
    protocol TEXT NOT NULL,
    corpus_hash TEXT NOT NULL,
    corpus_path TEXT NOT NULL,
    is_synthetic INTEGER NOT NULL CHECK (is_synthetic IN (0, 1)),
    seed INTEGER NOT NULL,
    num_samples INTEGER NOT NULL,
    max_epochs INTEGER NOT NULL,
    patience INTEGER,
    target TEXT NOT NULL CHECK (target IN ('max', 'min')),
    script TEXT NOT NULL,
    search_space TEXT NOT NULL,
    settings TEXT NOT NULL,
    shortened TEXT,
    created_at TEXT NOT NULL,
    ended_at TEXT,
    status TEXT NOT NULL,
    package_version TEXT NOT NULL,
    kind TEXT NOT NULL DEFAULT 'search' CHECK (kind IN ('search', 'tables', 'leaks', 'replication')),
    folded_id INTEGER REFERENCES folded_experiments (folded_id),
    fold TEXT,
    corpus_note TEXT,
    features_note TEXT,
    CHECK ((folded_id IS NULL) = (fold IS NULL))
);
CREATE UNIQUE INDEX one_search_a_fold ON experiments (folded_id, fold);
CREATE INDEX experiments_by_identity ON experiments (identity, eid);
"""

# At most one attempt of a trial index is running, finished or pruned: none is run twice, whoever asks.
_TRIALS = """
CREATE TABLE trials (
    trial_id INTEGER PRIMARY KEY AUTOINCREMENT,
    eid INTEGER NOT NULL REFERENCES experiments (eid),
    trial_index INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    jid INTEGER,
    hyperparameters TEXT NOT NULL,
    status TEXT NOT NULL,
    score REAL,
    message TEXT,
    exit_code INTEGER,
    signal INTEGER,
    last_output TEXT,
    pid INTEGER,
    host TEXT,
    process_started_at REAL,
    job_path TEXT,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    UNIQUE (eid, trial_index, attempt),
    CHECK (status <> 'finished' OR score IS NOT NULL),
    CHECK ((status = 'running') = (ended_at IS NULL))
);
CREATE UNIQUE INDEX one_live_attempt ON trials (eid, trial_index) WHERE status IN ('running', 'finished', 'pruned');
CREATE TABLE hyperparameters (trial_id INTEGER PRIMARY KEY REFERENCES trials (trial_id));
"""

_WRITTEN_BY_TRIALS = """
CREATE TABLE trial_environments (
    trial_id INTEGER PRIMARY KEY REFERENCES trials (trial_id),
    threads INTEGER NOT NULL,
    versions TEXT NOT NULL,
    git_revision TEXT,
    corpus_hash TEXT NOT NULL,
    protocol_hash TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    scene_groups TEXT NOT NULL,
    validated_scenes TEXT NOT NULL,
    recorded_at TEXT NOT NULL
);
CREATE TABLE epochs (
    trial_id INTEGER NOT NULL REFERENCES trials (trial_id),
    epoch INTEGER NOT NULL CHECK (epoch >= 1),
    train_loss REAL,
    train_accuracy REAL,
    train_unweighted_accuracy REAL,
    validation_loss REAL,
    validation_accuracy REAL,
    validation_unweighted_accuracy REAL,
    seconds REAL,
    recorded_at TEXT NOT NULL,
    PRIMARY KEY (trial_id, epoch)
) WITHOUT ROWID;
CREATE TABLE trial_results (
    trial_id INTEGER PRIMARY KEY REFERENCES trials (trial_id),
    score REAL NOT NULL,
    best_epoch INTEGER NOT NULL,
    num_epochs INTEGER NOT NULL,
    peak_memory_bytes INTEGER,
    duration_seconds REAL NOT NULL,
    embedding_source TEXT,
    temperature REAL,
    seed_scores TEXT NOT NULL DEFAULT '[]',
    recorded_at TEXT NOT NULL
);
CREATE TABLE prunings (
    trial_id INTEGER PRIMARY KEY REFERENCES trials (trial_id),
    rule TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    accuracy REAL NOT NULL,
    threshold REAL NOT NULL CHECK (accuracy < threshold),
    rivals TEXT NOT NULL,
    recorded_at TEXT NOT NULL
);
CREATE TABLE validation_predictions (
    trial_id INTEGER NOT NULL REFERENCES trials (trial_id),
    utterance_id TEXT NOT NULL,
    emotion TEXT NOT NULL,
    predicted TEXT NOT NULL,
    probability_ang REAL NOT NULL,
    probability_exc REAL NOT NULL,
    probability_neu REAL NOT NULL,
    probability_sad REAL NOT NULL,
    PRIMARY KEY (trial_id, utterance_id)
) WITHOUT ROWID;
"""

# A row of test_openings is written before the test session's files are touched.
_TEST_SET = """
CREATE TABLE final_models (
    model_id INTEGER PRIMARY KEY AUTOINCREMENT,
    eid INTEGER NOT NULL REFERENCES experiments (eid),
    trial_id INTEGER NOT NULL REFERENCES trials (trial_id),
    seed INTEGER NOT NULL,
    num_epochs INTEGER NOT NULL,
    path TEXT NOT NULL,
    duration_seconds REAL,
    created_at TEXT NOT NULL
);
CREATE TABLE test_openings (
    opening_id INTEGER PRIMARY KEY AUTOINCREMENT,
    eid INTEGER REFERENCES experiments (eid),
    opened_at TEXT NOT NULL,
    command TEXT NOT NULL,
    protocol TEXT NOT NULL,
    corpus_hash TEXT NOT NULL,
    seeds TEXT NOT NULL,
    host TEXT NOT NULL,
    user TEXT NOT NULL,
    completed_at TEXT
);
CREATE TABLE test_scores (
    opening_id INTEGER NOT NULL REFERENCES test_openings (opening_id),
    seed INTEGER NOT NULL,
    kind TEXT NOT NULL,
    epoch INTEGER,
    weighted_accuracy REAL NOT NULL,
    unweighted_accuracy REAL NOT NULL,
    macro_f1 REAL NOT NULL,
    recorded_at TEXT NOT NULL,
    model TEXT,
    PRIMARY KEY (opening_id, seed, kind)
);
CREATE TABLE test_predictions (
    opening_id INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    kind TEXT NOT NULL,
    utterance_id TEXT NOT NULL,
    emotion TEXT NOT NULL,
    predicted TEXT NOT NULL,
    probability_ang REAL NOT NULL,
    probability_exc REAL NOT NULL,
    probability_neu REAL NOT NULL,
    probability_sad REAL NOT NULL,
    PRIMARY KEY (opening_id, seed, kind, utterance_id),
    FOREIGN KEY (opening_id, seed, kind) REFERENCES test_scores (opening_id, seed, kind)
) WITHOUT ROWID;
CREATE TABLE test_utterances (
    opening_id INTEGER NOT NULL REFERENCES test_openings (opening_id),
    utterance_id TEXT NOT NULL,
    scene TEXT NOT NULL,
    is_transcript_seen INTEGER CHECK (is_transcript_seen IN (0, 1)),
    PRIMARY KEY (opening_id, utterance_id)
) WITHOUT ROWID;
"""

# One test evaluation scores many trials of `harness tables` or `harness leaks --test`, and a trial of theirs is
# trained on train + validation and scored in one go.
_TRIALS_ON_THE_TEST_SET = """
CREATE TABLE trial_test_scores (
    trial_id INTEGER NOT NULL REFERENCES trials (trial_id),
    kind TEXT NOT NULL,
    opening_id INTEGER NOT NULL REFERENCES test_openings (opening_id),
    epoch INTEGER,
    weighted_accuracy REAL NOT NULL,
    unweighted_accuracy REAL NOT NULL,
    macro_f1 REAL NOT NULL,
    recorded_at TEXT NOT NULL,
    PRIMARY KEY (trial_id, kind)
);
CREATE TABLE trial_test_predictions (
    trial_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    utterance_id TEXT NOT NULL,
    emotion TEXT NOT NULL,
    predicted TEXT NOT NULL,
    probability_ang REAL NOT NULL,
    probability_exc REAL NOT NULL,
    probability_neu REAL NOT NULL,
    probability_sad REAL NOT NULL,
    PRIMARY KEY (trial_id, kind, utterance_id),
    FOREIGN KEY (trial_id, kind) REFERENCES trial_test_scores (trial_id, kind)
) WITHOUT ROWID;
"""

# No test evaluation: nothing of the scored corpus had a part in the training, and none of its sessions is sealed here.
_OTHER_CORPORA = """
CREATE TABLE evaluations (
    evaluation_id INTEGER PRIMARY KEY AUTOINCREMENT,
    eid INTEGER REFERENCES experiments (eid),
    model TEXT NOT NULL,
    model_hash TEXT NOT NULL,
    system TEXT NOT NULL,
    protocol_name TEXT NOT NULL,
    trained_on_hash TEXT NOT NULL,
    is_trained_on_synthetic INTEGER NOT NULL CHECK (is_trained_on_synthetic IN (0, 1)),
    corpus_hash TEXT NOT NULL CHECK (corpus_hash <> trained_on_hash),
    corpus_path TEXT NOT NULL,
    is_synthetic INTEGER NOT NULL CHECK (is_synthetic IN (0, 1)),
    sessions TEXT NOT NULL,
    seeds TEXT NOT NULL,
    command TEXT NOT NULL,
    host TEXT NOT NULL,
    user TEXT NOT NULL,
    evaluated_at TEXT NOT NULL
);
CREATE TABLE evaluation_scores (
    evaluation_id INTEGER NOT NULL REFERENCES evaluations (evaluation_id),
    seed INTEGER NOT NULL,
    kind TEXT NOT NULL,
    epoch INTEGER,
    weighted_accuracy REAL NOT NULL,
    unweighted_accuracy REAL NOT NULL,
    macro_f1 REAL NOT NULL,
    PRIMARY KEY (evaluation_id, seed, kind)
);
CREATE TABLE evaluation_predictions (
    evaluation_id INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    kind TEXT NOT NULL,
    utterance_id TEXT NOT NULL,
    emotion TEXT NOT NULL,
    predicted TEXT NOT NULL,
    probability_ang REAL NOT NULL,
    probability_exc REAL NOT NULL,
    probability_neu REAL NOT NULL,
    probability_sad REAL NOT NULL,
    PRIMARY KEY (evaluation_id, seed, kind, utterance_id),
    FOREIGN KEY (evaluation_id, seed, kind) REFERENCES evaluation_scores (evaluation_id, seed, kind)
) WITHOUT ROWID;
CREATE TABLE evaluation_utterances (
    evaluation_id INTEGER NOT NULL REFERENCES evaluations (evaluation_id),
    utterance_id TEXT NOT NULL,
    is_transcript_seen INTEGER CHECK (is_transcript_seen IN (0, 1)),
    PRIMARY KEY (evaluation_id, utterance_id)
) WITHOUT ROWID;
"""

# On a trial, whichever attempt at it is the latest: a trial that runs again keeps its notes.
_NOTES = """
CREATE TABLE trial_notes (
    note_id INTEGER PRIMARY KEY AUTOINCREMENT,
    eid INTEGER NOT NULL REFERENCES experiments (eid),
    trial_index INTEGER NOT NULL,
    text TEXT NOT NULL CHECK (text <> ''),
    written_at TEXT NOT NULL,
    withdrawn_at TEXT
);
CREATE INDEX notes_by_trial ON trial_notes (eid, trial_index);
"""

#: Applied in order, each once; a released one is never edited. sqlite-utils records them in the database.
MIGRATIONS = Migrations("harness")


@MIGRATIONS(name="1: experiments, trials and test evaluations")
def create_schema(database: Database) -> None:
    """Create every table and view."""
    for statements in (_EXPERIMENTS, _TRIALS, _WRITTEN_BY_TRIALS, _TEST_SET, _TRIALS_ON_THE_TEST_SET, _OTHER_CORPORA):
        database.executescript(statements)
    create_views(database)


_ADDS_NOTES = "2: notes on trials"


@MIGRATIONS(name=_ADDS_NOTES)
def add_notes(database: Database) -> None:
    """Create the table of notes."""
    database.executescript(_NOTES)


def has_notes(database: Database) -> bool:
    """Return False where the schema is of before the table of notes, and nobody has written to it since."""
    return any(migration.name == _ADDS_NOTES for migration in MIGRATIONS.applied(database))


@cache
def migration_names() -> tuple[str, ...]:
    """Return the name of every migration, in order."""
    return tuple(migration.name for migration in MIGRATIONS.pending(Database(memory=True)))


def create_views(database: Database) -> None:
    """Create every view anew, as a migration that changes a table under one must."""
    for name, select in VIEWS.items():
        database.create_view(name, select, replace=True)
