"""Experiments are set against each other where that says something, and only there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.report.comparison import (
    Comparison,
    Contender,
    describe_comparability,
    tabulate_differences,
    tabulate_experiments,
    tabulate_settings_that_differ,
    to_json,
)
from harness.splits.protocol import read_protocol
from harness.store.records import ScoreKind, TrialStatus
from harness.store.store import ResultsStore
from tests.report.scored import PROBED, score_whole_opening
from tests.report.searches import (
    SEARCH_SPACE,
    begin_search,
    findings_of,
    run_search,
    run_trial,
    score_test,
)

MERGED = read_protocol({"base": "paper", "happiness": "merged"})
OWN = read_protocol({"base": "paper", "name": "paper", "speaker_scaling": "own"})
DISJOINT = read_protocol({"base": "paper", "scenes": "disjoint"})
COMPARABLE = "Comparable: searches on the same corpus, with the same protocol and target."


def compare(path: Path, *eids: int) -> Comparison:
    return Comparison(tuple(Contender(str(eid), findings_of(path, eid)) for eid in eids))


def search_with(store: ResultsStore, scores: list[float], **changes: Any) -> int:
    eid = begin_search(store, num_samples=len(scores), **changes)
    for index, score in enumerate(scores):
        run_trial(store, eid, index, len(scores), score)
    return eid


def row_of(comparison: Comparison, name: str) -> tuple[str, ...]:
    (row,) = (row[1:] for row in tabulate_experiments(comparison).rows if row[0] == name)
    return row


def test_searches_of_one_corpus_protocol_and_target_are_comparable(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=2)
    run_search(store, num_trials=2, system="speech4", seed=3)
    comparison = compare(results_path, 1, 2)
    assert describe_comparability(comparison) == [COMPARABLE]
    assert len(comparison.differences) == 1


@pytest.mark.parametrize(
    ("changes", "trait", "values"),
    [
        ({"corpus_hash": "0" * 64}, "corpus", "synthetic c0ffee (1); synthetic 00000000 (2)"),
        ({"is_synthetic": False}, "corpus", "synthetic c0ffee (1); c0ffee (2)"),
        ({"protocol": "strict"}, "protocol", "'paper' (8bb6c6e1) (1); 'strict' (501ab3f6) (2)"),
        (
            {"protocol": {"base": "paper", "name": "paper", "happiness": "merged"}},
            "protocol",
            f"'paper' (8bb6c6e1) (1); 'paper' ({MERGED.protocol_hash[:8]}) (2)",
        ),
        (
            {"protocol": {"base": "paper", "name": "paper", "scenes": "disjoint"}},
            "protocol",
            f"'paper' (8bb6c6e1) (1); 'paper' ({DISJOINT.protocol_hash[:8]}) (2)",
        ),
        (
            {"protocol": OWN},
            "protocol",
            f"'paper' (8bb6c6e1) (1); 'paper+speaker_scaling=own' ({OWN.protocol_hash[:8]}) (2)",
        ),
        ({"target": "min"}, "target", "max (1); min (2)"),
        (
            {"protocol_name": "", "script": "own.py"},
            "protocol",
            "'paper' (8bb6c6e1) (1); of its own script, own.py (2)",
        ),
    ],
    ids=["other corpus", "synthetic and real", "protocol", "happiness", "scenes", "adapted", "target", "own script"],
)
def test_nothing_is_set_against_each_other_where_scores_mean_something_else(
    store: ResultsStore, results_path: Path, changes: dict[str, Any], trait: str, values: str
) -> None:
    run_search(store, num_trials=2)
    run_search(store, num_trials=2, **changes)
    comparison = compare(results_path, 1, 2)
    expected = [f"NOT COMPARABLE: {trait} differs, so nothing is ranked.", f"{trait}: {values}"]
    assert describe_comparability(comparison) == expected
    assert comparison.differences == [] and tabulate_differences(comparison).rows == ()


@pytest.mark.parametrize("num_unknown", [1, 2])
def test_a_corpus_that_is_not_known_is_the_same_as_none(
    store: ResultsStore, results_path: Path, num_unknown: int
) -> None:
    own = {"protocol_name": "", "system": "", "script": "own.py"}
    for number in range(2):
        search_with(store, [0.5, 0.7], **own, **({"corpus_hash": ""} if number < num_unknown else {}))
    comparison = compare(results_path, 1, 2)
    labels = "1 and 2" if num_unknown == 2 else "1"
    assert describe_comparability(comparison) == [
        f"NOT KNOWN WHETHER COMPARABLE: the corpus of {labels} is not known, so nothing is ranked."
    ]
    assert comparison.differences == [] and to_json(comparison)["is_comparable"] is None
    assert [comparison.equal_number(contender) for contender in comparison.contenders] == [2, 2]


@pytest.mark.parametrize(("target", "better_by"), [("max", 0.2), ("min", -0.2)])
def test_the_difference_says_how_much_better_the_first_is_whatever_the_target(
    store: ResultsStore, results_path: Path, target: str, better_by: float
) -> None:
    search_with(store, [0.7], target=target)
    search_with(store, [0.5], target=target)
    (difference,) = compare(results_path, 1, 2).differences
    assert difference.expected_best == pytest.approx(better_by)


def test_the_expected_best_is_not_said_to_tell_luck(store: ResultsStore, results_path: Path) -> None:
    search_with(store, [0.7])
    search_with(store, [0.5])
    note = tabulate_differences(compare(results_path, 1, 2)).note
    assert "how lucky a search was. The expected best" in note and "its difference has no interval" in note


def test_of_three_only_the_two_that_are_comparable_are_tested(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=2)
    run_search(store, num_trials=2, protocol="strict", target="min")
    run_search(store, num_trials=3)
    comparison = compare(results_path, 1, 2, 3)
    assert describe_comparability(comparison) == [
        "NOT COMPARABLE: protocol and target differ, so nothing is ranked.",
        "protocol: 'paper' (8bb6c6e1) (1 and 3); 'strict' (501ab3f6) (2)",
        "target: max (1 and 3); min (2)",
    ]
    assert [(each.first.label, each.second.label) for each in comparison.differences] == [("1", "3")]


def test_the_order_is_the_one_that_was_asked_for(store: ResultsStore, results_path: Path) -> None:
    search_with(store, [0.5])
    search_with(store, [0.9])
    assert tabulate_experiments(compare(results_path, 1, 2)).columns == ("", "1", "2")
    assert tabulate_experiments(compare(results_path, 2, 1)).columns == ("", "2", "1")


@pytest.mark.parametrize("target", ["max", "min"])
def test_more_trials_are_no_advantage(store: ResultsStore, results_path: Path, target: str) -> None:
    few, many = [0.5, 0.7], [0.3, 0.4, 0.5, 0.7]
    search_with(store, few, target=target)
    search_with(store, many, target=target)
    comparison = compare(results_path, 1, 2)
    best = max if target == "max" else min
    pairs = [best(many[i], many[j]) for i in range(4) for j in range(i)]
    first, second = (contender.expected_best(2) for contender in comparison.contenders)
    assert (first, second) == (pytest.approx(best(few)), pytest.approx(np.mean(pairs)))
    (difference,) = comparison.differences
    sign = 1 if target == "max" else -1
    better_by = sign * (best(few) - np.mean(pairs))
    assert (difference.num_trials, difference.expected_best) == (2, pytest.approx(better_by))


def test_best_trials_are_compared_on_the_utterances_of_both(store: ResultsStore, results_path: Path) -> None:
    search_with(store, [0.5, 0.6])
    search_with(store, [0.8])
    (difference,) = compare(results_path, 1, 2).differences
    assert difference.best is not None
    assert difference.best.difference == pytest.approx(-0.2)
    assert difference.best.interval.drawn == "dialogues"
    assert difference.best.interval.low < -0.2 < difference.best.interval.high <= 0
    (row,) = tabulate_differences(compare(results_path, 1, 2)).rows
    assert row[0] == "1 minus 2" and row[1].startswith("-20.0 [")


def test_other_utterances_are_not_paired(store: ResultsStore, results_path: Path) -> None:
    search_with(store, [0.5])
    search_with(store, [0.8])
    with store.writing() as database:
        database.execute(
            "UPDATE validation_predictions SET utterance_id = 'Ses04F_impro99_M999' "
            "WHERE trial_id = 2 AND utterance_id = 'Ses04F_impro00_M000'"
        )
    comparison = compare(results_path, 1, 2)
    assert comparison.differences[0].best is None
    assert tabulate_differences(comparison).rows == (("1 minus 2", "not the same utterances", "-30.0 points (of 1)"),)


def test_scripts_that_predict_nothing_are_not_said_to_have_other_utterances(
    store: ResultsStore, results_path: Path
) -> None:
    for _ in range(2):
        eid = begin_search(store, num_samples=1, system="")
        trial_id = store.start_trial(eid, 0, 0, {})
        store.finish_trial(trial_id, TrialStatus.FINISHED, score=1.0)
    assert tabulate_differences(compare(results_path, 1, 2)).rows == (("1 minus 2", "no predictions", "+0 (of 1)"),)


def test_what_each_found_stands_side_by_side(store: ResultsStore, results_path: Path) -> None:
    search_with(store, [0.5, 0.6, 0.7])
    search_with(store, [0.8], system="speech4")
    comparison = compare(results_path, 1, 2)
    assert row_of(comparison, "system") == ("fusion", "speech4")
    assert row_of(comparison, "best score") == ("70.0 %", "80.0 %")
    assert row_of(comparison, "mean of trials") == ("60.0 %", "80.0 %")
    assert row_of(comparison, "expected best, equal trials") == ("60.0 % (of 1)", "80.0 % (of 1)")
    assert row_of(comparison, "time of all trials") == ("4 min 45 s", "1 min 35 s")
    assert row_of(comparison, "its attention") == ("decoder", "decoder")


def test_every_test_score_says_who_chose_its_epoch_and_that_it_is_synthetic(
    store: ResultsStore, results_path: Path
) -> None:
    eid = search_with(store, [0.5])
    search_with(store, [0.6])
    score_test(store, eid, kinds=(ScoreKind.VALIDATION_CHOSEN, ScoreKind.TEST_MAXIMUM))
    comparison = compare(results_path, 1, 2)
    chosen, maximum = "validation-chosen epoch", "maximum over test epochs (optimistic)"
    expected = ("65.0 ± 7.1 % (2 seeds, evaluation 1, synthetic)", "")
    assert row_of(comparison, f"test weighted accuracy, {chosen}") == expected
    assert row_of(comparison, f"test weighted accuracy, {maximum}") == expected


def test_probes_stand_beside_the_test_score_of_each_experiment_that_has_them(
    store: ResultsStore, results_path: Path
) -> None:
    eid = search_with(store, [0.5])
    search_with(store, [0.6])
    score_whole_opening(store, eid, probes=PROBED)
    score_whole_opening(store, eid)
    comparison = compare(results_path, 1, 2)
    name = "test unweighted accuracy of {}, scenes shared / left out"
    assert row_of(comparison, name.format("words")) == ("75.0 % / 25.0 % (evaluation 1, synthetic)", "")
    assert row_of(comparison, name.format("speech")) == ("50.0 % / 50.0 % (evaluation 1, synthetic)", "")
    assert not any("probe" in row[0] for row in tabulate_experiments(comparison).rows)
    kinds = {each["epoch_chosen_by"] for each in to_json(comparison)["experiments"][0]["test_scores"]}
    assert {str(kind) for kind in PROBED} < kinds


def test_half_of_a_probe_is_written_as_such(store: ResultsStore, results_path: Path) -> None:
    half = {ScoreKind.PROBE_WORDS_SHARED: PROBED[ScoreKind.PROBE_WORDS_SHARED]}
    score_whole_opening(store, search_with(store, [0.5]), probes=half)
    name = "test unweighted accuracy of words, scenes shared / left out"
    assert row_of(compare(results_path, 1, 1), name)[0] == "75.0 % / none (evaluation 1, synthetic)"


def test_what_was_set_differently_is_listed(store: ResultsStore, results_path: Path) -> None:
    wider = [{**SEARCH_SPACE[0], "range": [0.00001, 0.1]}, *SEARCH_SPACE[1:]]
    settings = {"job_failure": {"job_retries": 2}, "n_parallel": 2, "name": "a"}
    search_with(store, [0.5], settings=json.dumps(settings))
    search_with(store, [0.5], settings=json.dumps({**settings, "job_failure": {}, "name": "b"}), patience=5)
    search_with(store, [0.5], search_space=json.dumps(wider[:2]), settings=json.dumps(settings), protocol="strict")
    rows = {row[0]: row[1:] for row in tabulate_settings_that_differ(compare(results_path, 1, 2, 3)).rows}
    assert rows == {
        "patience": ("none", "5", "none"),
        "job_failure.job_retries": ("2", "", "2"),
        "protocol: name": ("paper", "paper", "strict"),
        "protocol: split_rule": ("holdout-by-id", "holdout-by-id", "last-session"),
        "searched: adamlr": ("float 0.0001 to 0.001, log scale",) * 2 + ("float 1e-05 to 0.1, log scale",),
        "searched: attention": ("decoder, pooling", "decoder, pooling", ""),
    }


def test_scores_that_are_adapted_to_the_speakers_say_so(store: ResultsStore, results_path: Path) -> None:
    search_with(store, [0.5])
    search_with(store, [0.5], protocol=OWN)
    comparison = compare(results_path, 1, 2)
    assert row_of(comparison, "speakers") == ("", "Adapted to the test speakers without labels.")
    assert [each["is_adapted_to_speakers"] for each in to_json(comparison)["experiments"]] == [False, True]
    assert not any(row[0] == "speakers" for row in tabulate_experiments(compare(results_path, 1, 1)).rows)


def test_an_experiment_without_a_finished_trial_is_shown_and_not_compared(
    store: ResultsStore, results_path: Path
) -> None:
    begin_search(store)
    search_with(store, [0.5])
    comparison = compare(results_path, 1, 2)
    assert row_of(comparison, "best score") == ("", "50.0 %")
    assert comparison.differences == []
    assert to_json(comparison)["experiments"][0]["best_score"] is None


def test_json_holds_what_the_tables_show(store: ResultsStore, results_path: Path) -> None:
    score_test(store, search_with(store, [0.5, 0.6]), seeds=(1,), scored=1)
    search_with(store, [0.8])
    found = json.loads(json.dumps(to_json(compare(results_path, 1, 2)), allow_nan=False))
    assert found["is_comparable"] is True
    assert "no score on it is a score on IEMOCAP" in found["notes"][-1]
    first, second = found["experiments"]
    assert (first["best_score"], first["num_finished"], second["best_score"]) == (0.6, 2, 0.8)
    assert first["expected_best"] == {"num_trials": 1, "score": pytest.approx(0.55)}
    (score,) = first["test_scores"]
    assert (score["epoch_chosen_by"], score["is_synthetic"]) == ("validation-chosen epoch", True)
    assert score["weighted_accuracy"] == {"mean": 0.6, "deviation": None}
    (difference,) = found["differences"]
    assert difference["best"]["drawn"] == "dialogues" and difference["best"]["difference"] == pytest.approx(-0.2)
