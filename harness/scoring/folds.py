"""The scores of an experiment of several folds: each fold's test evaluation, and all test sets pooled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.scoring.assessment import METRICS, Assessment, Seeds, assess, leading_score, read_predictions
from harness.scoring.statistics import Interval, Spread, bootstrap_intervals, mean_and_spread
from harness.store.records import (
    ExperimentRow,
    FoldedExperimentRow,
    ScoreKind,
    TestOpeningRow,
    TrialRow,
    TrialStatus,
)
from harness.store.store import ResultsStore


@dataclass(frozen=True)
class FoldScore:
    """One fold: its search, and the test evaluation of its model.

    Attributes:
        fold: the name of its test set
        search: None before it has begun
        num_finished: trials of the search that have a score
        best: None before one has
        kind: of the model's score, the same in every fold
        opening: the latest complete test evaluation with such a score; None before there is one
        num_openings: test evaluations of the search, complete or not, whatever they scored
        predictions: of that evaluation, by kind of score; the model's, the baselines' and the probes'
        is_seen: of each of its utterances whether training had read the transcript; None where no word was said
    """

    fold: str
    search: ExperimentRow | None
    num_finished: int
    best: TrialRow | None
    kind: ScoreKind
    opening: TestOpeningRow | None
    num_openings: int
    predictions: Mapping[ScoreKind, Seeds]
    is_seen: Mapping[str, bool | None]

    @property
    def num_utterances(self) -> int:
        """Test utterances that were scored."""
        return len(self.predictions[self.kind][0]) if self.predictions else 0

    @property
    def spreads(self) -> list[Spread]:
        """Of each of ``METRICS``, in its order, over the seeds; empty before the test evaluation."""
        scores = [] if self.opening is None else [score for score in self.opening.scores if score.kind is self.kind]
        values = [
            [score.weighted_accuracy for score in scores],
            [score.unweighted_accuracy for score in scores],
            [score.macro_f1 for score in scores],
        ]
        return [mean_and_spread(of_metric) for of_metric in values if of_metric]

    @cached_property
    def intervals(self) -> list[Interval]:
        """Of each of ``METRICS``, in its order; empty before the test evaluation."""
        return bootstrap_intervals(self.predictions[self.kind], list(METRICS.values())) if self.predictions else []


@dataclass(frozen=True)
class FoldedScores:
    """An experiment of several folds, in their order."""

    folded: FoldedExperimentRow
    folds: tuple[FoldScore, ...]

    @property
    def searches(self) -> list[ExperimentRow]:
        """Those that have begun."""
        return [fold.search for fold in self.folds if fold.search is not None]

    @property
    def is_synthetic(self) -> bool:
        """True if the corpus was made by this package."""
        return any(search.is_synthetic for search in self.searches)

    @property
    def leading(self) -> str:
        """The score that leads under the protocol of all folds, of ``METRICS``."""
        return leading_score(json.loads(self.searches[0].protocol) if self.searches else {})

    @property
    def num_scored(self) -> int:
        """Folds with a complete test evaluation."""
        return sum(bool(fold.predictions) for fold in self.folds)

    @cached_property
    def pooled(self) -> Assessment | None:
        """The assessment over the utterances of all test sets, each predicted by the fold that never read it.

        None until every fold has its test evaluation. One fold's first seed is pooled with the first of every other,
        and so on; what a fold has more of them is left out, and so is a baseline or a probe that a fold lacks.
        """
        if self.num_scored < len(self.folds):
            return None
        kinds = set.intersection(*(set(fold.predictions) for fold in self.folds))
        pooled = {kind: _pool([fold.predictions[kind] for fold in self.folds]) for kind in kinds}
        is_seen = {name: seen for fold in self.folds for name, seen in fold.is_seen.items()}
        scored = {kind: seeds for kind, seeds in pooled.items() if seeds}
        return assess(self.folds[0].kind, scored, is_seen, self.leading)


def _pool(folds: Sequence[Seeds]) -> Seeds:
    return [[found for of_fold in of_seed for found in of_fold] for of_seed in zip(*folds, strict=False)]


def read_folded_scores(results: ResultsStore, folded: FoldedExperimentRow) -> FoldedScores:
    """Read what the searches of all folds found, and what their models scored."""
    searches = results.searches_of(folded.folded_id)
    openings = results.openings()
    eids = [search.eid for search in searches.values()]
    # What was scored last decides: models by themselves and their ensembles are not pooled together.
    kinds = (_scored_kind(opening) for opening in reversed(openings) if opening.eid in eids)
    latest = next((kind for kind in kinds if kind is not None), ScoreKind.VALIDATION_CHOSEN)
    folds = [_read(results, fold, searches.get(fold), openings, latest) for fold in folded.folds]
    return FoldedScores(folded, tuple(folds))


def _read(
    results: ResultsStore,
    fold: str,
    search: ExperimentRow | None,
    openings: Sequence[TestOpeningRow],
    wanted: ScoreKind,
) -> FoldScore:
    if search is None:
        return FoldScore(fold, None, 0, None, wanted, None, 0, {}, {})
    of_search = [opening for opening in openings if opening.eid == search.eid]
    opening = next((found for found in reversed(of_search) if _scored_kind(found) is wanted), None)
    predictions = {} if opening is None else read_predictions(results, opening)
    return FoldScore(
        fold=fold,
        search=search,
        num_finished=sum(trial.status is TrialStatus.FINISHED for trial in results.trials(search.eid)),
        best=results.best_trial(search.eid),
        kind=wanted,
        opening=opening,
        num_openings=len(of_search),
        predictions={
            kind: seeds
            for kind, seeds in predictions.items()
            if kind in (wanted, ScoreKind.SCENES_LEFT_OUT) or not kind.is_of_model
        },
        is_seen={} if opening is None else results.test_utterances(opening.opening_id),
    )


def _scored_kind(opening: TestOpeningRow) -> ScoreKind | None:
    """Return the kind of the models' own score or of their ensemble's; None where variants alone are scored."""
    if opening.completed_at is None:
        return None
    if any(score.kind is ScoreKind.ENSEMBLE for score in opening.scores):
        return ScoreKind.ENSEMBLE
    scored = {score.seed for score in opening.scores if score.kind is ScoreKind.VALIDATION_CHOSEN}
    return ScoreKind.VALIDATION_CHOSEN if scored == set(opening.seeds) else None
