"""The final training: the best hyperparameters trained again on train + validation, one saved model for each seed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from harness.corpus.utterances import CLASSES
from harness.features.store import Features, FeatureStore
from harness.files import hash_json
from harness.final.best_point import BestPoint, find_best_point
from harness.final.saved_model import ModelRecord, has_seed, save_seed, saved_seeds, seed_dir
from harness.provenance import hash_word_vectors, package_versions
from harness.splits.protocol import EpochChoice, search_sessions
from harness.store.records import FinalModel, utc_now
from harness.store.store import ResultsStore
from harness.training.recipe import Trained, open_parts, train_for_epochs


@dataclass(frozen=True)
class FinalTraining(BestPoint):
    """The best hyperparameters and how they are trained on train + validation.

    Attributes:
        model_dir: the folder of the saved models; its name ends in a hash of everything that decides them
        test_chooses_epoch: whether the test session is open while the models train and is scored after every epoch,
            as the published code does: vocabularies then know its words, and one score is its maximum
    """

    seeds: tuple[int, ...]
    model_dir: Path
    test_chooses_epoch: bool


def plan_final_training(
    results: ResultsStore, results_dir: Path, eid: int | None, num_seeds: int, *, opens_test: bool = False
) -> FinalTraining:
    """Find the best trial and plan its final training; nothing is trained or written.

    Args:
        eid: the experiment; None for the latest
        num_seeds: trainings; the seeds of fewer are the first of those of more
        opens_test: whether the test session may be open while the models train, if the protocol says so. Models
            that were fitted with it open have a folder of their own

    Raises:
        WorkFailedError: no trial has finished
        ModelError: there is no search, the experiment is none, or its trials were not of this package
        FeatureError: the prepared features are missing or damaged
        StoreError: there is no such experiment
    """
    best = find_best_point(results, results_dir, eid)
    test_chooses_epoch = opens_test and best.spec.protocol.epoch_choice is EpochChoice.TEST_MAXIMUM
    name = f"experiment-{best.experiment.eid}-trial-{best.trial.trial_index}-{_identity(best, test_chooses_epoch)}"
    return FinalTraining(
        **vars(best),
        seeds=best.new_seeds(num_seeds),
        model_dir=results_dir / "models" / name,
        test_chooses_epoch=test_chooses_epoch,
    )


def _identity(best: BestPoint, fits_on_test: bool) -> str:
    spec, manifest = best.spec, FeatureStore.open(best.spec.prepared_dir).manifest
    decides = {
        "system": spec.system,
        "hyperparameters": asdict(best.hyperparameters),
        "protocol": spec.protocol.protocol_hash,
        "corpus": manifest.corpus_hash,
        "features": [
            array.sha256
            for session in search_sessions(spec.protocol)
            if session in manifest.sessions
            for _, array in sorted(manifest.sessions[session].arrays.items())
        ],
        "word_vectors": hash_word_vectors(spec.word_vectors),
        "num_epochs": best.num_epochs,
        "fits_on_test": fits_on_test,
        "versions": package_versions(),
    }
    return hash_json(decides, 8)


def train_final_models(
    training: FinalTraining,
    results: ResultsStore,
    test: Features | None = None,
    on_epoch: Callable[[int, int], None] = lambda seed, epoch: None,
) -> dict[int, dict[int, np.ndarray]]:
    """Train one model a seed on train + validation, and save each as it is after ``num_epochs``.

    A seed that was trained before is not trained again, except with ``test``.

    Args:
        test: the opened test set, if and only if ``training.test_chooses_epoch``: then every seed trains on to
            ``max_epochs``, and the test set is scored after each epoch
        on_epoch: called with the seed and the number of each epoch that has ended

    Returns:
        with ``test``, the test probabilities, float32 (num_test, 4), by seed and epoch; without, empty

    Raises:
        ModelError: the features are of another corpus, or the folder's record cannot be read
        FeatureError: they are damaged, or lack a modality that the system reads
        StoreError: the results cannot be written
    """
    assert (test is not None) is training.test_chooses_epoch, "the folder's name says whether the test set was open"
    store = training.open_features()
    features = store.load(open_parts(training.spec.protocol, store).trained_on)
    num_epochs = training.num_epochs if test is None else training.spec.max_epochs
    test_epochs: dict[int, dict[int, np.ndarray]] = {}
    for seed in training.seeds:
        if test is None and has_seed(training.model_dir, seed):
            continue
        began = time.monotonic()

        def finish_epoch(number: int, trained: Trained, seed: int = seed) -> None:
            if number == training.num_epochs:
                save_seed(training.model_dir, seed, trained)
            on_epoch(seed, number)

        scored = () if test is None else range(1, num_epochs + 1)
        _, of_epochs = train_for_epochs(
            training.recipe(seed), features, num_epochs, test=test, scored_epochs=scored, on_epoch=finish_epoch
        )
        if test is not None:
            test_epochs[seed] = of_epochs
        results.record_final_training(
            FinalModel(
                eid=training.experiment.eid,
                trial_id=training.trial.trial_id,
                seed=seed,
                num_epochs=training.num_epochs,
                path=str(seed_dir(training.model_dir, seed)),
                duration_seconds=time.monotonic() - began,
            )
        )
    record = describe_model(training, store, len(features), is_fitted_on_test=test is not None)
    keep_record(training.model_dir, record)
    return test_epochs


def keep_record(model_dir: Path, record: ModelRecord) -> None:
    """Write ``model.json`` for this call's seeds, and for earlier ones that were made in exactly the same way.

    Raises:
        ModelError: an earlier record there cannot be read
    """
    seeds = saved_seeds(model_dir, record.seeds)
    before = ModelRecord.read(model_dir) if (model_dir / "model.json").exists() else None
    if before is not None and _is_same_making(before, record):
        record = replace(record, created_at=before.created_at)
    elif before is not None:
        # No record says how the other seeds were made.
        seeds = tuple(seed for seed in seeds if seed in record.seeds)
    replace(record, seeds=seeds).write(model_dir)


def _is_same_making(before: ModelRecord, record: ModelRecord) -> bool:
    """Return whether two records differ in their seeds and dates at most, as their files spell the values."""
    same = replace(record, seeds=before.seeds, created_at=before.created_at)
    return json.dumps(asdict(same), sort_keys=True) == json.dumps(asdict(before), sort_keys=True)


def describe_model(
    training: FinalTraining,
    store: FeatureStore,
    num_train_utterances: int,
    *,
    is_fitted_on_test: bool = False,
    variant: str | None = None,
) -> ModelRecord:
    """Return the record of one final training's models."""
    has_speech = "speech" in training.modalities
    return ModelRecord(
        system=training.system.name,
        hyperparameters=asdict(training.hyperparameters),
        protocol=training.spec.protocol,
        modalities=training.modalities,
        classes=CLASSES,
        num_epochs=training.num_epochs,
        seeds=training.seeds,
        speech_settings=store.manifest.speech_settings.to_json() if has_speech else None,
        corpus_hash=store.corpus_hash,
        is_synthetic=training.experiment.is_synthetic,
        num_train_utterances=num_train_utterances,
        is_fitted_on_test=is_fitted_on_test,
        variant=variant,
        eid=training.experiment.eid,
        trial_index=training.trial.trial_index,
        versions=package_versions(),
        created_at=utc_now(),
    )
