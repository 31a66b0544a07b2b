"""The final training: the best hyperparameters trained again on train + validation, one saved model for each seed.

Where scenes are disjoint, each seed has one model a group of scenes, trained without that group.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from harness.codec import to_plain
from harness.corpus.utterances import CLASSES, Seconds
from harness.features.store import Features, FeatureStore
from harness.files import hash_json
from harness.final.best_point import BestPoint, find_best_point
from harness.final.saved_model import (
    FORMAT_VERSION,
    ModelRecord,
    has_seed,
    number_groups,
    save_seed,
    saved_seeds,
    seed_dir,
)
from harness.models.hyperparameters import AsrTransferHyperparameters
from harness.models.turn_model import REPLACED
from harness.provenance import hash_word_vectors, package_versions
from harness.splits.protocol import (
    EpochChoice,
    FinalLength,
    Protocol,
    Scenes,
    leave_scenes_out,
    search_sessions,
)
from harness.splits.scenes import SceneFold, name_groups
from harness.store.records import FinalModel, utc_now
from harness.store.store import ResultsStore
from harness.training.recipe import Trained, final_epochs, open_parts, train_for_epochs

Best = TypeVar("Best", bound=BestPoint)


@dataclass(frozen=True)
class FinalTraining(BestPoint):
    """The best hyperparameters and how they are trained on train + validation.

    Attributes:
        model_dir: the folder of the saved models; its name ends in a hash of everything that decides them
        test_chooses_epoch: whether the test session is open while the models train and is scored after every epoch,
            as the published code does: vocabularies then know its words, and one score is its maximum
        folds: what the model of each group of scenes trains on; empty where scenes are shared
        seconds_per_utterance: of one epoch, as the trial measured it; None where it did not
    """

    seeds: tuple[int, ...]
    model_dir: Path
    test_chooses_epoch: bool
    folds: tuple[SceneFold, ...] = ()
    seconds_per_utterance: Seconds | None = None

    @property
    def group_numbers(self) -> tuple[int | None, ...]:
        """The groups of scenes by number, from 1; None alone where each seed has one model."""
        return number_groups(len(self.scene_groups))

    @property
    def scene_groups(self) -> tuple[tuple[str, ...], ...]:
        """The scenes of each group, sorted; empty where scenes are shared."""
        return name_groups([fold.scenes for fold in self.folds])

    @property
    def trainings(self) -> list[tuple[int, int | None]]:
        """The seeds and numbers of groups to train: all if the test set is open, else those that are not saved yet."""
        pairs = [(seed, group) for seed in self.seeds for group in self.group_numbers]
        return [pair for pair in pairs if self.test_chooses_epoch or not has_seed(self.model_dir, *pair)]

    @property
    def expected_seconds(self) -> Seconds | None:
        """The time of all trainings, from the trial's seconds for an utterance; None where those are not known."""
        if self.seconds_per_utterance is None:
            return None
        num_epochs = self.spec.max_epochs if self.test_chooses_epoch else self.num_epochs
        sizes = [len(self.folds[group - 1].train) for _, group in self.trainings if group is not None]
        return sum(sizes) * num_epochs * self.seconds_per_utterance


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
    return plan_trial(find_best_point(results, results_dir, eid), results_dir, num_seeds, opens_test=opens_test)


def plan_trial(best: BestPoint, results_dir: Path, num_seeds: int, *, opens_test: bool = False) -> FinalTraining:
    """Plan the final training of a trial; else as ``plan_final_training``."""
    test_chooses_epoch = opens_test and best.spec.protocol.epoch_choice is EpochChoice.TEST_MAXIMUM
    is_disjoint = best.spec.protocol.scenes is Scenes.DISJOINT
    best = _set_length(best, best.spec.protocol)
    return FinalTraining(
        **vars(best),
        seeds=best.new_seeds(num_seeds),
        model_dir=results_dir / "models" / _name_folder(best, test_chooses_epoch),
        test_chooses_epoch=test_chooses_epoch,
        folds=open_parts(best.spec.protocol, best.open_features()).final_folds(()) if is_disjoint else (),
        seconds_per_utterance=_time_utterance(best) if is_disjoint else None,
    )


