"""The tables of results.db, as numbered migrations that are never edited once released.

Two writers meet in one trial: the controller owns the rows of ``trials``, the trial's own process
those of ``trial_environments``, ``epochs``, ``trial_results`` and ``validation_predictions``. No
row has two writers, so neither can overwrite the other.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.store.database import Database
from harness.store.views import create_views, drop_views

#: Marks a file as ours ("HARN"), so that a stranger's database is never migrated.
APPLICATION_ID = 0x4841524E

_EXPERIMENTS = """
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
    package_version TEXT NOT NULL
);
CREATE INDEX experiments_by_identity ON experiments (identity, eid);
"""

# At most one attempt of a trial index is running or finished: none is run twice, whoever asks.
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
CREATE UNIQUE INDEX one_live_attempt ON trials (eid, trial_index) WHERE status IN ('running', 'finished');
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
"""


# One opening of the test set scores many trials of `harness tables` or `harness leaks --test`, and a trial
# of theirs is trained on train + validation and scored in one go.
_TRIALS_ON_THE_TEST_SET = """
ALTER TABLE experiments ADD COLUMN kind TEXT NOT NULL DEFAULT 'search'
    CHECK (kind IN ('search', 'tables', 'leaks'));
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

# SQLite cannot change a column's CHECK: the column is made anew. What of the test set's utterances no id tells
# stands with each opening; without a transcript, whether it was seen in training is NULL.
_REPLICATIONS_AND_TEST_UTTERANCES = """
ALTER TABLE experiments ADD COLUMN purpose TEXT NOT NULL DEFAULT 'search'
    CHECK (purpose IN ('search', 'tables', 'leaks', 'replication'));
UPDATE experiments SET purpose = kind;
ALTER TABLE experiments DROP COLUMN kind;
ALTER TABLE experiments RENAME COLUMN purpose TO kind;
CREATE TABLE test_utterances (
    opening_id INTEGER NOT NULL REFERENCES test_openings (opening_id),
    utterance_id TEXT NOT NULL,
    is_transcript_seen INTEGER CHECK (is_transcript_seen IN (0, 1)),
    PRIMARY KEY (opening_id, utterance_id)
) WITHOUT ROWID;
"""

# An experiment's point may be saved in several folders: each fitted in another way, or without a modality.
_MODELS_OF_TEST_SCORES = """
ALTER TABLE test_scores ADD COLUMN model TEXT;
"""


def create_first_schema(database: Database) -> None:
    """Version 1: experiments, trials and what they wrote, final models, and the test set's openings."""
    for statements in (_EXPERIMENTS, _TRIALS, _WRITTEN_BY_TRIALS, _TEST_SET):
        database.executescript(statements)
    create_views(database)


def add_trials_on_the_test_set(database: Database) -> None:
    """Version 2: what an experiment is for, and what single trials scored on the test set."""
    database.executescript(_TRIALS_ON_THE_TEST_SET)
    create_views(database)


def name_columns_by_table(database: Database) -> None:
    """Version 3: a hyperparameter may be called as a column of another table is, and every view still opens."""
    create_views(database)


def add_replications_and_test_utterances(database: Database) -> None:
    """Version 4: new seeds of a best trial are an experiment, and which test transcripts training has seen."""
    drop_views(database)
    database.executescript(_REPLICATIONS_AND_TEST_UTTERANCES)
    create_views(database)


def name_experiments_in_views(database: Database) -> None:
    """Version 5: every view says whose trials it shows, and on which corpus; learning curves have one."""
    create_views(database)


def name_models_of_test_scores(database: Database) -> None:
    """Version 6: a score on the test set names the saved model that it is of."""
    drop_views(database)
    database.executescript(_MODELS_OF_TEST_SCORES)
    create_views(database)


#: Migration *n* (from 1) brings a database from version n - 1 to version n.
MIGRATIONS: tuple[Callable[[Database], None], ...] = (
    create_first_schema,
    add_trials_on_the_test_set,
    name_columns_by_table,
    add_replications_and_test_utterances,
    name_experiments_in_views,
    name_models_of_test_scores,
)

SCHEMA_VERSION = len(MIGRATIONS)
