from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.scoring.scored_opening import find_scored_opening, read_scored_opening
from harness.store.records import ScoreKind
from harness.store.results import ResultsStore
from tests.report.scored import score_whole_opening
from tests.report.searches import run_search, score_test

CHOSEN, MAXIMUM, RETRAINED = ScoreKind.VALIDATION_CHOSEN, ScoreKind.TEST_MAXIMUM, ScoreKind.FUSION_RETRAINED


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResultsStore]:
    with ResultsStore.open(tmp_path / "results.db") as opened:
        yield opened


def test_the_latest_opening_that_scored_the_model_speaks(store: ResultsStore) -> None:
    eid = run_search(store, 1)
    score_test(store, eid)
    latest = score_test(store, eid, kinds=(CHOSEN, MAXIMUM))
    score_test(store, eid, scored=0)
    score_test(store, run_search(store, 1))
    opening, kind = find_scored_opening(store.openings(), eid) or pytest.fail("none found")
    assert (opening.opening_id, kind) == (latest, CHOSEN)


def test_the_model_itself_goes_before_a_later_variant(store: ResultsStore) -> None:
    eid = run_search(store, 1)
    first = score_test(store, eid)
    variant = score_test(store, eid, kinds=(RETRAINED, ScoreKind.ZEROED))
    assert find_scored_opening(store.openings(), eid)[0].opening_id == first
    found = find_scored_opening(store.openings(), eid, kinds=(RETRAINED,))
    assert (found[0].opening_id, found[1]) == (variant, RETRAINED)


@pytest.mark.parametrize(
    "conditions",
    [{"seeds": (7,)}, {"kinds": (RETRAINED,)}, {"kinds": (ScoreKind.BASELINE_MAJORITY,)}],
    ids=["other seeds", "another kind", "a baseline"],
)
def test_what_was_not_scored_is_not_found(store: ResultsStore, conditions: dict) -> None:
    eid = run_search(store, 1)
    score_whole_opening(store, eid)
    assert read_scored_opening(store, eid, **conditions) is None


def test_an_opening_is_read_with_its_baselines_and_transcripts(store: ResultsStore) -> None:
    eid = run_search(store, 1)
    opening_id = score_whole_opening(store, eid)
    found = read_scored_opening(store, eid, seeds=(1, 2))
    assert found.opening.opening_id == opening_id
    assert (found.assessment.num_seeds, found.assessment.num_without_words) == (2, 1)
    assert [one.kind for one in found.assessment.comparisons] == [
        ScoreKind.BASELINE_MAJORITY,
        ScoreKind.BASELINE_SPEECH_FOREST,
    ]


def test_scores_without_predictions_are_not_taken_apart(store: ResultsStore) -> None:
    eid = run_search(store, 1)
    score_test(store, eid, scored=0)
    assert read_scored_opening(store, eid) is None