def plan_disjoint_training(training: FinalTraining) -> FinalTraining:
    """Plan the same hyperparameters, epochs and seeds with the scored scenes left out: one model a group of scenes.

    The test session stays sealed while they train, whatever the protocol. Nothing is trained or written.

    Raises:
        FeatureError: the prepared features are damaged, or the training utterances play a single scene
    """
    protocol = leave_scenes_out(training.spec.protocol)
    best = replace(
        _set_length(training, protocol),
        spec=replace(training.spec, protocol=protocol),
        test_chooses_epoch=False,
    )
    return replace(
        best,
        model_dir=training.model_dir.with_name(_name_folder(best, fits_on_test=False)),
        folds=open_parts(protocol, best.open_features()).final_folds(()),
        seconds_per_utterance=_time_utterance(training),
    )


def _set_length(best: Best, protocol: Protocol) -> Best:
    """Return the same with the number of epochs of its final training under a protocol.

    Args:
        protocol: of the final training; the search's may share scenes where this one does not
    """
    if best.spec.protocol.final_length is FinalLength.EPOCHS or best.trial.best_epoch is None:
        return best
    store = best.open_features()
    folds = open_parts(protocol, store).final_folds(())
    searched_on = open_parts(best.spec.protocol, store).train
    recipe = best.recipe(best.trial.seed)
    num_epochs = final_epochs(recipe, best.trial.best_epoch, searched_on, [fold.train for fold in folds])
    return replace(best, num_epochs=num_epochs)


def _time_utterance(best: BestPoint) -> Seconds | None:
    """Return how long the trial took for each training utterance of an epoch; None where that is not on record.

    Nor is it where a turn model or a recogniser is trained too, which another trial may have done.
    """
    trial = best.trial
    if trial.duration_seconds is None or not trial.num_epochs or best.turn_model is not None:
        return None
    if isinstance(best.hyperparameters, AsrTransferHyperparameters):
        return None
    num_utterances = len(open_parts(best.spec.protocol, best.open_features()).train)
    return trial.duration_seconds / (trial.num_epochs * num_utterances)


def _name_folder(best: BestPoint, fits_on_test: bool) -> str:
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
        **({} if best.trial.temperature is None else {"temperature": best.trial.temperature}),
        "fits_on_test": fits_on_test,
        "versions": package_versions(),
        # Models of another format are trained again in a folder of their own.
        "format": FORMAT_VERSION,
    }
    if best.system.own is not None:
        decides["system_source"] = best.system.own.sha256
    if best.turn_model is not None:
        decides["turn_model"] = best.turn_model.to_json()
    if spec.auxiliary is not None:
        decides["auxiliary_corpora"] = spec.auxiliary.identity()
    return f"experiment-{best.experiment.eid}-trial-{best.trial.trial_index}-{hash_json(decides, 8)}"


