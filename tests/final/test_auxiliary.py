"""Auxiliary corpora from `aup` to the test evaluation."""

import json
from pathlib import Path

import pytest

from harness.corpus.synthetic import SyntheticSettings, write_synthetic
from harness.final.best_point import find_best_point
from harness.store.store import ResultsStore
from tests.cli.commands import type_command
from tests.search.searches import start_aup

SPACE = [
    {"name": "textlstm", "range": [6], "type": "choice"},
    {"name": "textlstm2", "range": [6], "type": "choice"},
    {"name": "dense", "range": [8], "type": "choice"},
    {"name": "embedding_dimension", "range": [8], "type": "choice"},
    {"name": "optimizer", "range": ["adam"], "type": "choice"},
    {"name": "learning_rate", "range": [0.01], "type": "choice"},
    {"name": "batch_size", "range": [16], "type": "choice"},
]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("training", ["together", "first"])
def test_a_search_trains_on_another_corpus_too_and_says_so(tmp_path: Path, training: str) -> None:
    for name, seed in (("corpus", 1), ("other", 7)):
        write_synthetic(tmp_path / name, SyntheticSettings(scale=0.02, mocap_rate=5, seed=seed))
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "trial.py").write_text(
        "import sys\nfrom harness.training.trial import main\nsys.exit(main(sys.argv))\n"
    )
    experiment = {
        "name": "words", "system": "text2", "corpus": "corpus", "auxiliary_corpora": ["other"],
        "auxiliary_training": training, "script": "jobs/trial.py", "resource": "cpu", "proposer": "random",
        "n_samples": 1, "target": "max", "max_epochs": 2, "parameter_config": SPACE,
    }  # fmt: skip
    if training == "first":
        experiment["auxiliary_epochs"] = 2
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps(experiment))
    aup = start_aup(path)
    _, errors = aup.communicate()
    assert aup.returncode == 0, errors
    with ResultsStore.open(tmp_path / "results" / "results.db") as results:
        best = find_best_point(results, tmp_path / "results", None)
    assert best.spec.auxiliary is not None and best.spec.auxiliary.training == training
    assert "turns of auxiliary corpora (other)" in (best.trial.embedding_source or "")
    tested = type_command(tmp_path, "retrain-best", "--test", "--seeds", "1")
    assert tested.returncode == 0, tested.stderr
    (card,) = (tmp_path / "results" / "models").glob("*/MODEL_CARD.md")
    assert "turns of auxiliary corpora (other)" in card.read_text("utf-8")
    # A final training reads the content that was searched, or nothing.
    (searched,) = best.spec.auxiliary.prepared_dirs
    manifest = (searched / "manifest.json").read_text("utf-8")
    changed = manifest.replace(best.spec.auxiliary.corpus_hashes[0], "0" * 64)
    (searched / "manifest.json").write_text(changed, "utf-8")
    refused = type_command(tmp_path, "retrain-best", "--seeds", "2")
    assert refused.returncode == 2 and "and its prepared features at" in refused.stderr, refused.stderr
    assert "are now of 000000000000; restore its files and prepare it again" in refused.stderr
    (searched / "manifest.json").write_text(manifest, "utf-8")
    # The corpus itself cannot be among them: its test set would be trained on.
    path.write_text(json.dumps({**experiment, "name": "itself", "auxiliary_corpora": ["corpus"]}))
    aup = start_aup(path)
    _, errors = aup.communicate()
    assert aup.returncode == 2 and "is the corpus itself, or a part of it" in errors
