"""Which opening of the test set speaks for an experiment's model, and all that it scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.scoring.assessment import Assessment, Seeds, assess
from harness.store.openings import OpeningsStore
from harness.store.records import Prediction, ScoreKind, TestOpeningRow, TestScores


@dataclass(frozen=True)
class FoundOpening:
    """The opening that speaks for a model.

    Attributes:
        kind: who chose the epoch that was scored there
        other_ids: of the experiment's other openings that scored a model of one of these seeds, oldest first
    """

    opening: TestOpeningRow
    kind: ScoreKind
    other_ids: tuple[int, ...]


@dataclass(frozen=True)
class ScoredOpening:
    """One opening of the test set, and what the model scored in it.

    Attributes:
        other_ids: as those of ``FoundOpening``
    """

    opening: TestOpeningRow
    assessment: Assessment
    other_ids: tuple[int, ...] = ()

    @property
    def was_open_in_training(self) -> bool:
        """Whether the test session was open while the models trained: it scored their every epoch."""
        return any(score.kind is ScoreKind.TEST_MAXIMUM for score in self.opening.scores)


def find_scored_opening(
    openings: Sequence[TestOpeningRow], eid: int, model: str | None = None
) -> FoundOpening | None:
    """Find the latest opening that scored an experiment's model, and who chose the epoch scored there.

    An opening that scored the model as validation left it goes before later ones of its variants.

    Args:
        openings: oldest first
        model: folder of the saved model whose scores count, as ``TestScores`` has it; None for whichever
    """
    for wanted in ((ScoreKind.VALIDATION_CHOSEN,), tuple(ScoreKind)):
        for opening in reversed(openings):
            scored = _scores_of(opening, eid, model)
            kinds = [kind for kind in wanted if any(score.kind is kind for score in scored)]
            if kinds:
                seeds = {score.seed for score in scored if score.kind is kinds[0]}
                others = [
                    other.opening_id
                    for other in openings
                    if other is not opening and any(score.seed in seeds for score in _scores_of(other, eid, None))
                ]
                return FoundOpening(opening, kinds[0], tuple(others))
    return None


def _scores_of(opening: TestOpeningRow, eid: int, model: str | None) -> list[TestScores]:
    if opening.eid != eid:
        return []
    of_model = [score for score in opening.scores if not score.kind.is_baseline]
    return [score for score in of_model if model is None or score.model == model]


def assess_opening(
    found: FoundOpening | None,
    predictions: Mapping[ScoreKind, Seeds],
    is_seen: Mapping[str, bool | None],
) -> ScoredOpening | None:
    """Work out what the model scored in an opening; None where no prediction of it is on record.

    Args:
        predictions, is_seen: of that opening
    """
    if found is None or not predictions.get(found.kind):
        return None
    return ScoredOpening(found.opening, assess(found.kind, predictions, is_seen), found.other_ids)


def read_scored_opening(results: OpeningsStore, eid: int, model: str | None = None) -> ScoredOpening | None:
    """Read the opening that speaks for an experiment's model, and work out what it scored.

    Args:
        model: as ``find_scored_opening``
    """
    found = find_scored_opening(results.openings(), eid, model)
    if found is None:
        return None
    predictions: dict[ScoreKind, list[list[Prediction]]] = {}
    opening_id = found.opening.opening_id
    for scores in found.opening.scores:
        of_seed = results.test_predictions(opening_id, scores.seed, scores.kind)
        if of_seed:
            predictions.setdefault(scores.kind, []).append(of_seed)
    return assess_opening(found, predictions, results.test_utterances(opening_id))