def train_final_models(
    training: FinalTraining,
    results: ResultsStore,
    test: Features | None = None,
    on_epoch: Callable[[int, int], None] = lambda seed, epoch: None,
) -> dict[int, dict[int, np.ndarray]]:
    """Train each seed's models on train + validation, and save each as it is after ``num_epochs``.

    A model that was trained before is not trained again, except with ``test``.

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
    parts = open_parts(training.spec.protocol, store)
    folds = parts.final_folds(() if test is None else test.utterance_ids)
    train = [store.load(fold.train) for fold in folds]
    test_epochs: dict[int, dict[int, np.ndarray]] = {}
    for seed in training.seeds:
        of_folds = []
        for place, group in enumerate(training.group_numbers):
            if test is None and has_seed(training.model_dir, seed, group):
                continue
            began = time.monotonic()
            scored = None if test is None else test.select(folds[place].scored)
            of_folds.append(_train_one(training, seed, group, train[place], scored, on_epoch))
            results.record_final_training(
                FinalModel(
                    eid=training.experiment.eid,
                    trial_id=training.trial.trial_id,
                    seed=seed,
                    num_epochs=training.num_epochs,
                    path=str(seed_dir(training.model_dir, seed, group)),
                    duration_seconds=time.monotonic() - began,
                )
            )
        if test is not None:
            test_epochs[seed] = {
                epoch: join_folds(folds, test, [epochs[epoch] for epochs in of_folds]) for epoch in of_folds[0]
            }
    record = describe_model(training, store, len(parts.trained_on), is_fitted_on_test=test is not None)
    keep_record(training.model_dir, record)
    return test_epochs


def _train_one(
    training: FinalTraining,
    seed: int,
    group: int | None,
    train: Features,
    test: Features | None,
    on_epoch: Callable[[int, int], None],
) -> dict[int, np.ndarray]:
    """Train and save one model; with ``test``, return its probabilities after each epoch."""

    def finish_epoch(number: int, trained: Trained) -> None:
        if number == training.num_epochs:
            save_seed(training.model_dir, seed, trained, group)
        on_epoch(seed, number)

    num_epochs = training.num_epochs if test is None else training.spec.max_epochs
    scored = () if test is None else range(1, num_epochs + 1)
    recipe = training.recipe(seed)
    return train_for_epochs(recipe, train, num_epochs, test=test, scored_epochs=scored, on_epoch=finish_epoch)[1]


def join_folds(folds: Sequence[SceneFold], features: Features, of_folds: Sequence[np.ndarray]) -> np.ndarray:
    """Put the probabilities of each fold's scored utterances together, in the order of ``features``.

    Args:
        folds: whose scored ids are those of ``features``, each once
        of_folds: floating (num_scored, 4) of each fold, in the order of its scored ids

    Returns:
        floating (num_utterances, 4)
    """
    place = {name: number for number, name in enumerate(name for fold in folds for name in fold.scored)}
    return np.concatenate(of_folds)[[place[name] for name in features.utterance_ids]]


def keep_record(model_dir: Path, record: ModelRecord) -> None:
    """Write ``model.json`` for this call's seeds, and for earlier ones that were made in exactly the same way.

    Raises:
        ModelError: an earlier record there cannot be read
    """
    seeds = saved_seeds(model_dir, record.seeds, len(record.scene_groups))
    before = ModelRecord.read(model_dir) if (model_dir / "model.json").exists() else None
    if before is not None and is_same_making(before, record):
        record = replace(record, created_at=before.created_at)
    elif before is not None:
        # No record says how the other seeds were made.
        seeds = tuple(seed for seed in seeds if seed in record.seeds)
    replace(record, seeds=seeds).write(model_dir)


def is_same_making(before: ModelRecord, record: ModelRecord) -> bool:
    """Return whether two records differ in their seeds and dates at most, as their files spell the values.

    A user's own features are the same under another name.
    """
    same = replace(record, seeds=before.seeds, created_at=before.created_at)
    return _spell_making(same) == _spell_making(before)


def _spell_making(record: ModelRecord) -> str:
    value = json.loads(json.dumps(to_plain(record)))
    for own in ((value["speech_settings"] or {}).get("own"), value.get("text_features")):
        if own is not None:
            del own["file_name"]
    return json.dumps(value, sort_keys=True)


def describe_model(
    training: FinalTraining,
    store: FeatureStore,
    num_train_utterances: int,
    *,
    is_fitted_on_test: bool = False,
    variant: str | None = None,
) -> ModelRecord:
    """Return the record of one final training's models."""
    has_speech, below = "speech" in training.modalities, training.turn_model
    hyperparameters = asdict(training.hyperparameters)
    if below is not None:
        hyperparameters = {name: value for name, value in hyperparameters.items() if name not in REPLACED}
    return ModelRecord(
        system=training.system.name,
        hyperparameters=hyperparameters,
        protocol=training.spec.protocol,
        modalities=training.modalities,
        classes=CLASSES,
        num_epochs=training.num_epochs,
        seeds=training.seeds,
        speech_settings=store.manifest.speech_settings.to_json() if has_speech else None,
        corpus_hash=store.corpus_hash,
        is_synthetic=training.experiment.is_synthetic,
        corpus_note=training.experiment.corpus_note,
        num_train_utterances=num_train_utterances,
        is_fitted_on_test=is_fitted_on_test,
        variant=variant,
        eid=training.experiment.eid,
        trial_index=training.trial.trial_index,
        versions=package_versions(),
        created_at=utc_now(),
        scene_groups=training.scene_groups,
        turn_model=None if below is None else below.to_json(),
        word_vectors=None if below is None else training.spec.word_vectors,
        auxiliary=training.spec.auxiliary,
        temperature=training.trial.temperature,
        own_system=None if training.system.own is None else training.system.own.to_plain(),
        text_features=to_plain(store.manifest.text_features) if "text" in training.modalities else None,
    )
