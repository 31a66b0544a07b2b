"""Which opening of the test set speaks for an experiment's model, and all that it scored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.scoring.assessment import Assessment, Seeds, assess
from harness.store.openings import OpeningsStore
from harness.store.records import Prediction, ScoreKind, TestOpeningRow


@dataclass(frozen=True)
class ScoredOpening:
    """One opening of the test set, and what the model scored in it."""

    opening: TestOpeningRow
    assessment: Assessment


def find_scored_opening(
    openings: Sequence[TestOpeningRow],
    eid: int,
    kinds: Collection[ScoreKind] = tuple(ScoreKind),
    seeds: Collection[int] | None = None,
) -> tuple[TestOpeningRow, ScoreKind] | None:
    """Find the latest opening that scored an experiment's model, and who chose the epoch scored there.

    An opening that scored the model as validation left it goes before later ones of its variants.

    Args:
        openings: oldest first
        kinds, seeds: which scores count; None for those of any seed
    """
    for wanted in ((ScoreKind.VALIDATION_CHOSEN,), tuple(ScoreKind)):
        for opening in reversed(openings):
            scored = {score.kind for score in opening.scores if seeds is None or score.seed in seeds}
            of_model = [
                kind for kind in wanted if kind in scored and kind in kinds and not kind.is_baseline
            ]
            if opening.eid == eid and of_model:
                return opening, of_model[0]
    return None


def assess_opening(
    found: tuple[TestOpeningRow, ScoreKind] | None,
    predictions: Mapping[ScoreKind, Seeds],
    is_seen: Mapping[str, bool | None],
) -> ScoredOpening | None:
    """Work out what the model scored in an opening; None where no prediction of it is on record.

    Args:
        found: as ``find_scored_opening`` returns it
        predictions, is_seen: of that opening
    """
    if found is None or not predictions.get(found[1]):
        return None
    opening, kind = found
    return ScoredOpening(opening, assess(kind, predictions, is_seen))


def read_scored_opening(
    results: OpeningsStore,
    eid: int,
    kinds: Collection[ScoreKind] = tuple(ScoreKind),
    seeds: Collection[int] | None = None,
) -> ScoredOpening | None:
    """Read the opening that speaks for an experiment's model, and work out what it scored.

    Args:
        kinds, seeds: as ``find_scored_opening``
    """
    found = find_scored_opening(results.openings(), eid, kinds, seeds)
    if found is None:
        return None
    predictions: dict[ScoreKind, list[list[Prediction]]] = {}
    opening, _ = found
    for scores in opening.scores:
        of_seed = results.test_predictions(opening.opening_id, scores.seed, scores.kind)
        if of_seed:
            predictions.setdefault(scores.kind, []).append(of_seed)
    return assess_opening(found, predictions, results.test_utterances(opening.opening_id))
