"""The scores of an experiment of several folds: each fold's test evaluation, and all test sets pooled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.scoring.assessment import METRICS, Assessment, assess, leading_score, read_predictions
from harness.scoring.statistics import Interval, Seeds, Spread, bootstrap_intervals, mean_and_spread
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
class Scored:
    """What a test evaluation of a fold has scored.

    Attributes:
        ensemble: what made the ensemble, such as ``top-3-svm``: of several folds only the same are pooled; empty for
            the best trial's models by themselves
    """

    ensemble: str = ""

    @property
    def kind(self) -> ScoreKind:
        """Of the model's score."""
        return ScoreKind.ENSEMBLE if self.ensemble else ScoreKind.VALIDATION_CHOSEN


@dataclass(frozen=True)
class FoldScore:
    """One fold: its search, and the test evaluation of its model.

    Attributes:
        fold: the name of its test set
        search: None before it has begun
        num_finished: trials of the search that have a score
        best: None before one has
        scored: what the score is of, the same in every fold
        opening: the latest complete test evaluation of it; None before there is one
        num_openings: test evaluations of the search, complete or not, whatever they scored
        predictions: of that evaluation, by kind of score; the model's, the baselines' and the probes'
        is_seen: of each of its utterances whether training had read the transcript; None where no word was said
    """

    fold: str
    search: ExperimentRow | None
    num_finished: int
    best: TrialRow | None
    scored: Scored
    opening: TestOpeningRow | None
    num_openings: int
    predictions: Mapping[ScoreKind, Seeds]
    is_seen: Mapping[str, bool | None]

    @property
    def num_utterances(self) -> int:
        """Test utterances that were scored."""
        return len(self.predictions[self.scored.kind][0]) if self.predictions else 0

    @property
    def spreads(self) -> list[Spread]:
        """Of each of ``METRICS``, in its order, over the seeds; empty before the test evaluation."""
        found = [] if self.opening is None else self.opening.scores
        scores = [score for score in found if score.kind is self.scored.kind]
        values = [
            [score.weighted_accuracy for score in scores],
            [score.unweighted_accuracy for score in scores],
            [score.macro_f1 for score in scores],
        ]
        return [mean_and_spread(of_metric) for of_metric in values if of_metric]

    @cached_property
    def intervals(self) -> list[Interval]:
        """Of each of ``METRICS``, in its order; empty before the test evaluation."""
        if not self.predictions:
            return []
        return bootstrap_intervals(self.predictions[self.scored.kind], list(METRICS.values()))


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
        return assess(self.folds[0].scored.kind, scored, is_seen, self.leading)


def _pool(folds: Sequence[Seeds]) -> Seeds:
    return [[found for of_fold in of_seed for found in of_fold] for of_seed in zip(*folds, strict=False)]


def read_folded_scores(
    results: ResultsStore, folded: FoldedExperimentRow, wanted: Scored | None = None
) -> FoldedScores:
    """Read what the searches of all folds found, and what their models scored.

    Args:
        wanted: whose scores; None for what was scored last of what every fold has, or else for what was scored last
    """
    searches = results.searches_of(folded.folded_id)
    openings = results.openings()
    if wanted is None:
        scored_in: dict[Scored, set[int]] = {}
        eids = {search.eid for search in searches.values()}
        for opening in reversed(openings):
            scored = find_scored(opening)
            if opening.eid in eids and scored is not None:
                scored_in.setdefault(scored, set()).add(opening.eid)
        whole = [scored for scored, found in scored_in.items() if len(found) == len(folded.folds)]
        wanted = next(iter([*whole, *scored_in]), Scored())
    folds = [_read(results, fold, searches.get(fold), openings, wanted) for fold in folded.folds]
    return FoldedScores(folded, tuple(folds))


def _read(
    results: ResultsStore,
    fold: str,
    search: ExperimentRow | None,
    openings: Sequence[TestOpeningRow],
    wanted: Scored,
) -> FoldScore:
    if search is None:
        return FoldScore(fold, None, 0, None, wanted, None, 0, {}, {})
    of_search = [opening for opening in openings if opening.eid == search.eid]
    opening = next((found for found in reversed(of_search) if find_scored(found) == wanted), None)
    predictions = {} if opening is None else read_predictions(results, opening)
    return FoldScore(
        fold=fold,
        search=search,
        num_finished=sum(trial.status is TrialStatus.FINISHED for trial in results.trials(search.eid)),
        best=results.best_trial(search.eid),
        scored=wanted,
        opening=opening,
        num_openings=len(of_search),
        predictions={
            kind: seeds
            for kind, seeds in predictions.items()
            if kind in (wanted.kind, ScoreKind.SCENES_LEFT_OUT) or not kind.is_of_model
        },
        is_seen={} if opening is None else results.test_utterances(opening.opening_id),
    )


def find_scored(opening: TestOpeningRow) -> Scored | None:
    """Return what a complete test evaluation has scored; None where variants of the model alone have a score."""
    if opening.completed_at is None:
        return None
    for score in opening.scores:
        if score.kind is ScoreKind.ENSEMBLE:
            return Scored(name_making(score.model or ""))
    scored = {score.seed for score in opening.scores if score.kind is ScoreKind.VALIDATION_CHOSEN}
    return Scored() if scored == set(opening.seeds) else None


def name_making(model: str) -> str:
    """Return what is between the experiment's number and the hash in the name of an ensemble's folder.

    Example:
        >>> name_making("models/experiment-12-top-3-svm-0a1b2c3d"), name_making("models/experiment-1-and-2-top-1-0a")
        ('top-3-svm', 'and-2-top-1')
    """
    return "-".join(model.rpartition("/")[2].split("-")[2:-1]) or model
