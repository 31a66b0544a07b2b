"""The best trial's point, trained again on train + validation, and saved."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import keras
import numpy as np

from harness.corpus.utterances import CLASSES
from harness.features.fitted import fit_features
from harness.features.store import Features, FeatureStore
from harness.files import hash_json
from harness.final.best_point import BestPoint, find_best_point
from harness.final.model_card import write_model_card
from harness.final.saved_model import ModelRecord, has_seed, save_seed, saved_seeds, seed_dir
from harness.models.build import build_model, build_optimizer, input_shapes
from harness.models.hyperparameters import Hyperparameters
from harness.provenance import hash_word_vectors, package_versions
from harness.splits.protocol import EpochChoice, make_split, search_sessions
from harness.store.records import FinalModel, utc_now
from harness.store.store import ResultsStore
from harness.store.trial_spec import TrialSpec
from harness.training.loop import Trainer, seed_everything, train_for

#: Where the seeds of final trainings begin in a trial's stream of seeds, far from those of its attempts.
FINAL_SEED_STREAM = 1_000_000


@dataclass(frozen=True)
class FinalTraining(BestPoint):
    """The best point trained on train + validation, or about to be.

    Attributes:
        model_dir: the folder of the saved models; its name ends in a hash of all that decides them
        test_chooses_epoch: whether the test session is open while the models train, to be scored after every epoch,
            as the published code does: what is fitted before training then knows it, and one score is its maximum
    """

    seeds: tuple[int, ...]
    model_dir: Path
    test_chooses_epoch: bool


def final_seeds(
    experiment_seed: int, trial_index: int, num_seeds: int, stream: int = FINAL_SEED_STREAM
) -> tuple[int, ...]:
    """Return the seeds of the final trainings: others than any trial's, the same for the same trial.

    Args:
        stream: where they begin in the trial's stream of seeds

    Example:
        >>> final_seeds(1, 4, 2) == final_seeds(1, 4, 5)[:2]
        True
    """
    return tuple(
        int(np.random.default_rng([experiment_seed, trial_index, stream + number]).integers(2**31))
        for number in range(num_seeds)
    )


def plan_final_training(
    results: ResultsStore, results_dir: Path, eid: int | None, num_seeds: int, *, opens_test: bool = False
) -> FinalTraining:
    """Find the best trial and say what its final training will be.

    Args:
        eid: the experiment; None for the latest
        num_seeds: trainings; those of fewer seeds are the first of those of more
        opens_test: whether the test session may be open while the models train, where the protocol has it so;
            a model that was fitted with it open has a folder of its own

    Returns:
        the plan; nothing is trained or written

    Raises:
        WorkFailedError: no trial has finished
        ModelError: there is no search, the experiment is none, or its trials were not of this package
        FeatureError: the prepared features are missing or damaged
        StoreError: there is no such experiment
    """
    best = find_best_point(results, results_dir, eid)
    experiment, trial, spec = best.experiment, best.trial, best.spec
    test_chooses_epoch = opens_test and spec.protocol.epoch_choice is EpochChoice.TEST_MAXIMUM
    identity = _identity(spec, best.choices, best.num_epochs, test_chooses_epoch)
    return FinalTraining(
        experiment=experiment,
        trial=trial,
        spec=spec,
        system=best.system,
        choices=best.choices,
        num_epochs=best.num_epochs,
        seeds=final_seeds(experiment.seed, trial.trial_index, num_seeds),
        model_dir=results_dir / "models" / f"experiment-{experiment.eid}-trial-{trial.trial_index}-{identity}",
        test_chooses_epoch=test_chooses_epoch,
    )


def _identity(spec: TrialSpec, choices: Hyperparameters, num_epochs: int, fits_on_test: bool) -> str:
    manifest = FeatureStore.open(spec.prepared_dir).manifest
    decides = {
        "system": spec.system,
        "hyperparameters": asdict(choices),
        "protocol": spec.protocol.protocol_hash,
        "corpus": manifest.corpus_hash,
        "features": [
            array.sha256
            for session in search_sessions(spec.protocol)
            if session in manifest.sessions
            for _, array in sorted(manifest.sessions[session].arrays.items())
        ],
        "word_vectors": hash_word_vectors(spec.word_vectors),
        "num_epochs": num_epochs,
        "fits_on_test": fits_on_test,
        "versions": package_versions(),
    }
    return hash_json(decides, 8)


def load_train_and_validation(training: FinalTraining, store: FeatureStore) -> Features:
    """Load the utterances of both parts of the split, by id; the test session's files are not touched.

    Raises:
        FeatureError: a part is empty, or a file is damaged
    """
    protocol = training.spec.protocol
    utterances = store.utterances(search_sessions(protocol))
    split = make_split(protocol, [utterance.utterance_id for utterance in utterances])
    return store.load(tuple(sorted(split.train + split.validation)))


def train_final_models(
    training: FinalTraining,
    results: ResultsStore,
    test: Features | None = None,
    on_epoch: Callable[[int, int], None] = lambda seed, epoch: None,
) -> dict[int, list[np.ndarray]]:
    """Train one model a seed on train + validation, and save each as it is after ``num_epochs``.

    A seed that was trained before is not trained again, but with ``test``.

    Args:
        test: the opened test set, where ``training.test_chooses_epoch``, and there alone: then every seed
            trains on to ``max_epochs``, and each epoch is scored on it
        on_epoch: called with the seed and the number of each epoch that has ended

    Returns:
        with ``test``, the test probabilities, float32 (num_test, 4), of every epoch by seed; without, empty

    Raises:
        ModelError: the features are of another corpus, or the folder's record cannot be read
        FeatureError: they are damaged, or lack what the system needs
        StoreError: the results cannot be written
    """
    assert (test is not None) is training.test_chooses_epoch, "the folder's name says whether the test set was open"
    store = training.open_features()
    features = load_train_and_validation(training, store)
    test_epochs: dict[int, list[np.ndarray]] = {}
    for seed in training.seeds:
        if test is None and has_seed(training.model_dir, seed):
            continue
        began = time.monotonic()
        of_epochs = _train_seed(training, seed, features, test, on_epoch)
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
    keep_record(training.model_dir, record, results)
    return test_epochs


def keep_record(model_dir: Path, record: ModelRecord, results: ResultsStore) -> None:
    """Write ``model.json`` and the card for this call's seeds, and for earlier ones of the very same making.

    Raises:
        ModelError: an earlier record there cannot be read
        StoreError: the results cannot be read
    """
    seeds = saved_seeds(model_dir, record.seeds)
    before = ModelRecord.read(model_dir) if (model_dir / "model.json").exists() else None
    if before is not None and _is_same_making(before, record):
        record = replace(record, created_at=before.created_at)
    elif before is not None:
        # Nothing says how seeds beside these were made.
        seeds = tuple(seed for seed in seeds if seed in record.seeds)
    record = replace(record, seeds=seeds)
    record.write(model_dir)
    write_model_card(model_dir, record, results)


def _is_same_making(before: ModelRecord, record: ModelRecord) -> bool:
    """Whether two records differ in their seeds and dates at most, as their files spell the values."""
    same = replace(record, seeds=before.seeds, created_at=before.created_at)
    return json.dumps(asdict(same), sort_keys=True) == json.dumps(asdict(before), sort_keys=True)


def _train_seed(
    training: FinalTraining,
    seed: int,
    features: Features,
    test: Features | None,
    on_epoch: Callable[[int, int], None],
) -> list[np.ndarray]:
    protocol, choices = training.spec.protocol, training.choices
    keras.backend.clear_session()
    seed_everything(seed)
    fitted = fit_features(
        features,
        training.system.modalities,
        protocol,
        training.spec.word_vectors,
        getattr(choices, "embedding_dimension", None),
        seed,
        vocabulary_extra=test,
    )
    model = build_model(training.system, choices, input_shapes(fitted, protocol))
    trainer = Trainer(model, build_optimizer(choices))
    test_inputs = None if test is None else fitted.prepare(test)
    test_epochs: list[np.ndarray] = []

    def finish_epoch(number: int) -> None:
        if number == training.num_epochs:
            save_seed(training.model_dir, seed, model, fitted)
        if test_inputs is not None:
            test_epochs.append(trainer.score(test_inputs))
        on_epoch(seed, number)

    train_for(
        trainer,
        fitted.prepare(features),
        batch_size=choices.batch_size,
        num_epochs=training.num_epochs if test is None else training.spec.max_epochs,
        seed=seed,
        on_epoch=finish_epoch,
    )
    return test_epochs


def describe_model(
    training: FinalTraining,
    store: FeatureStore,
    num_train_utterances: int,
    *,
    is_fitted_on_test: bool = False,
    variant: str | None = None,
) -> ModelRecord:
    """Return what ``model.json`` will say of the models of one final training."""
    has_speech = "speech" in training.system.modalities
    return ModelRecord(
        system=training.system.name,
        hyperparameters=asdict(training.choices),
        protocol=training.spec.protocol,
        modalities=training.system.modalities,
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
