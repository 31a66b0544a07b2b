"""Opening the test session: recorded before its files are touched, then each model is scored once.

Beside the model stand the baselines that every reader asks for first, fitted on the same utterances and
scored in the same opening.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.errors import FeatureError
from harness.features.store import Features, FeatureStore
from harness.final.retrain import (
    FinalTraining,
    keep_record,
    load_train_and_validation,
    train_final_models,
)
from harness.final.saved_model import ModelRecord, load_seed, name_in_results
from harness.models.baselines import BASELINES, Baseline, FittedBaseline, average
from harness.provenance import user_name
from harness.scoring.breakdown import find_seen
from harness.scoring.metrics import macro_f1, unweighted_accuracy, weighted_accuracy
from harness.splits.protocol import Protocol, select_recordings
from harness.store.records import BASELINE_PREFIX, ScoreKind, TestOpening, TestScores
from harness.store.store import ResultsStore
from harness.training.loop import Scorer
from harness.training.trial import describe_predictions


@dataclass(frozen=True)
class FinalBaselines:
    """The baselines as they are fitted on train + validation.

    Attributes:
        fitted: by the kind of their scores and the seed; one seed where the seed changes nothing
        left_out: a sentence for each that could not be fitted
    """

    fitted: dict[tuple[ScoreKind, int], FittedBaseline]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class SessionScores:
    """What one opening scored.

    Attributes:
        scores: the model's, a score for each seed with its predictions; the optimistic ones after the
            honest ones, and those of the baselines last
        left_out: a sentence for each baseline that could not be fitted
    """

    scores: tuple[TestScores, ...]
    left_out: tuple[str, ...]


def open_test_session(store: FeatureStore, protocol: Protocol) -> Features:
    """Load the test utterances, by id. Whoever calls this has recorded a ``TestOpening`` before.

    Raises:
        FeatureError: a file is missing or damaged
    """
    utterances = store.utterances((protocol.test_session,))
    names = [utterance.utterance_id for utterance in utterances]
    return store.load(tuple(select_recordings(names, protocol.recordings)))


def record_opening(
    results: ResultsStore,
    command: str,
    protocol_name: str,
    corpus_hash: str,
    seeds: Sequence[int],
    eid: int | None = None,
) -> int:
    """Record that the test session is about to be opened, and return the opening's id.

    Args:
        command: what the user typed
        seeds: that will be scored
        eid: the experiment whose best point is scored; None where there are several

    Raises:
        StoreError: it cannot be recorded, and so nothing may be opened
    """
    return results.record_opening(
        TestOpening(
            eid=eid,
            command=command,
            protocol=protocol_name,
            corpus_hash=corpus_hash,
            seeds=tuple(seeds),
            host=platform.node(),
            user=user_name(),
        )
    )


def record_final_opening(
    training: FinalTraining, results: ResultsStore, store: FeatureStore, command: str
) -> int:
    """Record that a final training is about to open the test session, and return the opening's id.

    Args:
        command: what the user typed

    Raises:
        StoreError: it cannot be recorded, and so nothing may be opened
    """
    protocol, eid = training.spec.protocol.name, training.experiment.eid
    return record_opening(results, command, protocol, store.corpus_hash, training.seeds, eid)


def score_test_session(
    training: FinalTraining,
    results: ResultsStore,
    command: str,
    on_epoch: Callable[[int, int], None] = lambda seed, epoch: None,
    tell: Callable[[str], None] = lambda doing: None,
) -> SessionScores:
    """Train what is not trained yet, open the test session, and score each seed and the baselines once.

    Under ``EpochChoice.TEST_MAXIMUM`` the models are trained with the test session open, scored
    after every epoch, and the best test epoch is reported too, labelled optimistic.

    Args:
        command: what the user typed, for the record
        on_epoch: called with the seed and the number of each epoch that has ended
        tell: called with what is being done

    Returns:
        what was scored, all of it recorded

    Raises:
        ModelError: the features are of another corpus, or a saved model is damaged
        FeatureError: they are damaged, or lack what the system needs
        StoreError: the results cannot be written
    """
    protocol = training.spec.protocol
    # Whatever is wrong with them shows before an opening is on record.
    store = training.open_features()
    test_chooses = training.test_chooses_epoch
    if not test_chooses:
        train_final_models(training, results, on_epoch=on_epoch)
    trained_on = load_train_and_validation(training, store)
    tell("fitting the baselines")
    baselines = fit_baselines(store, trained_on, training.seeds)
    opening_id = record_final_opening(training, results, store, command)
    test = open_test_session(store, protocol)
    record_transcripts_seen(results, opening_id, trained_on, test)
    test_epochs = train_final_models(training, results, test, on_epoch) if test_chooses else {}
    of_model = []
    for seed in training.seeds:
        model, fitted = load_seed(training.model_dir, seed)
        probabilities = Scorer(model).score(fitted.prepare(test))
        of_model.append(
            score_predictions(seed, ScoreKind.VALIDATION_CHOSEN, test, probabilities, training.num_epochs)
        )
    of_model += [best_test_epoch(seed, test, epochs) for seed, epochs in test_epochs.items()]
    folder = name_in_results(training.model_dir)
    scores = [replace(score, model=folder) for score in of_model]
    scores += [
        score_predictions(seed, kind, test, baseline.probabilities(test), epoch=None)
        for (kind, seed), baseline in baselines.fitted.items()
    ]
    for score in scores:
        results.record_test_scores(opening_id, score)
    keep_record(training.model_dir, ModelRecord.read(training.model_dir), results)
    return SessionScores(tuple(scores), baselines.left_out)


def fit_baselines(store: FeatureStore, trained_on: Features, seeds: Sequence[int]) -> FinalBaselines:
    """Fit every baseline whose modalities the corpus has.

    Args:
        trained_on: train and validation utterances, as the model is trained on
        seeds: of the final trainings; a baseline that draws nothing is fitted with the first alone
    """
    fitted: dict[tuple[ScoreKind, int], FittedBaseline] = {}
    left_out = []
    for baseline in BASELINES.values():
        lacking = [modality for modality in baseline.modalities if modality not in store.modalities]
        if lacking:
            left_out.append(
                f"The baseline '{baseline.title}' is left out: the corpus has no {' and no '.join(lacking)}."
            )
            continue
        try:
            for seed in seeds if baseline.is_random else seeds[:1]:
                known = [
                    fitted.get((kind_of(part), seed if part.is_random else seeds[0]))
                    for part in map(BASELINES.__getitem__, baseline.parts)
                ]
                # Its parts have been fitted already, as a rule; a forest takes longer than all else.
                parts = [part for part in known if part is not None]
                is_known = bool(known) and len(parts) == len(known)
                fitted[kind_of(baseline), seed] = average(parts) if is_known else baseline.fit(trained_on, seed)
        except FeatureError as error:
            left_out.append(f"The baseline '{baseline.title}' is left out: {error}.")
    return FinalBaselines(fitted, tuple(left_out))


def kind_of(baseline: Baseline) -> ScoreKind:
    """Return the kind of a baseline's scores."""
    return ScoreKind(BASELINE_PREFIX + baseline.title)


