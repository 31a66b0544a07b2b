"""Test evaluations: each is on record before the test session's files are opened, and scores each model once.

The baselines that every reader asks for, and the probes that show what the scenes give away, are fitted on the same
utterances and scored in the same evaluation.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.corpus.utterances import CLASSES
from harness.errors import ModelError
from harness.features.store import Features, FeatureStore
from harness.final.answers import answer, answer_added, mix
from harness.final.baselines import fit_baselines, score_probes
from harness.final.retrain import FinalTraining, join_folds, train_final_models
from harness.final.saved_model import AddedModel, ModelRecord, name_in_results
from harness.provenance import user_name
from harness.scoring.breakdown import find_seen
from harness.scoring.calibration import average_probabilities
from harness.splits.protocol import Protocol, is_tested, select_recordings
from harness.splits.scenes import SceneFold, leave_groups_out
from harness.store.records import ScoreKind, TestOpening, TestOpeningRow, TestScores
from harness.store.store import ResultsStore
from harness.training.recipe import best_test_epoch, load_auxiliary, open_parts, score_predictions

if TYPE_CHECKING:
    from harness.final.ensemble import Ensemble


def open_test_session(store: FeatureStore, protocol: Protocol) -> Features:
    """Load the test utterances, by id. Record a ``TestOpening`` before you call this.

    Raises:
        FeatureError: a file is missing or damaged
    """
    utterances = store.utterances((protocol.test_session,))
    names = [found.utterance_id for found in utterances if is_tested(protocol, found.utterance_id)]
    return store.load(tuple(select_recordings(names, protocol.recordings)))


def record_opening(
    results: ResultsStore,
    command: str,
    protocol_name: str,
    corpus_hash: str,
    seeds: Sequence[int],
    eid: int | None = None,
) -> int:
    """Record a test evaluation before the test session is opened, and return its id.

    Args:
        command: as the user typed it
        seeds: that will be scored
        eid: the experiment whose best hyperparameters are scored; None where there are several

    Raises:
        StoreError: it cannot be recorded, so nothing may be opened
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


def open_for_scoring(
    training: FinalTraining,
    results: ResultsStore,
    store: FeatureStore,
    trained_on: Features,
    command: str,
    seeds: Sequence[int] | None = None,
) -> tuple[int, Features]:
    """Record the test evaluation of a final training, open the test session, and record the transcripts seen.

    Args:
        trained_on: train and validation utterances
        command: as the user typed it
        seeds: that are scored; None for those of the training

    Returns:
        the id of the test evaluation, and the test utterances

    Raises:
        FeatureError: a file of the test session is missing or damaged
        StoreError: the evaluation cannot be recorded, so nothing was opened
    """
    protocol, eid = training.spec.protocol, training.experiment.eid
    opening_id = record_opening(results, command, protocol.name, store.corpus_hash, seeds or training.seeds, eid)
    test = open_test_session(store, protocol)
    groups = [fold.scenes for fold in training.folds]
    folds = leave_groups_out(groups, trained_on.utterance_ids, test.utterance_ids) if groups else ()
    others = load_auxiliary(training.recipe(training.seeds[0]))
    record_transcripts_seen(results, opening_id, trained_on, test, folds, others)
    return opening_id, test


def record_transcripts_seen(
    results: ResultsStore,
    opening_id: int,
    trained_on: Features,
    test: Features,
    folds: Sequence[SceneFold] = (),
    others: Features | None = None,
) -> None:
    """Record of each test utterance whether its transcript stands, word for word, among those trained on.

    Args:
        folds: where scenes are disjoint; then only what the utterance's own model was trained on counts
        others: the turns of auxiliary corpora, which every model was trained on
    """
    is_seen = {} if folds else compare_transcripts(trained_on, test, others)
    for fold in folds:
        is_seen |= compare_transcripts(trained_on.select(fold.train), test.select(fold.scored), others)
    results.record_test_utterances(opening_id, is_seen)


