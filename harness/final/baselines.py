"""The baselines and probes of a test evaluation: fitted on what the model is trained on, and scored beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import FeatureError
from harness.features.auxiliary import join_words
from harness.features.store import Features, FeatureStore
from harness.models.baselines import BASELINES, Baseline, FittedBaseline, Probabilities, average
from harness.models.class_weights import share_classes
from harness.models.context_baseline import fit_context_baseline
from harness.models.hyperparameters import DialogueHyperparameters
from harness.models.probes import PROBES, Probe, ProbeAnswers, answer_twice
from harness.scoring.scenes import PROBE_KINDS
from harness.splits.protocol import ClassWeights
from harness.store.records import BASELINE_PREFIX, ScoreKind, TestScores
from harness.training.dialogues import DialogueInputs, fit_dialogues
from harness.training.recipe import Recipe, load_auxiliary, plan_turns, score_predictions


@dataclass(frozen=True)
class FinalBaselines:
    """The baselines, fitted on train + validation.

    Attributes:
        fitted: by the kind of their scores and the seed; one seed where the seed changes nothing
        left_out: a sentence for each that could not be fitted
    """

    fitted: dict[tuple[ScoreKind, int], FittedBaseline]
    left_out: tuple[str, ...]

    def score(self, scored: Features) -> list[TestScores]:
        """Score each of them on the same utterances."""
        return [
            score_predictions(seed, kind, scored, baseline.probabilities(scored), epoch=None)
            for (kind, seed), baseline in self.fitted.items()
        ]


def fit_baselines(
    store: FeatureStore,
    trained_on: Features,
    seeds: Sequence[int],
    recipe: Recipe | None = None,
) -> FinalBaselines:
    """Fit every baseline for all models whose modalities the corpus has; for a system that reads the dialogue two more.

    One of words alone is fitted on the auxiliary corpora too, where the model is trained on them.

    Args:
        store: of the corpus that is scored
        trained_on: train and validation utterances, as the model is trained on
        seeds: of the final trainings; a baseline without random choices is fitted with the first alone
        recipe: of the model; None where no system is known
    """
    fitted: dict[tuple[ScoreKind, int], FittedBaseline] = {}
    left_out = []
    others = None if recipe is None else load_auxiliary(recipe)
    words = trained_on if others is None else join_words(trained_on, others)
    class_weights = ClassWeights.NONE if recipe is None else recipe.protocol.class_weights
    for baseline in (known for known in BASELINES.values() if known.is_for_all):
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
                fitted[kind_of(baseline), seed] = (
                    average(parts)
                    if is_known
                    else baseline.fit(words if baseline.modalities == ("text",) else trained_on, seed, class_weights)
                )
        except FeatureError as error:
            left_out.append(f"The baseline '{baseline.title}' is left out: {error}.")
    if recipe is not None and isinstance(recipe.hyperparameters, DialogueHyperparameters):
        in_context = fit_context_baselines(recipe, trained_on)
        fitted |= {(kind, seeds[0]): baseline for kind, baseline in in_context.items()}
    return FinalBaselines(fitted, tuple(left_out))


def score_probes(
    trained_on: Features, test: Features, seed: int, show: Callable[[str], None] = lambda doing: None
) -> tuple[list[TestScores], list[str]]:
    """Fit and score the probes for which training has anything to read.

    Args:
        trained_on: train and validation utterances, as the model is trained on
        seed: that their scores are recorded under, one of the evaluation's; it changes nothing
        show: called with a description of each fit

    Returns:
        the scores, and a sentence for each probe that could not be fitted without a scene
    """
    scores: list[TestScores] = []
    reasons: list[str] = []
    for probe in PROBES.values():
        if probe.has_input(trained_on).any():
            answers = answer_twice(probe, trained_on, test, show)
            scores += score_probe(probe, answers, test, seed)
            if answers.left_out is None:
                reasons.append(
                    f"The probe of {probe.reads} has no score with the scored scene left out: every training utterance "
                    f"with {probe.reads} plays scene {answers.only_scene!r}."
                )
    return scores, reasons


def score_probe(probe: Probe, answers: ProbeAnswers, test: Features, seed: int) -> tuple[TestScores, ...]:
    """Score a probe: with scenes shared first, then with the scored scene left out, where there are such answers."""
    found = zip(PROBE_KINDS[probe.reads], (answers.shared, answers.left_out), strict=True)
    return tuple(
        score_predictions(seed, kind, test, probabilities, epoch=None)
        for kind, probabilities in found
        if probabilities is not None
    )


def kind_of(baseline: Baseline) -> ScoreKind:
    """Return the kind of a baseline's scores."""
    return ScoreKind(BASELINE_PREFIX + baseline.title)


def fit_context_baselines(
    recipe: Recipe, trained_on: Features
) -> Mapping[ScoreKind, FittedBaseline]:
    """Fit both on the inputs of a system: its turns' own classifier, and its turns of the dialogue.

    Args:
        recipe: of a system that reads the dialogue; a turn model has its seed
        trained_on: train and validation utterances, as the system is trained on

    Returns:
        the turns' own classifier; and the context baseline with the same ``context``, whose turns are answered out of
        fold in training

    Raises:
        FeatureError, ShapeError: as ``fit_dialogues``
    """
    hyperparameters, protocol = recipe.hyperparameters, recipe.protocol
    assert isinstance(hyperparameters, DialogueHyperparameters)
    fitted, train = fit_dialogues(hyperparameters, trained_on, protocol, 0, plan_turns(recipe))
    regression = fit_context_baseline(
        train.dialogues,
        train.probabilities,
        train.emotions,
        train.folds,
        hyperparameters.context,
        class_weights=protocol.class_weights,
    )

    def as_baseline(answer: Callable[[DialogueInputs], Probabilities]) -> FittedBaseline:
        return FittedBaseline(
            prior=share_classes(protocol.class_weights, trained_on.emotions),
            has_input=lambda features: np.ones(len(features), dtype=bool),
            classify=lambda features, rows: _answer_utterances(answer, fitted.prepare(features))[rows],
        )

    return {
        ScoreKind.BASELINE_OWN_TURN: as_baseline(lambda inputs: inputs.probabilities),
        ScoreKind.BASELINE_CONTEXT: as_baseline(
            lambda inputs: regression.predict(inputs.dialogues, inputs.probabilities)
        ),
    }


def _answer_utterances(
    answer: Callable[[DialogueInputs], Probabilities], inputs: DialogueInputs
) -> Probabilities:
    return answer(inputs)[inputs.rows]
