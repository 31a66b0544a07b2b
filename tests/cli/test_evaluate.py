"""`harness evaluate` as it is typed, on corpora of a few seconds and a model that never learnt."""

import json
import shutil

import pytest

from harness.store.evaluations import read_evaluations
from harness.store.store import ResultsStore
from tests.cli.commands import type_command
from tests.corpus.written import write_tiny_corpus
from tests.final.test_predict import save_untrained

# Every command starts TensorFlow.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("somebody's own")
    save_untrained(made / "a model", "head2")
    write_tiny_corpus(made / "the corpus")
    return made


def test_it_prints_the_scores_then_json_from_the_record(folder):
    done = type_command(folder, "evaluate", "a model", "the corpus", "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "Recorded as evaluation 1 of 'results/results.db'.\n"
    words = " ".join(done.stdout.split())
    assert "No score of a test session." in words and "4 utterances of 2 dialogues" in words
    assert "weighted accuracy" in words and "Always answering" in words
    assert "The baselines are left out" in words and "With 2 dialogues, fewer than 10" in words
    done = type_command(folder, "evaluate", "a model", "the corpus", "--json", "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "Read from evaluation 1 of 'results/results.db': nothing was scored again.\n"
    assert json.loads(done.stdout)["num_utterances"] == 4
    with ResultsStore.open_readonly(folder / "results" / "results.db") as results:
        (row,) = read_evaluations(results)
        assert results.openings() == []
    assert row.command == "harness evaluate 'a model' 'the corpus' --threads 1"


def test_a_model_in_a_results_folder_is_recorded_there(folder):
    ResultsStore.open(folder / "its" / "results.db").close()
    shutil.copytree(folder / "a model", folder / "its" / "models" / "m")
    done = type_command(folder, "evaluate", "its/models/m", "the corpus", "--session", "1", "--threads", "1")
    assert done.returncode == 0, done.stderr
    with ResultsStore.open_readonly(folder / "its" / "results.db") as results:
        (row,) = read_evaluations(results)
    assert (row.model, row.sessions, row.eid) == ("models/m", (1,), None)


def test_what_cannot_be_is_one_sentence_and_makes_no_folder(folder, tmp_path):
    for model, corpus, sentence in (
        (folder, folder / "the corpus", "has no model.json; expected a folder that `harness retrain-best` wrote"),
        (folder / "a model", folder / "no corpus", "no folder; expected the folder IEMOCAP_full_release, or its parent"),
    ):
        done = type_command(tmp_path, "evaluate", model, corpus, "--threads", "1")
        assert (done.returncode, done.stdout) == (2, "") and sentence in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.glob("results/prepared/*"))
    done = type_command(tmp_path, "evaluate", "a", "b", "--details", "--json")
    assert done.returncode == 2 and "exclude each other" in done.stderr
