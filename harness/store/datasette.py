"""metadata.json, with which Datasette shows titles, descriptions and units of results.db."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from harness.files import read_regular, write_then_rename
from harness.store.schema import MIGRATIONS, VIEWS, Database

METADATA_NAME = "metadata.json"
#: The first entry; a file that begins otherwise is somebody's own, and stays. Datasette ignores it.
_MARK = {"written by": "harness, for Datasette. To keep changes of your own, remove this line."}
_BEGINNING = json.dumps(_MARK, indent=2).removesuffix("\n}")

#: Many columns' descriptions need not push the rows off the screen.
_STYLE = "<style>.column-descriptions { columns: 22em } .column-descriptions dt { break-after: avoid }</style>"

SYNTHETIC_NOTE = (
    "Where is_synthetic is 1, or corpus says synthetic, the corpus was made by this package: no score there is a "
    "score on IEMOCAP."
)
_NO_RANKING = (
    "Scores of two experiments are comparable where corpus, protocol, target, purpose and split are the same; those of "
    "leaks and replications are further trainings of a search's best point, and no searches."
)


@dataclass(frozen=True)
class TableDescription:
    """The description of a table or view, in plain text.

    Attributes:
        facets: columns whose values are counted, each a link to the rows that have it
        is_hidden: whether a view says the same in a handier way
        label_column: what stands for a row where another table refers to it
    """

    title: str
    description: str
    facets: tuple[str, ...] = ()
    is_hidden: bool = False
    label_column: str = ""


TABLES: Mapping[str, TableDescription] = {
    "experiments_overview": TableDescription(
        "Experiments", f"Every experiment with its counts and its best score. {_NO_RANKING}",
        ("purpose", "corpus", "protocol_name", "status"),
    ),
    "trials_overview": TableDescription(
        "Trials", "Every attempt at every trial with its point, a column for each hyperparameter.",
        ("experiment", "eid", "corpus", "purpose", "status"),
    ),
    "best_trials": TableDescription(
        "Best trials", f"The finished trials of each experiment, best first. {_NO_RANKING}",
        ("experiment", "eid", "corpus", "purpose"),
    ),
    "learning_curves": TableDescription(
        "Learning curves", "Every epoch of every trial, also of those that still run.", ("experiment", "eid", "corpus")
    ),
    "failures": TableDescription(
        "Failures", "Every attempt that failed, latest first, with its cause.", ("experiment", "eid", "status")
    ),
    "validation_confusion": TableDescription(
        # No facets: to count them means to count every prediction of every trial.
        "Validation confusion", "What each trial took each class of the validation utterances for.",
    ),
    "test_results": TableDescription(
        "Test results", "Every test evaluation, latest first, and what the final models scored; one of `tables` or "
        "`leaks` has its scores in trial_test_results.", ("kind", "is_synthetic"),
    ),
    "trial_test_results": TableDescription(
        "Test results of tables and leaks", "What single trainings of `tables` and `leaks` scored on the test set.",
        ("command", "system", "kind", "is_synthetic"),
    ),
    "evaluation_results": TableDescription(
        "Results on other corpora", "What saved models scored on corpora that they were not trained on, latest first: "
        "no score of a test session.", ("corpus", "model", "kind", "is_synthetic"),
    ),
    "experiments": TableDescription(
        "Experiments, as recorded", "One search space on one split, or another series of trainings.",
        ("kind", "system", "protocol_name", "status"), label_column="name",
    ),
    "folded_experiments": TableDescription(
        "Experiments of several folds", "Each fold is an experiment, a search with a test set of its own.",
        label_column="name",
    ),
    "trials": TableDescription(
        "Trials, as recorded", "One row an attempt, written by the controller.", ("eid", "status")
    ),
    "hyperparameters": TableDescription(
        "Hyperparameters", "The point of each trial, a column for each.", is_hidden=True
    ),
    "trial_environments": TableDescription(
        "What trials ran in", "Written by each trial's own process before it trains.", is_hidden=True
    ),
    "epochs": TableDescription("Epochs, as recorded", "Written by each trial's own process.", is_hidden=True),
    "trial_results": TableDescription(
        "Results, as recorded", "Written by each trial's own process at its end.", is_hidden=True
    ),
    "prunings": TableDescription(
        "Why trials were pruned",
        "Rivals are accuracies by trial index; where a trial has several seeds, all accuracies are of the first seed.",
        ("rule",),
    ),
    "trial_notes": TableDescription("Notes on trials", "Written by people, with `harness note`."),
    "validation_predictions": TableDescription(
        "Validation predictions", "Of each trial's best epoch, one row an utterance.", ("emotion", "predicted")
    ),
    "final_models": TableDescription(
        "Final models", "Trained on train + validation with the best trial's point."
    ),
    "test_openings": TableDescription(
        "Test evaluations", "Each recorded before the test session's files are touched; none is ever removed.",
    ),
    "test_scores": TableDescription("Test scores, as recorded", "Of final models.", is_hidden=True),
    "test_predictions": TableDescription(
        "Test predictions", "Of final models, one row an utterance.", ("kind", "emotion", "predicted")
    ),
    "test_utterances": TableDescription(
        "Test utterances", "The utterances that each test evaluation scored, with their scenes.", is_hidden=True
    ),
    "trial_test_scores": TableDescription(
        "Test scores of tables and leaks, as recorded", "Of single trainings.", is_hidden=True
    ),
    "trial_test_predictions": TableDescription(
        "Test predictions of tables and leaks", "Of single trainings, one row an utterance.", is_hidden=True
    ),
    "evaluations": TableDescription(
        "Evaluations on other corpora", "A saved model on a corpus that it was not trained on; no test evaluation.",
    ),
    "evaluation_scores": TableDescription("Scores on other corpora, as recorded", "Of saved models.", is_hidden=True),
    "evaluation_predictions": TableDescription(
        "Predictions on other corpora", "Of saved models, one row an utterance.", ("kind", "emotion", "predicted")
    ),
    "evaluation_utterances": TableDescription(
        "Utterances of other corpora", "The utterances that each evaluation on another corpus scored.", is_hidden=True
    ),
}  # fmt: skip


#: What a column of this name holds, in whichever table or view; one that says itself is not here.
COLUMNS: Mapping[str, str] = {
    "eid": "Number of the experiment.",
    "experiment": "Name of the experiment; one started anew has the same name and another eid.",
    "corpus": "synthetic, or the first digits of the corpus's content hash.",
    "is_synthetic": "1 where the corpus was made by this package: no score there is a score on IEMOCAP.",
    "corpus_path": "Folder of the corpus, as it was given.",
    "corpus_hash": "SHA-256 over the corpus's files; empty for a script of its own.",
    "kind": "What the experiment's trials are for: search, tables, leaks or replication.",
    "folded_id": "Number of the experiment of several folds that this search is one of; empty for a whole one.",
    "fold": "The test set of this search, where it is one of several folds.",
    "folds": "The test sets of its searches, in order, as JSON.",
    "purpose": "What the experiment's trials are for: search, tables, leaks or replication.",
    "command": "The command of the test evaluation, or of the evaluation on another corpus.",
    "protocol": "The named choices, as JSON.",
    "protocol_name": "Which named choices: how data is split, what is fitted on what, who chooses the epoch.",
    "happiness": "Whether happiness is merged into excitement; scores of the two ways are not comparable.",
    "scenes": "Whether training may read the scenes that are scored: shared, or disjoint.",
    "protocol_hash": "Hash over every choice of the protocol.",
    "identity": "Hash of everything that changes the outcome.",
    "target": "Whether the highest or the lowest score is best.",
    "status": "How it stands; only finished trials have a score.",
    "corpus_note": "What a corpus of recordings is where it is not the complete IEMOCAP, or empty.",
    "features_note": "The files of a user's own features and the utterances that they lack, or empty.",
    "shortened": "How the search was cut short because no corpus was named, or empty.",
    "best_score": "Of the finished trials; for the package's own trials the best validation accuracy, from 0 to 1.",
    "score": "For the package's own trials the best validation accuracy over epochs, from 0 to 1.",
    "place": "Among the finished trials of the same experiment.",
    "num_planned": "Trials that the experiment file asks for.",
    "num_samples": "Trials that the experiment file asks for.",
    "num_attempts": "Attempts at trials, failed ones included.",
    "trial_id": "Number of the attempt in this database.",
    "trial_index": "Which point of the search, from 0; point and seed follow from it and the experiment's seed.",
    "attempt": "From 1; a trial that failed may be tried again.",
    "best_epoch": "The epoch, from 1, that validation chose.",
    "last_epoch": "The last epoch recorded so far.",
    "epoch": "From 1.",
    "duration_seconds": "Seconds of wall time.",
    "seconds": "Seconds of wall time of the epoch.",
    "peak_memory_mib": "Highest memory of the trial's process, in MiB.",
    "peak_memory_bytes": "Highest memory of the trial's process, in bytes.",
    "threads": "Processor threads of the trial.",
    "train_loss": "Nats; with dropout, as trained.",
    "validation_loss": "Nats.",
    "train_accuracy": "Share of the training utterances that are right, from 0 to 1.",
    "validation_accuracy": "Share of the validation utterances that are right, from 0 to 1.",
    "train_unweighted_accuracy": "Mean recall over the classes, from 0 to 1.",
    "validation_unweighted_accuracy": "Mean recall over the classes, from 0 to 1.",
    "weighted_accuracy": "Share of the scored utterances that are right, from 0 to 1.",
    "unweighted_accuracy": "Mean recall over the classes, from 0 to 1.",
    "model": "Folder of the saved model that was scored, from that of results.db; empty for one that is not saved.",
    "macro_f1": "Mean F1 over the classes, from 0 to 1.",
    "emotion": "What the raters said.",
    "predicted": "What the model said.",
    "num_utterances": "Utterances of that emotion that were taken for this one.",
    "probability_ang": "The model's probability of anger, from 0 to 1.",
    "probability_exc": "The model's probability of excitement, from 0 to 1.",
    "probability_neu": "The model's probability of neutral, from 0 to 1.",
    "probability_sad": "The model's probability of sadness, from 0 to 1.",
    "message": "Why it failed.",
    "note_id": "Number of the note; of two, the higher was written later.",
    "text": "The note.",
    "withdrawn_at": "When the note was taken back; empty for one that holds.",
    "exit_code": "Of the job's process.",
    "signal": "That ended the job's process, or empty.",
    "last_output": "The last that the job printed.",
    "temperature": "By which the model's log probabilities are divided, fitted on validation; empty where none is.",
    "seed_scores": "A JSON list with the score of each seed, whose mean is the trial's; empty for one seed.",
    "embedding_source": "How words became numbers, or where a recogniser's layers came from; empty without either.",
    "jid": "Auptimizer's own number of the job.",
    "opening_id": "Number of the test evaluation.",
    "completed_at": "When all of it was scored; empty where the command ended before.",
    "scene_groups": "Groups into which the split parts the scenes, as JSON; empty where scenes are shared.",
    "validated_scenes": "Scenes that validate and that training has not read, as JSON; empty where scenes are shared.",
    "scene": "The improvised scenario or script that is played; every session plays the same.",
    "evaluation_id": "Number of the evaluation on another corpus.",
    "evaluated_at": "When everything was scored.",
    "is_trained_on_synthetic": "1 where the corpus that the model was trained on was made by this package.",
    "trained_on_hash": "SHA-256 over the files of the corpus that the model was trained on.",
    "model_hash": "SHA-256 of the saved model's record.",
    "sessions": "Sessions of the corpus that were scored, as JSON.",
    "seeds": "Of the trainings that are scored, as JSON.",
    "is_transcript_seen": "1 where training has the same words; empty without a transcript.",
}
#: What a column holds in one table or view, where its name means something else there.
_COLUMNS_THERE: Mapping[str, Mapping[str, str]] = {
    table: {"kind": "Who chose the epoch that the score belongs to; an optimistic choice says so."}
    for table in (
        *("test_results", "trial_test_results", "test_scores", "test_predictions"),
        *("trial_test_scores", "trial_test_predictions"),
        *("evaluation_results", "evaluation_scores", "evaluation_predictions"),
    )
} | {
    "final_models": {"path": "Of the saved model, from the folder of results.db."},
    "folded_experiments": {"identity": "Everything that changes the outcome of its searches, as JSON."},
}


def write_metadata(database_path: Path, database: Database) -> bool:
    """Write metadata.json beside a results database, whole or not at all.

    `datasette FOLDER` reads it by itself, `datasette results.db` with ``--metadata``. A file of that name that
    this package did not write stays as it is.

    Args:
        database: opened, with its tables and views

    Returns:
        False where a file of the user's own stays

    Raises:
        OSError: it cannot be written
    """
    path = database_path.with_name(METADATA_NAME)
    if path.exists() and not read_regular(path).startswith(_BEGINNING.encode()):
        return False
    content = {**_MARK, **_describe(database_path.stem, database)}
    with write_then_rename(path) as stream:
        stream.write(f"{json.dumps(content, indent=2, ensure_ascii=False)}\n".encode())
    return True


def _describe(name: str, database: Database) -> dict[str, object]:
    tables: dict[str, dict[str, object]] = {
        table: {
            "title": said.title,
            "description_html": f"{escape(said.description)}{_STYLE}",
            "columns": _describe_columns(table, database),
            **({"facets": list(said.facets)} if said.facets else {}),
            **({"label_column": said.label_column} if said.label_column else {}),
            **({"hidden": True} if said.is_hidden else {}),
        }
        for table, said in TABLES.items()
    }
    tables |= {name: {"hidden": True} for name in ("sqlite_sequence", MIGRATIONS.migrations_table)}
    # Relative to the database's own page, so that they hold wherever Datasette is served.
    views = ", ".join(
        f'<a href="{quote(name)}/{view}">{said.title.lower()}</a>' for view, said in TABLES.items() if view in VIEWS
    )
    start = f"Begin with {views}. Times are UTC; accuracies are shares from 0 to 1. {SYNTHETIC_NOTE}"
    return {
        "title": "Trials of harness",
        "description": SYNTHETIC_NOTE,
        "databases": {name: {"title": "Results", "description_html": start, "tables": tables}},
    }


def _describe_columns(table: str, database: Database) -> dict[str, str]:
    known = {**COLUMNS, **_COLUMNS_THERE.get(table, {})}
    names = [str(row[1]) for row in database.execute(f"PRAGMA table_info({table})")]
    return {name: known[name] for name in names if name in known}
