"""The chapter on a model of one's own as a user types it: its code -> aup -> retrain-best --test -> predict."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from harness.store.records import ScoreKind
from tests.test_end_to_end import REPOSITORY, rows, succeed, type_command

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

CHAPTER = (REPOSITORY / "docs/own_model.md").read_text("utf-8")


def code_of(language: str) -> str:
    """The only block of a language in the chapter."""
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", CHAPTER, re.DOTALL | re.MULTILINE)
    return str(code)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space and a quote in which the chapter's search has run."""
    folder = tmp_path_factory.mktemp("a user's model")
    succeed(folder, "harness", "init", "experiment")
    folder /= "experiment"
    succeed(folder, "harness", "synth", "corpus", "--scale", "0.03")
    (folder / "mine.py").write_text(code_of("python"))
    (folder / "experiment.json").write_text(code_of("json"))
    shown = succeed(folder, "harness", "systems", "mine.py:build")
    assert "mine.py:build (your own)" in shown and re.search(r"filters +64\b", shown)
    succeed(folder, "aup", "experiment.json")
    return folder


def test_the_chapters_model_is_searched(line: Path) -> None:
    assert rows(line, "SELECT trials.status, system FROM trials JOIN experiments USING (eid)") == [
        ("finished", "mine.py:build"),
        ("finished", "mine.py:build"),
    ]
    sha256 = hashlib.sha256((line / "mine.py").read_bytes()).hexdigest()
    identity = json.loads((line / "results/experiments/1/identity.json").read_text())
    assert identity["system_source"] == sha256
    spec = json.loads(next((line / "results/experiments/1/jobs").glob("*.trial.json")).read_text())
    assert spec["own_system"]["source"] == code_of("python")


def test_a_changed_file_is_another_experiment(line: Path) -> None:
    with (line / "mine.py").open("a") as stream:
        stream.write("# another model\n")
    done = type_command(line, "aup", "experiment.json")
    (line / "mine.py").write_text(code_of("python"))
    assert done.returncode == 2 and "with other settings: system_source was" in done.stderr


def test_a_file_that_cannot_be_trained_starts_no_trial(line: Path) -> None:
    (line / "wrong.py").write_text(code_of("python").replace("layers.Dense(4", "layers.Dense(5"))
    settings = json.loads(code_of("json")) | {"name": "wrong", "system": "wrong.py:build"}
    (line / "wrong.json").write_text(json.dumps(settings))
    done = type_command(line, "aup", "wrong.json")
    assert done.returncode == 2 and done.stderr == (
        "error: experiment file 'wrong.json': system 'wrong.py:build': its model answers with the shape (batch, 5); "
        "expected one output, (batch, 4): the probabilities of ang, exc, neu, sad\n"
    )
    assert rows(line, "SELECT name FROM experiments WHERE name = 'wrong'") == []


def test_what_was_searched_is_trained_again_and_predicts_without_its_file(line: Path) -> None:
    (line / "mine.py").unlink()
    succeed(line, "harness", "retrain-best", "--test", "--seeds", "1")
    kinds = dict(rows(line, "SELECT kind, weighted_accuracy FROM test_scores"))
    assert 0.0 < kinds[ScoreKind.VALIDATION_CHOSEN] <= 1.0
    (model,) = (line / "results/models").iterdir()
    assert (model / "mine.py").read_text() == code_of("python")
    assert "**Built by:** mine.py:build in this folder" in (model / "MODEL_CARD.md").read_text("utf-8")
    wav = next((line / "corpus").rglob("sentences/wav/*/*.wav"))
    assert "neutral (neu)" in succeed(line, "harness", "predict", str(model), str(wav))
    (model / "mine.py").write_text("raise SystemExit(9)\n")
    done = type_command(line, "harness", "predict", str(model), str(wav))
    (model / "mine.py").write_text(code_of("python"))
    assert done.returncode == 2
    assert "'mine.py' is missing or has changed since the models were built by it; restore a copy" in done.stderr
