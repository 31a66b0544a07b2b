"""What the tables and statements say of scores on the test set."""

from pathlib import Path

import pytest

from harness.corpus.utterances import CLASSES
from harness.report.tables import Table
from harness.report.test_set import (
    describe_scores,
    tabulate_assessment,
    tabulate_opening,
    tabulate_openings,
    tabulate_test_scores,
)
from harness.scoring.assessment import ScoredOpening, assess
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
from tests.report.scored import COMMAND, PROBED, score, score_whole_opening
from tests.report.searches import findings_of, run_search, score_test
from tests.scored import answer, answer_dialogues
from tests.store.experiments import an_opening

LABEL = "Test evaluation 1, validation-chosen epoch, protocol 'paper', 2 seeds, synthetic corpus."


def scored_in(path: Path) -> ScoredOpening:
    scored = findings_of(path).scored_opening
    assert scored is not None
    return scored


@pytest.fixture
def tables(store: ResultsStore, results_path: Path) -> dict[str, Table]:
    score_whole_opening(store, run_search(store), probes=PROBED)
    return {table.title: table for table in tabulate_opening(scored_in(results_path))}


def test_every_table_says_whose_numbers_it_holds(tables: dict[str, Table]) -> None:
    assert list(tables) == [
        "Test set: scores",
        "Test set: by class",
        "Test set: by group",
        "Test set: confusion",
        "Test set: against baselines",
        "Test set: against baselines, unweighted accuracy",
        "Test set: scenes",
        "Test set: calibration",
        "Test set: reliability",
    ]
    assert all(table.note.startswith(LABEL) for table in tables.values())
    assert all(len(row) == len(table.columns) for table in tables.values() for row in table.rows)
    assert all(table.numbers <= set(table.columns) for table in tables.values())


def test_scores_stand_with_mean_deviation_spread_and_interval(tables: dict[str, Table]) -> None:
    weighted, unweighted, _ = tables["Test set: scores"].rows
    # Seeds of 75 and 50 %, alike in every dialogue; averaged, the turns that they disagree on are a tie.
    assert weighted[:5] == ("weighted accuracy", "62.5", "17.7", "50.0 to 75.0", "62.5 to 62.5")
    assert unweighted[:5] == ("unweighted accuracy", "62.5", "17.7", "50.0 to 75.0", "62.5 to 62.5")


def test_classes_stand_with_precision_recall_and_f1(tables: dict[str, Table]) -> None:
    anger, excitement, neutral, sadness = tables["Test set: by class"].rows
    # Anger is all right in both seeds, and what the others take sadness for: 12 of 24.
    assert anger == ("anger", "12", "50.0 ± 0.0", "100.0 ± 0.0", "100.0 to 100.0", "66.7 ± 0.0")
    assert neutral[2:4] == ("100.0 (1/2 seeds)", "50.0 ± 70.7")
    assert sadness[2:4] == ("0.0 (1/2 seeds)", "0.0 ± 0.0")
    assert excitement[1] == "12"


def test_groups_stand_side_by_side(tables: dict[str, Table]) -> None:
    table = tables["Test set: by group"]
    assert [row[:2] for row in table.rows] == [
        ("improvised", "48"),
        ("transcript seen in training", "24"),
        ("transcript not seen", "23"),
        ("speaker Ses05F", "24"),
        ("speaker Ses05M", "24"),
        ("speaker wears the markers", "24"),
        ("listener wears the markers", "24"),
    ]
    assert "1 utterance without words: in neither group." in table.note


def test_confusion_stands_as_mean_counts_and_shares(tables: dict[str, Table]) -> None:
    confusion = tables["Test set: confusion"]
    assert confusion.rows[2] == ("neutral", "0.0 (0.0 %)", "0.0 (0.0 %)", "6.0 (50.0 %)", "6.0 (50.0 %)")


def test_baselines_stand_with_both_tests(tables: dict[str, Table]) -> None:
    table = tables["Test set: against baselines"]
    majority, forest = table.rows
    assert majority[0] == "majority class" and forest[0] == "random forest on speech"
    assert majority[1:5] == ("25.0", "+37.5", "+37.5 to +37.5", "100.0 %")
    # Averaged, the model has three of four right, the baseline the fourth: 12 of 48 by a fair coin.
    assert majority[5:] == ("36 : 12", "0.0007")
    assert "is exact (binomial) and two-sided" in table.note and "its p is too small" in table.note
    unweighted = tables["Test set: against baselines, unweighted accuracy"]
    assert unweighted.columns == ("baseline", "unweighted, %", "model better by", "95 % interval", "above 0")
    assert unweighted.rows[0] == ("majority class", *majority[1:5])


