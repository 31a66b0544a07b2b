"""The whole line as a user types it: synthetic corpus -> aup -> report -> retrain-best --test -> predict."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

REPOSITORY = Path(__file__).parents[1]
COMMANDS = Path(sys.executable).parent

#: Records every file that any process of the line opens.
OPENED = """
import os, sys
def record(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path = os.fsdecode(arguments[0])
        if "Session" in path:
            with os.fdopen(os.open(os.environ["OPENED_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT), "w") as log:
                log.write(path + "\\n")
sys.addaudithook(record)
"""


def type_command(folder, *words, **variables):
    """Run what a user types; returns the finished process, whose output is text."""
    return subprocess.run(
        [str(COMMANDS / words[0]), *words[1:]],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def succeed(folder, *words, **variables):
    done = type_command(folder, *words, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(folder, query):
    with sqlite3.connect(folder / "results" / "results.db") as database:
        return database.execute(query).fetchall()


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """A folder with a space and a quote in which the search has run, and the log of what it opened of Session 5."""
    folder = tmp_path_factory.mktemp("a user's line")
    succeed(folder, "harness", "init", "experiment")
    folder /= "experiment"
    succeed(folder, "harness", "synth", "the corpus", "--scale", "0.03")
    path = folder / "experiment.json"
    settings = json.loads(path.read_text())
    settings |= {"corpus": "the corpus", "n_samples": 2, "n_parallel": 2, "max_epochs": 2}
    path.write_text(json.dumps(settings))
    succeed(folder, "harness", "prepare", "the corpus")
    hook = folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(OPENED)
    log = folder / "opened.log"
    succeed(folder, "aup", "experiment.json")
    log.unlink(missing_ok=True)
    settings["n_samples"] = 3
    path.write_text(json.dumps(settings))
    succeed(folder, "aup", "experiment.json", PYTHONPATH=str(hook), OPENED_LOG=str(log))
    return folder


def test_every_trial_is_recorded_with_its_epochs_and_its_point(line):
    trials = rows(line, "SELECT trial_index, status, score, seed FROM trials ORDER BY trial_index")
    assert [trial[:2] for trial in trials] == [(0, "finished"), (1, "finished"), (2, "finished")]
    assert len({trial[3] for trial in trials}) == 3
    assert all(0 <= trial[2] <= 1 for trial in trials)
    assert rows(line, "SELECT trial_id, count(*) FROM epochs GROUP BY trial_id") == [(1, 2), (2, 2), (3, 2)]
    [(textlstm, kind)] = rows(line, "SELECT textlstm, typeof(textlstm) FROM hyperparameters LIMIT 1")
    assert 150 <= textlstm <= 300 and kind == "integer"


def test_the_score_is_the_best_validation_epoch(line):
    scores = dict(rows(line, "SELECT trial_id, score FROM trials"))
    best = dict(rows(line, "SELECT trial_id, max(validation_accuracy) FROM epochs GROUP BY trial_id"))
    assert scores == best


def test_a_search_opens_no_file_of_the_test_session(line):
    opened = (line / "opened.log").read_text()
    assert "Session4" in opened, "the hook that records what is opened was not there"
    assert "Session5" not in opened
    assert rows(line, "SELECT count(*) FROM test_openings") == [(0,)]


def test_the_report_is_one_page_that_needs_no_network(line):
    printed = succeed(line, "harness", "report", "results/")
    assert "synthetic" in printed
    [page] = (line / "results").glob("*.html")
    text = page.read_text("utf-8")
    assert "no score on it is a score on IEMOCAP" in text
    assert 'src="http' not in text and 'href="http' not in text.split("<body")[0]


@pytest.fixture(scope="module")
def models(line):
    """The final models, trained while the test session's files are not there to be opened."""
    sealed = [*(line / "results" / "prepared").rglob("Session5"), line / "the corpus" / "Session5"]
    assert len(sealed) == 2
    for folder in sealed:
        folder.rename(folder.with_name("away"))
    try:
        printed = succeed(line, "harness", "retrain-best", "--seeds", "2")
    finally:
        for folder in sealed:
            folder.with_name("away").rename(folder)
    assert rows(line, "SELECT count(*) FROM test_openings") == [(0,)]
    [folder] = (line / "results" / "models").iterdir()
    return folder, printed


def test_retraining_without_test_opens_no_file_of_the_test_session(models):
    folder, printed = models
    assert (folder / "MODEL_CARD.md").read_text("utf-8").count("has never been scored") == 1
    assert len(list(folder.glob("seed-*/model.keras"))) == 2
    assert "This corpus is synthetic" in printed


def test_the_test_session_is_scored_once_per_seed_and_every_opening_is_shown_for_ever(line, models):
    before = sorted(path.stat().st_mtime_ns for path in models[0].glob("seed-*/model.keras"))
    printed = succeed(line, "harness", "retrain-best", "--test", "--seeds", "2")
    assert "Every test evaluation" not in printed
    assert sorted(path.stat().st_mtime_ns for path in models[0].glob("seed-*/model.keras")) == before
    assert rows(line, "SELECT command, completed_at IS NOT NULL FROM test_openings") == [
        ("harness retrain-best --test --seeds 2", 1)
    ]
    scores = rows(line, "SELECT kind, weighted_accuracy, unweighted_accuracy, macro_f1 FROM test_scores")
    assert [kind for kind, *_ in scores].count("validation-chosen epoch") == 2
    assert len({kind for kind, *_ in scores if kind.startswith("baseline: ")}) == 5
    assert all(0 <= value <= 1 for _, *values in scores for value in values)
    [(num_utterances, num_known)] = rows(line, "SELECT count(*), count(is_transcript_seen) FROM test_utterances")
    assert num_utterances >= num_known > 0
    details = succeed(line, "harness", "retrain-best", "--seeds", "2", "--details")
    assert "Every test evaluation" in details
    for title in ("by class", "by group", "confusion", "against baselines", "calibration", "reliability"):
        assert f"Test set: {title}" in details
    assert rows(line, "SELECT count(*) FROM test_openings") == [(1,)]
    assert "harness retrain-best --test --seeds 2" in succeed(line, "harness", "report", "results/")
    assert "weighted accuracy" in (models[0] / "MODEL_CARD.md").read_text("utf-8")


def test_a_saved_model_classifies_one_recording(line, models):
    wav = next((line / "the corpus").glob("Session1/sentences/wav/*/Ses01*.wav"))
    face = next((line / "the corpus").glob("Session1/dialog/MOCAP_rotated/Ses01*.txt"))
    words = ["harness", "predict", str(models[0]), str(wav), "--text", "oh no", "--mocap", str(face), "--json"]
    probabilities = json.loads(succeed(line, *words))
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert list(probabilities) == ["ang", "exc", "neu", "sad"]


def test_a_saved_model_is_scored_on_another_corpus_and_no_test_evaluation_is_counted(line, models):
    before = rows(line, "SELECT count(*) FROM test_openings")
    succeed(line, "harness", "synth", "another corpus", "--scale", "0.03", "--seed", "5")
    printed = succeed(line, "harness", "evaluate", str(models[0]), "another corpus")
    words = " ".join(printed.split())
    assert "This is not a test score." in words and "synthetic" in words
    assert rows(line, "SELECT count(*) FROM test_openings") == before
    assert rows(line, "SELECT eid, is_synthetic, sessions FROM evaluations") == [(1, 1, "[1, 2, 3, 4, 5]")]
    scores = rows(line, "SELECT kind, weighted_accuracy FROM evaluation_scores")
    assert [kind for kind, _ in scores].count("validation-chosen epoch") == 2 and len({kind for kind, _ in scores}) == 6
    # The words of an emotion are the same in every synthetic corpus: what is learnt of one holds in another.
    accuracies = dict(scores)
    assert accuracies["baseline: TF-IDF, logistic regression"] > accuracies["baseline: majority class"]
    assert "On other corpora" in succeed(line, "harness", "report", "results/")
    assert "'another corpus'" in (models[0] / "MODEL_CARD.md").read_text("utf-8")
    refused = type_command(line, "harness", "evaluate", str(models[0]), "the corpus")
    assert refused.returncode == 2 and "is the corpus that the model was trained on" in refused.stderr


def test_predict_asks_for_the_modality_that_is_missing(line, models):
    wav = next((line / "the corpus").glob("Session1/sentences/wav/*/Ses01*.wav"))
    done = type_command(line, "harness", "predict", str(models[0]), str(wav), "--text", "oh no")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: model {str(models[0])!r}: was trained with mocap, speech, text, and mocap is missing; "
        "expected a motion file as --mocap too\n"
    )


def test_the_same_point_and_seed_give_the_same_numbers(line, tmp_path):
    """The first trial's job, run again in a results folder of its own, repeats its epochs to the last bit."""
    columns = "epoch, train_loss, validation_loss, validation_accuracy"
    before = rows(line, f"SELECT {columns} FROM epochs WHERE trial_id = 1")
    [(job_path,)] = rows(line, "SELECT job_path FROM trials WHERE trial_id = 1")
    (tmp_path / "results").mkdir()
    database = tmp_path / "results" / "results.db"
    with sqlite3.connect(line / "results" / "results.db") as source, sqlite3.connect(database) as copy:
        source.backup(copy)
        for table in ("epochs", "trial_environments", "trial_results", "validation_predictions"):
            copy.execute(f"DELETE FROM {table} WHERE trial_id = 1")
        copy.execute("UPDATE trials SET status = 'running', ended_at = NULL, score = NULL WHERE trial_id = 1")
    job = line / "results" / job_path
    shutil.copy(job, tmp_path / "1.json")
    spec = json.loads(job.with_name(f"{job.stem}.trial.json").read_text())
    places = {"results_db": str(database), "prepared_dir": str(job.parent / spec["prepared_dir"])}
    (tmp_path / "1.trial.json").write_text(json.dumps({**spec, **places}))
    done = subprocess.run(
        [sys.executable, str(line / "jobs" / "trial.py"), str(tmp_path / "1.json")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("#Auptimizer:") == 1
    assert rows(tmp_path, f"SELECT {columns} FROM epochs WHERE trial_id = 1") == before


@pytest.mark.thorough
def test_a_fusion_does_without_motion_once_its_last_layers_are_retrained(line, models):
    printed = succeed(line, "harness", "retrain-best", "--seeds", "1", "--without", "mocap")
    for way in ("fusion layers retrained", "all retrained", "zeros in place of a modality"):
        assert way in printed
    [folder] = (line / "results" / "models").glob("*-without-mocap")
    wav = next((line / "the corpus").glob("Session1/sentences/wav/*/Ses01*.wav"))
    probabilities = json.loads(succeed(line, "harness", "predict", str(folder), str(wav), "--text", "oh", "--json"))
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)