def record_transcripts_seen(
    results: ResultsStore, opening_id: int, trained_on: Features, test: Features
) -> None:
    """Record of each test utterance whether its transcript stands, word for word, among those trained on."""
    transcripts = dict(zip(test.utterance_ids, test.transcripts, strict=True))
    is_seen = find_seen(transcripts, trained_on.transcripts)
    results.record_test_utterances(opening_id, {name: is_seen.get(name) for name in transcripts})


def best_test_epoch(seed: int, test: Features, epochs: list[np.ndarray]) -> TestScores:
    """Score the epoch that scores best on the test set, as the published code does: optimistic."""
    accuracies = [weighted_accuracy(test.emotions, epoch.argmax(axis=1)) for epoch in epochs]
    best = int(np.argmax(accuracies))
    return score_predictions(seed, ScoreKind.TEST_MAXIMUM, test, epochs[best], best + 1)


def score_predictions(
    seed: int, kind: ScoreKind, test: Features, probabilities: np.ndarray, epoch: int | None
) -> TestScores:
    """Score probabilities, floating (num_test, 4), of the model as it was after ``epoch``; a baseline has none."""
    predicted = probabilities.argmax(axis=1)
    return TestScores(
        seed=seed,
        kind=kind,
        weighted_accuracy=weighted_accuracy(test.emotions, predicted),
        unweighted_accuracy=unweighted_accuracy(test.emotions, predicted),
        macro_f1=macro_f1(test.emotions, predicted),
        predictions=describe_predictions(test, probabilities),
        epoch=epoch,
    )