def test_the_two_accuracies_are_compared_apart_where_classes_are_unequal() -> None:
    # Of twelve dialogues the last turn, sadness, stands in six alone.
    turns = answer_dialogues([[True, True, True, False]] * 12)
    some = [found for number, found in enumerate(turns) if number % 8 != 7]
    neutral = [answer(found.utterance_id, CLASSES.index(found.emotion), 2) for found in some]
    kind = ScoreKind.VALIDATION_CHOSEN
    found = assess(kind, {kind: [some], ScoreKind.BASELINE_MAJORITY: [neutral]}, {})
    weighted, unweighted = tabulate_assessment(found, "Test set", "")[4:6]
    assert weighted.rows[0][:3] == ("majority class", "28.6", "+57.1")
    assert unweighted.rows[0][:3] == ("majority class", "25.0", "+50.0")


def test_probes_stand_with_scenes_shared_beside_the_scored_scene_left_out(tables: dict[str, Table]) -> None:
    table = tables["Test set: scenes"]
    assert table.rows == (
        ("words", "75.0 [75.0 to 75.0]", "25.0 [25.0 to 25.0]", "+50.0 [+50.0 to +50.0]"),
        ("speech", "50.0 [50.0 to 50.0]", "50.0 [50.0 to 50.0]", "+0.0 [+0.0 to +0.0]"),
    )
    assert "one training for each scene of the test set, on the utterances of other scenes" in table.note
    assert "It also has fewer utterances" in table.note


def test_probes_are_no_baselines_and_the_models_own_seeds_are_told_from_them(tables: dict[str, Table]) -> None:
    assert [row[0] for row in tables["Test set: against baselines"].rows] == [
        "majority class",
        "random forest on speech",
    ]
    assert not any("probe" in row[0] for row in tables["Test set: calibration"].rows)


def test_the_sentence_on_scenes_stands_above_the_tables(store: ResultsStore, results_path: Path) -> None:
    score_whole_opening(store, run_search(store), probes=PROBED)
    said = describe_scores(scored_in(results_path))[1]
    assert said.heading == "Scenes" and said.is_warning
    assert said.text == (
        "On this synthetic corpus, words alone score 75.0 % unweighted where training has read the test set's scenes, "
        "and 25.0 % with the scored scene left out (chance 25 %): 50.0 points of what words score here are recognition "
        "of the scene. Speech alone scores 50.0 % and 50.0 %: no effect of the scene is shown here."
    )


def test_an_evaluation_of_before_the_probes_is_shown_and_says_so(store: ResultsStore, results_path: Path) -> None:
    score_whole_opening(store, run_search(store))
    scored = scored_in(results_path)
    (table,) = [each for each in tabulate_opening(scored) if each.title == "Test set: scenes"]
    assert table.rows == ()
    said = describe_scores(scored)[1]
    assert said.is_warning and said.text == (
        "This test evaluation has no probes. All sessions play the same scenes; how much of its scores is recognition "
        "of the scene is not known."
    )


def test_the_models_own_score_without_the_scored_scenes_stands_below_the_probes(
    store: ResultsStore, results_path: Path
) -> None:
    opening_id = score_whole_opening(store, run_search(store), probes=PROBED)
    for seed in (1, 2):
        predictions = answer_dialogues([[True, False, False, False]] * 12)
        store.record_test_scores(opening_id, score(seed, ScoreKind.SCENES_LEFT_OUT, predictions))
    scored = scored_in(results_path)
    assert scored.assessment.kind is ScoreKind.VALIDATION_CHOSEN
    (table,) = [each for each in tabulate_opening(scored) if each.title == "Test set: scenes"]
    assert table.rows[2][:3] == ("the model", "62.5 ± 17.7 [62.5 to 62.5]", "25.0 ± 0.0 [25.0 to 25.0]")
    assert describe_scores(scored)[1].text.endswith(
        "The model itself scores 62.5 % and 25.0 %: 37.5 points of what the model scores here are recognition of the "
        "scene."
    )