def compare_transcripts(
    trained_on: Features, scored: Features, others: Features | None = None
) -> dict[str, bool | None]:
    """Return of each scored utterance whether its transcript stands, word for word, among those trained on.

    Args:
        others: the turns of auxiliary corpora, where there are any

    Returns:
        by utterance id; None where no word was said
    """
    transcripts = dict(zip(scored.utterance_ids, scored.transcripts, strict=True))
    is_seen = find_seen(transcripts, trained_on.transcripts + (() if others is None else others.transcripts))
    return {name: is_seen.get(name) for name in transcripts}


def score_test_session(
    training: FinalTraining,
    results: ResultsStore,
    command: str,
    on_epoch: Callable[[int, int], None] = lambda seed, epoch: None,
    show: Callable[[str], None] = lambda doing: None,
    disjoint: FinalTraining | None = None,
    ensemble: Ensemble | None = None,
) -> tuple[str, ...]:
    """Open the test session, score each seed's model, the baselines and the probes once, and record every score.

    Where scenes are disjoint, each utterance is scored by the model, and by the baselines, that have not read its
    scene, and a score is over all of them together.

    Under ``EpochChoice.TEST_MAXIMUM`` the models are trained here, with the test session open and scored after
    every epoch, and the best test epoch is recorded too, labelled optimistic. Otherwise train them before.

    Args:
        command: as the user typed it, for the record
        on_epoch: called with the seed and the number of each epoch that has ended
        show: called with a description of each step
        disjoint: the same hyperparameters without the scored scenes, trained before, to be scored in the same
            evaluation
        ensemble: whose first member is ``training``, and that is scored in its place: the mean of all members leads,
            and each member's seed is scored alone beside it

    Returns:
        a sentence for each baseline or probe that could not be fitted

    Raises:
        ModelError: the features are of another corpus, or a saved model is missing or damaged
        FeatureError: they are damaged, or lack a modality that the system reads
        StoreError: the results cannot be written
    """
    # Features that cannot be used are found here, before an evaluation is on record.
    store = training.open_features()
    members = (training,) if ensemble is None else ensemble.members
    for planned in (*members, *([] if disjoint is None else [disjoint])):
        missing = list(dict.fromkeys(str(seed) for seed, _ in planned.trainings))
        if missing and not planned.test_chooses_epoch:
            raise ModelError(
                f"models {str(planned.model_dir)!r}: lack seed {', '.join(missing)}; expected every seed to be trained "
                "before the test session is scored"
            )
    parts = open_parts(training.spec.protocol, store)
    trained_on = store.load(parts.trained_on)
    show("fitting the baselines")
    recipe = training.recipe(training.seeds[0])
    of_folds = [
        fit_baselines(store, trained_on.select(fold.train), training.seeds, recipe)
        for fold in parts.final_folds(())
    ]
    seeds = [seed for member in members for seed in member.seeds]
    opening_id, test = open_for_scoring(training, results, store, trained_on, command, seeds)
    test_epochs = train_final_models(training, results, test, on_epoch) if training.test_chooses_epoch else {}
    folds = parts.final_folds(test.utterance_ids)
    scored = [test.select(fold.scored) for fold in folds]
    model = name_in_results(training.model_dir)
    if ensemble is None:
        scores = score_models(training, ScoreKind.VALIDATION_CHOSEN, folds, test)
        if len(scores) > 1:
            scores.append(_score_mean(scores, ScoreKind.MEAN_OF_SEEDS, test, training.model_dir, training.num_epochs))
    else:
        alone = [score_models(member, ScoreKind.ENSEMBLE_MEMBER, folds, test) for member in members]
        of_members = [score for of_member in alone for score in of_member]
        of_added = {}
        for added in ModelRecord.read(ensemble.model_dir).added:
            groups = zip(training.group_numbers, scored, strict=True)
            answers = [answer_added(ensemble.model_dir, added.kind, part, group) for group, part in groups]
            of_added[added] = join_folds(folds, test, answers)
        mean = _score_mean(of_members, ScoreKind.ENSEMBLE, test, ensemble.model_dir, epoch=None, of_added=of_added)
        scores = [mean, *of_members]
    scores += [replace(best_test_epoch(seed, test, epochs), model=model) for seed, epochs in test_epochs.items()]
    if disjoint is not None:
        left_out = open_parts(disjoint.spec.protocol, store).final_folds(test.utterance_ids)
        scores += score_models(disjoint, ScoreKind.SCENES_LEFT_OUT, left_out, test)
    for kind, seed in of_folds[0].fitted:
        # One that could not be fitted without some group's scenes has no answer for that group.
        fitted = [baselines.fitted[kind, seed] for baselines in of_folds if (kind, seed) in baselines.fitted]
        if len(fitted) == len(folds):
            answers = [baseline.probabilities(part) for baseline, part in zip(fitted, scored, strict=True)]
            scores.append(score_predictions(seed, kind, test, join_folds(folds, test, answers), epoch=None))
    of_probes, without_scene = score_probes(trained_on, test, training.seeds[0], show)
    # Together: an evaluation that lacks its probes would count as complete, and would never get them.
    results.record_test_scores(opening_id, *scores, *of_probes)
    reasons = [sentence for baselines in of_folds for sentence in baselines.left_out]
    return tuple(dict.fromkeys([*reasons, *without_scene]))


