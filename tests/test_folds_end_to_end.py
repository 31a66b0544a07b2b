"""Five folds as a user types them: killed in the third, resumed, and each session scored exactly once."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from harness.corpus.synthetic import SyntheticSettings, write_synthetic
from harness.corpus.utterances import parse_utterance_id
from tests.cli.commands import type_command
from tests.search.searches import (
    REPOSITORY,
    environment,
    kill,
    num_running,
    start_aup,
    trials_of,
    wait_until,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

SESSIONS = [1, 2, 3, 4, 5]
#: Says of each prepared file which session is opened by whom, the trials of a search among them.
OPENED = """
import os, sys
def record(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)) and "prepared" in os.fsdecode(arguments[0]):
        line = "\\t".join([*sys.argv[1:2], os.fsdecode(arguments[0])]) + "\\n"
        with os.fdopen(os.open(os.environ["OPENED_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT), "w") as log:
            log.write(line)
sys.addaudithook(record)
"""


def rows(folder: Path, query: str) -> list[tuple]:
    with sqlite3.connect(folder / "results" / "results.db") as database:
        return database.execute(query).fetchall()


def printed_by(folder: Path, *words: str) -> str:
    done = type_command(folder, *words, columns=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> Path:
    """A folder in which `aup` was killed in the third fold, and resumed."""
    folder = tmp_path_factory.mktemp("five folds")
    write_synthetic(folder / "a corpus", SyntheticSettings(scale=0.02, mocap_rate=5))
    settings = {
        "name": "head", "system": "head2", "corpus": "a corpus", "script": "trial.py", "resource": "cpu",
        "proposer": "random", "n_samples": 1, "n_parallel": 1, "random_seed": 3, "target": "max", "max_epochs": 1,
        "folds": "sessions", "parameter_config": [{"name": "learning_rate", "range": [0.001, 0.01], "type": "float"}],
    }  # fmt: skip
    (folder / "experiment.json").write_text(json.dumps(settings))
    (folder / "trial.py").write_bytes((REPOSITORY / "jobs" / "trial.py").read_bytes())
    hook = folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(OPENED)
    paths = os.pathsep.join([str(hook), str(REPOSITORY)])
    watched = environment() | {"PYTHONPATH": paths, "OPENED_LOG": str(folder / "opened.log")}
    path = folder / "experiment.json"
    controller = start_aup(path, cwd=folder, env=watched)

    try:
        wait_until(lambda: num_running(path) > 0 and trials_of(path)[0].eid == 3, seconds=3000)
    finally:
        kill(controller)
    command = [sys.executable, "-c", "from harness.cli.aup import main; main()", "experiment.json"]
    done = subprocess.run(command, cwd=folder, env=watched, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "resumed.txt").write_text(done.stdout)
    return folder


def test_the_resumed_search_ends_with_a_line_for_each_fold_and_no_trial_lost_or_repeated(searched):
    lines = (searched / "resumed.txt").read_text().splitlines()
    assert lines[-3:] == ["Next:", "  harness report results", "  harness retrain-best"]
    assert [line.split(":")[0] for line in lines[-9:-4]] == [f"Session {n} (experiment {n})" for n in SESSIONS]
    finished = rows(searched, "SELECT eid, trial_index FROM trials WHERE status = 'finished' ORDER BY eid, trial_index")
    assert finished == [(eid, 0) for eid in SESSIONS]
    others = rows(searched, "SELECT eid, status FROM trials WHERE status <> 'finished'")
    assert others == [(3, "killed")]
    assert rows(searched, "SELECT count(*) FROM test_openings") == [(0,)]


def test_no_trial_of_a_fold_opened_its_test_session(searched):
    opened = set()
    for line in (searched / "opened.log").read_text().splitlines():
        job, _, path = line.partition("\t")
        session = next((part for part in Path(path).parts if part.startswith("Session")), None)
        if Path(job).parent.name == "jobs" and session is not None:
            opened.add((int(Path(job).parts[-3]), int(session[-1])))
    assert opened == {(eid, session) for eid in SESSIONS for session in SESSIONS if session != eid}


@pytest.fixture(scope="module")
def tested(searched) -> tuple[Path, str]:
    """The same folder after `retrain-best --test`, which was killed as the fourth fold was being scored."""
    words = ("retrain-best", "--test", "--seeds", "1", "--threads", "1")
    program = "import sys; from harness.cli.main import main; sys.argv[0] = 'harness'; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, *words], cwd=searched, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Fold 4 of 5"):
                break
        process.send_signal(signal.SIGKILL)
    assert [each[0] for each in rows(searched, "SELECT eid FROM test_openings WHERE completed_at <> ''")] == [1, 2, 3]
    return searched, printed_by(searched, *words)


def test_the_same_command_goes_on_with_the_fourth_fold_and_scores_each_session_once(tested):
    folder, printed = tested
    openings = rows(folder, "SELECT eid, completed_at IS NOT NULL FROM test_openings ORDER BY eid")
    assert openings == [(eid, 1) for eid in SESSIONS]
    assert printed.count("and is not repeated") == 3 and "name the fold: --experiment 3." in " ".join(printed.split())
    scored = rows(
        folder,
        "SELECT eid, utterance_id FROM test_predictions JOIN test_openings USING (opening_id) "
        "WHERE kind = 'validation-chosen epoch'",
    )
    assert {(eid, parse_utterance_id(name).session) for eid, name in scored} == {(n, n) for n in SESSIONS}
    # A third time nothing is left to do.
    again = printed_by(folder, "retrain-best", "--test", "--seeds", "1", "--threads", "1")
    assert again.count("and is not repeated") == 5
    assert rows(folder, "SELECT count(*) FROM test_openings") == [(5,)]


def test_the_pooled_score_is_over_all_utterances_each_scored_by_the_fold_that_never_read_it(tested):
    folder, printed = tested
    predicted = rows(folder, "SELECT emotion = predicted FROM test_predictions WHERE kind = 'validation-chosen epoch'")
    share = sum(right for (right,) in predicted) / len(predicted)
    words = " ".join(printed.split())
    assert f"Pooled: {100 * share:.1f} % weighted accuracy over all {len(predicted)} utterances" in words
    assert "synthetic" in words
    report = " ".join(printed_by(folder, "report").split())
    assert f"Pooled: {100 * share:.1f} % weighted accuracy over all {len(predicted)} utterances" in report
    assert "Experiment 'head', 5 folds (system head2), synthetic corpus" in report
    page = (folder / "results" / "report.html").read_text("utf-8")
    assert "mean of the folds" in page and "All folds: scores" in page
    cards = list((folder / "results" / "models").glob("*/MODEL_CARD.md"))
    assert len(cards) == 5 and all("One of the 5 folds of experiment 'head'" in card.read_text() for card in cards)


def test_an_ensemble_in_every_fold_is_scored_once_and_pooled_by_itself(tested):
    folder = tested[0]
    words = ("retrain-best", "--test", "--seeds", "1", "--with", "svm", "--threads", "1")
    printed = printed_by(folder, *words)
    of_ensemble = "validation-chosen epochs, mean of an ensemble''s members"
    predicted = rows(folder, f"SELECT emotion = predicted FROM test_predictions WHERE kind = '{of_ensemble}'")
    share = sum(right for (right,) in predicted) / len(predicted)
    said = f"Pooled: {100 * share:.1f} % weighted accuracy over all {len(predicted)} utterances"
    assert said in " ".join(printed.split()) and said in " ".join(printed_by(folder, "report").split())
    assert rows(folder, "SELECT count(*) FROM test_openings") == [(10,)]
    assert printed_by(folder, *words).count("and is not repeated") == 5
    assert rows(folder, "SELECT count(*) FROM test_openings") == [(10,)]


def test_the_folder_holds_no_contradiction(tested):
    assert "contradict" not in printed_by(tested[0], "check", "--results", "results")