def test_calibration_stands_for_one_seed_the_average_and_each_baseline(tables: dict[str, Table]) -> None:
    table = tables["Test set: calibration"]
    assert [row[0] for row in table.rows] == [
        "one seed, mean of 2",
        "the model, seeds averaged",
        "majority class",
        "random forest on speech",
    ]
    # At 70 %, seeds are right in 75 and in 50 % of the cases.
    assert table.rows[0][1] == "12.5"
    # One of four at 40 %.
    assert table.rows[2][1] == "15.0"
    assert "10 bins of equal width (Guo et al. 2017)" in table.note


def test_reliability_lists_the_bins_that_are_used(tables: dict[str, Table]) -> None:
    rows = tables["Test set: reliability"].rows
    assert sum(int(row[1]) for row in rows) == 48
    assert rows[-1][0] == "60 to 70" and rows[-1][2] == "70.0"


def test_an_unscored_folder_has_no_scored_opening(store: ResultsStore, results_path: Path) -> None:
    run_search(store)
    assert findings_of(results_path).scored_opening is None


def test_few_dialogues_are_starred_and_said(store: ResultsStore, results_path: Path) -> None:
    score_whole_opening(store, run_search(store, is_synthetic=False), num_dialogues=5)
    scored = scored_in(results_path)
    scores, *_ = tabulate_opening(scored)
    assert scores.rows[0][4].endswith("*") and "* Fewer than 10 dialogues" in scores.note
    assert "corpus c0ffee." in scores.note
    said = {statement.heading: statement for statement in describe_scores(scored)}
    assert said["What the intervals mean"].is_warning
    assert said["What the intervals mean"].text.startswith("With 5 dialogues, fewer than 10,")


def test_statements_say_what_was_scored_and_what_the_intervals_leave_out(
    store: ResultsStore, results_path: Path
) -> None:
    score_whole_opening(store, run_search(store))
    said = {statement.heading: statement.text for statement in describe_scores(scored_in(results_path))}
    assert said["What was scored"].startswith(f"{LABEL} This corpus is synthetic")
    assert f"with `{COMMAND}`: 48 utterances of 12 dialogues." in said["What was scored"]
    assert said["Who chose the epoch"] == (
        "Validation chose the number of epochs; the test set had no part in that choice. Each of these models was "
        "scored on it once."
    )
    assert "10 000 draws of 12 dialogues" in said["What the intervals mean"]
    assert "of these 2 speakers." in said["What the intervals mean"]
    assert said["Baselines left out"].startswith(
        "Not scored in this test evaluation: TF-IDF, logistic regression, SVM on functionals of speech, average of "
        "TF-IDF and forest ("
    )


def test_an_optimistic_score_is_said_to_be_one(store: ResultsStore, results_path: Path) -> None:
    score_whole_opening(store, run_search(store), kind=ScoreKind.TEST_MAXIMUM, baselines=())
    scored = scored_in(results_path)
    said = {statement.heading: statement for statement in describe_scores(scored)}
    assert said["Who chose the epoch"].is_warning and "optimistic" in said["Who chose the epoch"].text
    assert "maximum over test epochs (optimistic)" in tabulate_opening(scored)[0].note
    assert said["Baselines"].text == "This test evaluation scored no baselines to compare the model with."
    (against,) = [table for table in tabulate_opening(scored) if table.title == "Test set: against baselines"]
    assert against.rows == ()


def test_a_test_session_that_was_open_in_training_is_said_to_have_been(
    store: ResultsStore, results_path: Path
) -> None:
    eid = run_search(store)
    score_test(store, eid, kinds=(ScoreKind.VALIDATION_CHOSEN, ScoreKind.TEST_MAXIMUM))
    (said,) = [each for each in describe_scores(scored_in(results_path)) if each.heading.startswith("Who")]
    assert said.is_warning and "every epoch was scored on it" in said.text and "vocabulary" in said.text
    assert "once" not in said.text


def test_seeds_that_were_scored_before_are_said_to_have_been(store: ResultsStore, results_path: Path) -> None:
    eid = run_search(store)
    score_test(store, eid, model="models/a")
    score_test(store, eid, model="models/b")
    (said,) = [each for each in describe_scores(scored_in(results_path)) if each.heading.startswith("Who")]
    text = "Models of these seeds were also scored on the test set in test evaluation 1."
    assert said.is_warning and said.text.endswith(text)


