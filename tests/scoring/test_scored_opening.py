from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.scoring.assessment import find_scored_opening, read_scored_opening
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
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
    found = find_scored_opening(store.openings(), eid) or pytest.fail("none found")
    assert (found.opening.opening_id, found.kind, found.other_ids) == (latest, CHOSEN, (1,))


def test_the_model_itself_goes_before_a_later_variant(store: ResultsStore) -> None:
    eid = run_search(store, 1)
    first = score_test(store, eid)
    variant = score_test(store, eid, kinds=(RETRAINED, ScoreKind.ZEROED), model="models/without-text")
    assert find_scored_opening(store.openings(), eid).opening.opening_id == first
    found = find_scored_opening(store.openings(), eid, "models/without-text")
    assert (found.opening.opening_id, found.kind, found.other_ids) == (variant, RETRAINED, (first,))


def test_only_scores_of_the_model_that_is_asked_for_count(store: ResultsStore) -> None:
    eid = run_search(store, 1)
    first = score_whole_opening(store, eid, model="models/a")
    score_whole_opening(store, eid, model="models/b")
    score_whole_opening(store, eid)
    assert read_scored_opening(store, eid, "models/a").opening.opening_id == first
    assert read_scored_opening(store, eid, "models/c") is None


def test_other_openings_are_those_that_scored_a_model_of_the_same_seeds(store: ResultsStore) -> None:
    eid = run_search(store, 1)
    score_test(store, eid, seeds=(1,), scored=1, model="models/a")
    score_test(store, eid, seeds=(3, 4), model="models/a")
    latest = score_test(store, eid, seeds=(1, 2), model="models/b")
    score_test(store, run_search(store, 1), seeds=(1, 2))
    found = find_scored_opening(store.openings(), eid, "models/b")
    assert (found.opening.opening_id, found.other_ids) == (latest, (1,))


def test_an_opening_is_read_with_its_baselines_and_transcripts(store: ResultsStore) -> None:
    eid = run_search(store, 1)
    opening_id = score_whole_opening(store, eid)
    found = read_scored_opening(store, eid)
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
