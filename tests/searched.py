"""A small search that really trained: two trials of the head's motion, written as `aup` writes them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.corpus.synthetic import SyntheticSettings, write_synthetic
from harness.features.prepare import prepare_corpus
from harness.features.speech import SpeechSettings
from harness.features.store import FeatureStore
from harness.splits.protocol import read_protocol
from harness.store.records import ExperimentStatus, TrialStatus, utc_now
from harness.store.store import ResultsStore
from harness.store.trial_spec import TrialSpec, trial_spec_path
from harness.training.trial import record_trial
from tests.store.experiments import an_experiment

SYSTEM = "head2"
#: Points of both trials; the searched system has small defaults.
POINTS = ({"learning_rate": 0.001}, {"learning_rate": 0.003})
SEEDS = (11, 12)
MAX_EPOCHS = 2

#: A fusion whose trainings take a second.
SMALL_FUSION = {
    "attention": "pooling", "adamlr": 0.01, "batch_size": 16, "textlstm": 6, "speechlstm": 6, "finalfc": 12,
    "branch_dense": 10, "embedding_dimension": 8,
}  # fmt: skip


def prepare_small(folder: Path) -> Path:
    """Write a small synthetic corpus, and prepare its features below ``folder / "results"``."""
    if not (folder / "a corpus").exists():
        write_synthetic(folder / "a corpus", SyntheticSettings(scale=0.02, mocap_rate=5))
    prepared_dir = folder / "results" / "prepared" / "features"
    prepare_corpus(folder / "a corpus", prepared_dir, SpeechSettings())
    return prepared_dir


def run_small_search(
    folder: Path,
    protocol: str | Mapping[str, Any] = "paper",
    max_epochs: int = MAX_EPOCHS,
    system: str = SYSTEM,
    points: Sequence[Mapping[str, Any]] = POINTS,
    turn_model: Mapping[str, Any] | None = None,
) -> int:
    """Carry out the search in ``folder / "results"``, on the corpus that is there if one is, and return its number."""
    prepared_dir, results_db = prepare_small(folder), folder / "results" / "results.db"
    chosen = read_protocol(protocol)
    with ResultsStore.open(results_db) as results:
        eid = results.create_experiment(
            an_experiment(
                identity=f"{folder} {system}",
                system=system,
                corpus_hash=FeatureStore.open(prepared_dir).corpus_hash,
                corpus_path="a corpus",
                protocol_name=chosen.name,
                protocol_hash=chosen.protocol_hash,
                protocol=json.dumps(chosen.to_json()),
                num_samples=len(points),
                max_epochs=max_epochs,
            )
        )
        for trial_index, (point, seed) in enumerate(zip(points, SEEDS, strict=True)):
            trial_id = results.start_trial(eid, trial_index, seed, point, trial_index)
            job_path = folder / "results" / "jobs" / str(eid) / f"{trial_index}.json"
            job_path.parent.mkdir(parents=True, exist_ok=True)
            job_path.write_text(json.dumps(point))
            results.record_job(trial_id, 1, "host", job_path=str(job_path))
            spec = TrialSpec(
                *(trial_id, eid, trial_index, seed, system, chosen, prepared_dir, results_db, max_epochs, None, 1),
                turn_model=turn_model,
            )
            spec.write(trial_spec_path(job_path))
            score = record_trial(spec, point)
            results.finish_trial(trial_id, TrialStatus.FINISHED, score=score)
        results.update_experiment(eid, ExperimentStatus.FINISHED, utc_now())
    return eid