def test_an_infinite_likelihood_of_single_seeds_is_explained(store: ResultsStore, results_path: Path) -> None:
    """Averaged over the seeds no probability is 0, but one seed's is."""
    eid = run_search(store)
    opening_id = store.record_opening(an_opening(eid, seeds=(1, 2)))
    for seed, confidence in ((1, 1.0), (2, 0.7)):
        predictions = answer_dialogues([[True, False]] * 12, confidence=confidence)
        store.record_test_scores(opening_id, score(seed, ScoreKind.VALIDATION_CHOSEN, predictions))
    (table,) = [each for each in tabulate_opening(scored_in(results_path)) if "calibration" in each.title]
    assert [row[-1] for row in table.rows] == ["infinite", "1.579"]
    assert "Infinite: 1 of 2 single seeds gave the probability 0 to the true class, in 12 answers." in table.note


def test_every_kind_of_score_can_be_taken_apart(store: ResultsStore, results_path: Path) -> None:
    eid = run_search(store)
    kinds = [kind for kind in ScoreKind if kind.is_of_model]
    for kind in kinds:
        score_whole_opening(store, eid, kind=kind)
        assert findings_of(results_path).scored_opening is not None
    assert findings_of(results_path).scored_opening.assessment.kind is ScoreKind.VALIDATION_CHOSEN


BOTH = (ScoreKind.VALIDATION_CHOSEN, ScoreKind.TEST_MAXIMUM)


def test_scores_stand_beside_who_chose_the_epoch(store: ResultsStore, results_path: Path) -> None:
    score_test(store, run_search(store, is_synthetic=False), kinds=BOTH)
    table = tabulate_test_scores(findings_of(results_path))
    assert [row[:4] for row in table.rows] == [
        ("1", "c0ffee", "validation", "2"),
        ("1", "c0ffee", "test set, optimistic", "2"),
    ]
    assert table.rows[0][4].startswith("65.0 ± 7.1 [")
    constant = "Always answering 'neutral', the largest class in test evaluation 1, scores 50.0 %."
    assert constant in table.note
    assert "*" not in table.note


def test_scores_on_the_synthetic_corpus_are_marked(store: ResultsStore, results_path: Path) -> None:
    score_test(store, run_search(store))
    assert tabulate_test_scores(findings_of(results_path)).rows[0][1] == "synthetic"


def test_one_seed_has_no_deviation(store: ResultsStore, results_path: Path) -> None:
    score_test(store, run_search(store), seeds=(1,), scored=1)
    assert tabulate_test_scores(findings_of(results_path)).rows[0][4].startswith("60.0 [")


def test_opening_that_was_never_scored_has_no_row(store: ResultsStore, results_path: Path) -> None:
    score_test(store, run_search(store), scored=0)
    assert tabulate_test_scores(findings_of(results_path)).rows == ()


def test_baselines_stand_below_the_model_and_say_what_they_are(store: ResultsStore, results_path: Path) -> None:
    score_whole_opening(store, run_search(store))
    table = tabulate_test_scores(findings_of(results_path))
    assert [row[2:4] for row in table.rows] == [
        ("validation", "2"),
        ("nobody; baseline: majority class", "1"),
        ("nobody; baseline: random forest on speech", "1"),
    ]
    score_whole_opening(store, 1, probes=PROBED)
    assert [row[2] for row in tabulate_test_scores(findings_of(results_path)).rows[-4:]] == [
        "nobody; probe: words, scenes shared",
        "nobody; probe: words, scored scene left out",
        "nobody; probe: speech, scenes shared",
        "nobody; probe: speech, scored scene left out",
    ]
    # The majority baseline knows the training utterances alone; beside it the best constant answer would mislead.
    assert "Always answering" not in table.note


def test_a_list_of_openings_names_corpus_and_what_was_not_finished(store: ResultsStore) -> None:
    eid = run_search(store)
    score_test(store, eid, scored=1)
    store.record_opening(an_opening(None, corpus_hash="0123456789", command="harness tables"))
    first, second = tabulate_openings(store.openings()).rows
    remark = "ended before every seed was scored; still counts"
    assert first[:2] == ("1", "2026-02-03 04:05:06") and first[3:] == ("paper", "synthetic", "1", "2", remark)
    assert second[2] == "harness tables" and second[4:6] == ("01234567", "several") and second[-1] == remark
