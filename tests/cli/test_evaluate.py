"""`harness evaluate` as it is typed, on corpora of a few seconds and a model that never learnt."""

import json
from pathlib import Path

import pytest

from harness.cli.evaluate import _results_of
from harness.store.evaluations import read_evaluations
from harness.store.store import ResultsStore
from tests.cli.commands import type_command
from tests.corpus.written import write_tiny_corpus
from tests.final.test_predict import save_untrained

# Every command starts TensorFlow.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("somebody's own")
    ResultsStore.open(made / "its" / "results.db").close()
    save_untrained(made / "its" / "models" / "m", "head2")
    write_tiny_corpus(made / "the corpus")
    return made


@pytest.mark.long
def test_it_prints_the_scores_then_json_from_the_record(folder):
    words = ("evaluate", "its/models/m", "the corpus", "--session", "1", "--threads", "1")
    done = type_command(folder, *words)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"Recorded as evaluation 1 of '{folder / 'its' / 'results.db'}'.\n"
    printed = " ".join(done.stdout.split())
    assert "This is not a test score." in printed and "With 1 dialogue, fewer than 10" in printed
    assert "weighted accuracy" in printed and "Always answering" in printed and "The baselines and the share" in printed
    done = type_command(folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"Read from evaluation 1 of '{folder / 'its' / 'results.db'}': nothing was scored again.\n"
    assert json.loads(done.stdout)["num_utterances"] == 3
    with ResultsStore.open_readonly(folder / "its" / "results.db") as results:
        (row,) = read_evaluations(results)
        assert results.openings() == []
    assert (row.model, row.sessions, row.eid) == ("models/m", (1,), None)
    assert row.command == "harness evaluate its/models/m 'the corpus' --session 1 --threads 1"


def test_a_model_from_elsewhere_is_recorded_in_the_usual_folder(folder, tmp_path):
    assert _results_of(folder / "its" / "models" / "m") == folder / "its"
    assert _results_of(tmp_path / "a" / "b" / "c") == Path("results")


def test_what_cannot_be_is_one_sentence_and_makes_no_folder(folder, tmp_path):
    done = type_command(tmp_path, "evaluate", folder, folder / "the corpus", "--threads", "1")
    assert (done.returncode, done.stdout) == (2, "") and "Traceback" not in done.stderr
    assert "has no model.json; expected a folder that `harness retrain-best` wrote" in done.stderr
    done = type_command(tmp_path, "evaluate", "a", "b", "--details", "--json")
    assert done.returncode == 2 and "exclude each other" in done.stderr
    assert list(tmp_path.iterdir()) == []
