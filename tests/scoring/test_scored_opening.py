from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.report.test_set import describe_scores
from harness.scoring.assessment import (
    FoundOpening,
    assess_opening,
    find_scored_opening,
    read_predictions,
    read_scored_opening,
)
from harness.scoring.breakdown import Division
from harness.store.records import ScoreKind, TestScores
from harness.store.store import ResultsStore
from tests.report.scored import PROBED, score_whole_opening
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


def test_the_folder_of_the_model_is_that_of_its_own_scores(store: ResultsStore) -> None:
    eid = run_search(store, 1)
    opening_id = score_test(store, eid, kinds=(ScoreKind.BASELINE_MAJORITY,))
    store.record_test_scores(opening_id, TestScores(1, CHOSEN, 0.5, 0.5, 0.5, (), epoch=4, model="models/a"))
    assert find_scored_opening(store.openings(), eid).model == "models/a"


@pytest.mark.parametrize(("kind", "temperature"), [(CHOSEN, 2.0), (RETRAINED, None)], ids=["chosen", "retrained"])
def test_only_the_model_that_validation_chose_has_its_trials_temperature(
    store: ResultsStore, kind: ScoreKind, temperature: float | None
) -> None:
    score_test(store, run_search(store, 1), kinds=(kind,))
    (opening,) = store.openings()
    scored = assess_opening(
        FoundOpening(opening, kind, ()), read_predictions(store, opening), {}, "weighted accuracy", temperature=2.0
    )
    assert scored is not None and scored.assessment.temperature == temperature
    assert len(scored.assessment.uncalibrated) == (0 if temperature is None else 3)


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


def test_models_without_the_scored_scenes_are_assessed_without_what_has_read_them(store: ResultsStore) -> None:
    eid = run_search(store, 1)
    score_whole_opening(store, eid, kind=ScoreKind.SCENES_LEFT_OUT, model="models/a", probes=PROBED)
    found = read_scored_opening(store, eid, "models/a") or pytest.fail("none found")
    assert found.assessment.leading == "unweighted accuracy" and found.assessment.has_disjoint_scenes
    assert found.assessment.comparisons == () and len(found.assessment.calibrations) == 1
    assert {score.group.division for score, _ in found.assessment.groups}.isdisjoint({Division.TRANSCRIPT})
    texts = {statement.heading: statement.text for statement in describe_scores(found)}
    assert texts["Scenes"].endswith(" The scores of the model here are with the scored scenes left out.")
    assert texts["Baselines"].startswith("The baselines of this test evaluation have read the scored scenes")


def test_an_evaluation_that_is_named_speaks_though_it_is_not_the_latest(store: ResultsStore) -> None:
    eid = run_search(store, 1)
    first, second = (score_whole_opening(store, eid, model="models/a") for _ in range(2))
    found = read_scored_opening(store, eid, "models/a", first) or pytest.fail("none found")
    assert (found.opening.opening_id, found.other_ids) == (first, (second,))
    assert read_scored_opening(store, eid, "models/b", first) is None
