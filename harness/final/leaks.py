"""The best hyperparameters of a search under splits that leak more or less, trained on equally many utterances."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from harness.corpus.layout import SESSIONS
from harness.features.store import FeatureStore
from harness.final.best_point import BestPoint, describe_follow_up
from harness.final.test_session import record_opening
from harness.splits.parts import LeakParts, LeakSplit, Parts, draw_leak_parts, part_for_epochs
from harness.splits.protocol import Scenes, is_tested, search_sessions, select_recordings
from harness.store.records import ExperimentKind
from harness.store.store import ResultsStore
from harness.training.recipe import Outcome, Watch, train_once, train_twice
from harness.training.runner import PlannedExperiment


@dataclass(frozen=True)
class LeaksPlan:
    """The trainings that `harness leaks` carries out.

    Attributes:
        store: the features that the trial was trained on
        num_seeds: draws of the scored utterances; each is trained with a seed of its own
        opens_test: whether the test session is scored and, in part, trained on. Then record a ``TestOpening``
            before you read ``draws``
    """

    best: BestPoint
    store: FeatureStore
    num_seeds: int
    opens_test: bool

    @cached_property
    def draws(self) -> dict[int, LeakParts]:
        """The utterances that each seed, from 1, scores and trains on.

        Raises:
            FeatureError: the corpus is too small for these splits
        """
        protocol = self.best.spec.protocol
        sessions = SESSIONS if self.opens_test else search_sessions(protocol)
        utterances = [
            found
            for found in self.store.utterances(sessions)
            if self.opens_test or not is_tested(protocol, found.utterance_id)
        ]
        names = select_recordings([utterance.utterance_id for utterance in utterances], protocol.recordings)
        others = {utterance.name.session for utterance in utterances} - {protocol.test_session}
        held = (protocol.test_session,) if self.opens_test else tuple(sorted(others, reverse=True))
        return {seed: draw_leak_parts(names, held, seed - 1) for seed in range(1, self.num_seeds + 1)}


def record_leaks_opening(plan: LeaksPlan, results: ResultsStore, command: str) -> int:
    """Record a test evaluation before the test session is opened, and return its id.

    Args:
        command: as the user typed it
    """
    best = plan.best
    seeds = range(1, plan.num_seeds + 1)
    return record_opening(results, command, best.spec.protocol.name, best.experiment.corpus_hash, seeds)


def plan_experiments(plan: LeaksPlan) -> list[PlannedExperiment]:
    """Return one experiment for each split, the most leaking one first."""
    return [_plan_one(plan, split) for split in LeakSplit]


def _plan_one(plan: LeaksPlan, split: LeakSplit) -> PlannedExperiment:
    title = f"{split.value} split" + (" (test session opened)" if plan.opens_test else "")
    decides = {"split": split.value, "opens_test": plan.opens_test}
    record = describe_follow_up(plan.best, ExperimentKind.LEAKS, f"leaks: {title}", plan.num_seeds, decides)
    settings = {**json.loads(record.settings), "draws": _describe_draws(plan)}
    return PlannedExperiment(
        title=title,
        record=replace(record, settings=json.dumps(settings, sort_keys=True)),
        hyperparameters=plan.best.trial.hyperparameters,
        seeds={seed: seed for seed in plan.draws},
        train=partial(_train, plan, split),
    )


def _describe_draws(plan: LeaksPlan) -> Mapping[str, Any]:
    return {
        str(seed): {
            "speaker": parts.speaker,
            "scenes": parts.scenes,
            "num_train": parts.num_train,
            "num_scored": len(parts.scored),
        }
        for seed, parts in plan.draws.items()
    }


def _train(plan: LeaksPlan, split: LeakSplit, seed: int, watch: Watch) -> Outcome:
    """Score one draw: on validation as a search does, or in the test session as a final training does."""
    recipe, parts = plan.best.recipe(seed), plan.draws[seed]
    if split is LeakSplit.SCENE:
        # A system that reads the dialogue then answers the training turns, too, without having read their scenes.
        recipe = replace(recipe, protocol=replace(recipe.protocol, scenes=Scenes.DISJOINT))
    if not plan.opens_test:
        return train_once(recipe, plan.store, Parts(tuple(sorted(parts.train[split])), parts.scored, ()), watch)
    train, validation = part_for_epochs(parts.train[split])
    return train_twice(recipe, plan.store, Parts(train, validation, parts.scored), watch, finds_maximum=False)
