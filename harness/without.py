"""`retrain-best --without` and `--replace`: which data trains, which scores, and what is saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.errors import ModelError
from harness.features.store import Features, FeatureStore
from harness.modular import (
    Fitted,
    Variant,
    compare_without,
    kept_modalities,
    predict,
    retrain_fusion_layers,
    train_whole,
)
from harness.retrain import (
    FinalTraining,
    describe_model,
    keep_record,
    load_train_and_validation,
    train_final_models,
)
from harness.saved_model import ModelRecord, load_seed, name_in_results, save_seed
from harness.sealed_test import (
    open_test_session,
    record_final_opening,
    record_transcripts_seen,
    score_predictions,
)
from harness.splits import make_split, search_sessions
from harness.store.records import ScoreKind
from harness.store.results import ResultsStore

#: Called with what is being done.
Tell = Callable[[str], None]


@dataclass(frozen=True)
class SideBySide:
    """Several ways side by side, all scored on the same utterances.

    Attributes:
        scored_on: in words
        emotions: int64 (num_utterances,), index into ``CLASSES``, of what was scored
    """

    scored_on: str
    emotions: np.ndarray
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Destination:
    """Where models go that came from others, and what will be said of them.

    Attributes:
        modalities: what they read
        variant: a sentence on how they came about
        is_fitted_on_test: whether a vocabulary in them knows the test session's words
    """

    folder: Path
    modalities: tuple[str, ...]
    variant: str
    is_fitted_on_test: bool = False


def retrain_without(
    training: FinalTraining,
    results: ResultsStore,
    without: Sequence[str],
    command: str | None,
    tell: Tell = lambda doing: None,
) -> tuple[Path, list[SideBySide]]:
    """Save models that do without some modalities, and compare the ways to get there.

    The saved models are the final ones of train + validation, their branches frozen and their fusion
    layers trained again. They have seen validation, so the comparison on validation trains models
    of its own, on train alone.

    Args:
        command: what the user typed, where the test session is to be opened and scored; otherwise None

    Returns:
        the folder of the saved models; one comparison on validation, and one on the test session if opened

    Raises:
        ModelError: the system is no fusion, has no such modality, or none would stay; the features are of another
            corpus; a saved model is damaged; or the test session would be open in training
        FeatureError: the features are damaged, or lack what the system needs
    """
    _require_sealed(training)
    kept = kept_modalities(training, without)
    store = training.open_features()
    name = f"{training.model_dir.name}-without-{'-'.join(sorted(without))}"
    variant = f"Without {', '.join(without)}: the branches of {training.model_dir.name} frozen, the fusion layers new."
    destination = Destination(training.model_dir.with_name(name), kept, variant)
    utterances = store.utterances(search_sessions(training.spec.protocol))
    split = make_split(training.spec.protocol, [utterance.utterance_id for utterance in utterances])
    train, validation = store.load(split.train), store.load(split.validation)
    tell("training whole models on train alone, to compare on validation")
    bases = {seed: train_whole(training, train, seed, training.system.modalities) for seed in training.seeds}
    tell("retraining without " + ", ".join(without))
    variants, _ = compare_without(training, bases, without, train, validation)
    comparisons = [SideBySide("validation, trained on train", validation.emotions, tuple(variants))]

    tell("training the final models on train + validation")
    train_final_models(training, results)
    both = load_train_and_validation(training, store)
    finals = {seed: Fitted(*load_seed(training.model_dir, seed)) for seed in training.seeds}
    if command is None:
        models = {
            seed: retrain_fusion_layers(training, dict.fromkeys(kept, base), both, seed)
            for seed, base in finals.items()
        }
    else:
        opening_id = record_final_opening(training, results, store, command)
        test = open_test_session(store, training.spec.protocol)
        record_transcripts_seen(results, opening_id, both, test)
        tell("retraining without " + ", ".join(without))
        variants, models = compare_without(training, finals, without, both, test)
        comparisons.append(_record(training, results, opening_id, test, variants, destination))
    _save(training, results, store, destination, models, both)
    return destination.folder, comparisons


def replace_branch(
    training: FinalTraining,
    results: ResultsStore,
    modality: str,
    other_dir: Path,
    command: str | None,
    tell: Tell = lambda doing: None,
) -> tuple[Path, list[SideBySide]]:
    """Save fusions whose branch of one modality comes from another trained system of that modality.

    Args:
        other_dir: a folder that `retrain-best` wrote for a system of that modality alone
        command: what the user typed, where the test session is to be opened and scored; otherwise None

    Returns:
        the folder of the saved models; a comparison on the test session if it was opened

    Raises:
        ModelError: the other model reads another modality, other features, or has too few seeds; else as
            ``retrain_without``
        FeatureError: the features are damaged, or lack what the system needs
    """
    _require_sealed(training)
    modalities = kept_modalities(training, ())
    store = training.open_features()
    other = ModelRecord.read(other_dir)
    _check_replacement(training, store, other, modality, other_dir)
    name = f"{training.model_dir.name}-{modality}-from-{other_dir.name}"
    variant = (
        f"The {modality} branch is that of {other.system} in {other_dir.name}, the others those of "
        f"{training.model_dir.name}; all frozen, the fusion layers new."
    )
    destination = Destination(
        training.model_dir.with_name(name), modalities, variant, other.is_fitted_on_test and modality == "text"
    )
    tell("training the final models on train + validation")
    train_final_models(training, results)
    both = load_train_and_validation(training, store)
    finals = {seed: Fitted(*load_seed(training.model_dir, seed)) for seed in training.seeds}
    tell(f"retraining the fusion layers over the {modality} branch of {other.system}")
    models = {}
    for seed, other_seed in zip(training.seeds, other.seeds, strict=False):
        branches = dict.fromkeys(modalities, finals[seed])
        branches[modality] = Fitted(*load_seed(other_dir, other_seed))
        models[seed] = retrain_fusion_layers(training, branches, both, seed)
    comparisons = []
    if command is not None:
        opening_id = record_final_opening(training, results, store, command)
        test = open_test_session(store, training.spec.protocol)
        record_transcripts_seen(results, opening_id, both, test)
        found = {ScoreKind.VALIDATION_CHOSEN: finals, ScoreKind.BRANCH_REPLACED: models}
        variants = [
            Variant(kind, {seed: predict(model, test) for seed, model in by_seed.items()})
            for kind, by_seed in found.items()
        ]
        comparisons = [_record(training, results, opening_id, test, variants, destination)]
    _save(training, results, store, destination, models, both)
    return destination.folder, comparisons


def _require_sealed(training: FinalTraining) -> None:
    """Models that others are made of are trained with the test session sealed, whatever the protocol."""
    if training.test_chooses_epoch:
        raise ModelError(
            f"protocol {training.spec.protocol.name!r}: would open the test session while the models train, from "
            "which others are made here; expected a training planned without it"
        )


def _record(
    training: FinalTraining,
    results: ResultsStore,
    opening_id: int,
    test: Features,
    variants: Sequence[Variant],
    destination: Destination,
) -> SideBySide:
    saved = {
        ScoreKind.VALIDATION_CHOSEN: training.model_dir,
        ScoreKind.FUSION_RETRAINED: destination.folder,
        ScoreKind.BRANCH_REPLACED: destination.folder,
    }
    for variant in variants:
        model = name_in_results(saved[variant.kind]) if variant.kind in saved else None
        for seed, probabilities in variant.probabilities.items():
            scores = score_predictions(seed, variant.kind, test, probabilities, training.num_epochs)
            results.record_test_scores(opening_id, replace(scores, model=model))
    session = f"Session {training.spec.protocol.test_session}, trained on train + validation"
    return SideBySide(session, test.emotions, tuple(variants))


def _check_replacement(
    training: FinalTraining, store: FeatureStore, other: ModelRecord, modality: str, other_dir: Path
) -> None:
    name = f"model {str(other_dir)!r}"
    if modality not in training.system.modalities or other.modalities != (modality,):
        raise ModelError(
            f"{name}: reads {', '.join(other.modalities)}, and was given for {modality!r} of system "
            f"{training.system.name!r}; expected a system of that modality alone"
        )
    if other.corpus_hash != store.corpus_hash or other.protocol != training.spec.protocol:
        raise ModelError(
            f"{name}: was trained on corpus {other.corpus_hash[:12]} under protocol {other.protocol.name!r}; "
            f"expected corpus {store.corpus_hash[:12]} and protocol {training.spec.protocol.name!r}, as the fusion's"
        )
    settings = store.manifest.speech_settings.to_json()
    if modality == "speech" and other.speech_settings != settings:
        raise ModelError(f"{name}: its speech frames were made with {other.speech_settings}; expected {settings}")
    if len(other.seeds) < len(training.seeds):
        raise ModelError(
            f"{name}: has {len(other.seeds)} seed(s); expected at least {len(training.seeds)}, "
            "one for each seed of the fusion"
        )


def _save(
    training: FinalTraining,
    results: ResultsStore,
    store: FeatureStore,
    destination: Destination,
    models: dict[int, Fitted],
    features: Features,
) -> None:
    for seed, model in models.items():
        save_seed(destination.folder, seed, model.model, model.fitted)
    record = describe_model(
        training,
        store,
        len(features),
        is_fitted_on_test=destination.is_fitted_on_test,
        variant=destination.variant,
    )
    record = replace(
        record,
        modalities=destination.modalities,
        speech_settings=record.speech_settings if "speech" in destination.modalities else None,
    )
    keep_record(destination.folder, record, results)