def _score_mean(
    scores: Sequence[TestScores],
    kind: ScoreKind,
    test: Features,
    model_dir: Path,
    epoch: int | None,
    of_added: Mapping[AddedModel, np.ndarray] | None = None,
) -> TestScores:
    """Score the mean of several models' probabilities, under the seed of the first of them.

    Args:
        of_added: the probabilities of the models added to them, floating (num_test, 4); None without one
    """
    answers = average_probabilities([score.predictions for score in scores])
    of_utterance = {found.utterance_id: found.probabilities for found in answers}
    probabilities = np.array([of_utterance[name] for name in test.utterance_ids])
    if of_added is not None:
        probabilities = mix(probabilities, of_added)
    found = score_predictions(scores[0].seed, kind, test, probabilities, epoch)
    return replace(found, model=name_in_results(model_dir))


def score_models(
    training: FinalTraining, kind: ScoreKind, folds: Sequence[SceneFold], test: Features
) -> list[TestScores]:
    """Score each seed's saved model; where scenes are disjoint, each utterance by the one that has not read its scene.

    Args:
        folds: of the final training, whose scored ids are those of ``test``
    """
    scored = [test.select(fold.scored) for fold in folds]
    scores = []
    for seed in training.seeds:
        # A test set that plays no scene of some group has nothing to ask its model.
        predicted = [
            answer(training.model_dir, seed, of_group, group, training.trial.temperature)
            if of_group
            else np.zeros((0, len(CLASSES)))
            for group, of_group in zip(training.group_numbers, scored, strict=True)
        ]
        found = score_predictions(seed, kind, test, join_folds(folds, test, predicted), training.num_epochs)
        scores.append(replace(found, model=name_in_results(training.model_dir)))
    return scores


def find_opening(
    openings: Sequence[TestOpeningRow],
    training: FinalTraining,
    *,
    with_scenes: bool = False,
    ensemble: Ensemble | None = None,
) -> TestOpeningRow | None:
    """Find the latest complete test evaluation that has scored these very models with all of these seeds.

    Args:
        ensemble: which it must have scored in place of the training's models
        with_scenes: whether it must have scored the same hyperparameters without the scored scenes too, unless these
            models have not read those scenes anyway
    """
    if ensemble is not None:
        wanted = ScoreKind.ENSEMBLE, name_in_results(ensemble.model_dir)
        for opening in reversed(openings):
            found = {(score.kind, score.model) for score in opening.scores}
            if opening.completed_at is not None and wanted in found:
                return opening
        return None
    model = name_in_results(training.model_dir)
    for opening in reversed(openings):
        scored = {
            score.seed
            for score in opening.scores
            if score.kind is ScoreKind.VALIDATION_CHOSEN and score.model == model
        }
        left_out = {score.seed for score in opening.scores if score.kind is ScoreKind.SCENES_LEFT_OUT}
        is_whole = opening.completed_at is not None and scored >= set(training.seeds)
        if is_whole and (not with_scenes or training.folds or left_out >= set(training.seeds)):
            return opening
    return None
