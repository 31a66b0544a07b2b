"""Sentences that must stand beside the numbers."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.features.fitted import NO_TEXT
from harness.report.statements import (
    Statement,
    describe_adaptation,
    describe_openings,
    describe_progress,
    describe_published,
    describe_search,
    describe_source,
)
from harness.store.records import ExperimentStatus, ScoreKind, TrialStatus
from harness.store.store import ResultsStore
from harness.wording import SYNTHETIC_SENTENCE
from tests.report.searches import (
    begin_search,
    begin_trial,
    fail_trial,
    findings_of,
    run_search,
    run_trial,
    score_test,
)
from tests.store.experiments import an_experiment, an_opening


def by_heading(statements: list[Statement]) -> dict[str, Statement]:
    return {statement.heading: statement for statement in statements}


def test_synthetic_corpus_and_shortened_search_are_said_first(
    store: ResultsStore, results_path: Path
) -> None:
    run_search(store, shortened="max_epochs is 4 in place of 30.")
    first, second = describe_search(findings_of(results_path))[:2]
    assert first == Statement("Synthetic corpus", SYNTHETIC_SENTENCE, is_warning=True)
    assert second == Statement("Shortened", "max_epochs is 4 in place of 30.", is_warning=True)
    assert SYNTHETIC_SENTENCE == (
        "This corpus is synthetic: no score on it is a score on IEMOCAP."
    )


def test_real_corpus_in_full_needs_neither_sentence(store: ResultsStore, results_path: Path) -> None:
    run_search(store, is_synthetic=False)
    said = by_heading(describe_search(findings_of(results_path)))
    assert {"Synthetic corpus", "Shortened"}.isdisjoint(said)


def test_files_of_features_and_what_they_lack_stand_in_the_report(store: ResultsStore, results_path: Path) -> None:
    run_search(store, features_note="Features of speech come from 'own.csv'.")
    said = by_heading(describe_search(findings_of(results_path)))
    assert said["Features of one's own"].text == "Features of speech come from 'own.csv'."


NOTE = "This corpus is not IEMOCAP: it has 73 utterances, where the release has 10039."


@pytest.mark.parametrize(
    ("changes", "counts", "heading"),
    [
        ({"is_synthetic": False}, " (3000 and 838 of the complete corpus)", None),
        ({"is_synthetic": False, "corpus_note": NOTE}, "", "Corpus"),
        ({"is_synthetic": True}, "", "Synthetic corpus"),
    ],
    ids=["complete", "another", "synthetic"],
)
def test_counts_of_the_complete_corpus_stand_beside_it_alone(
    store: ResultsStore, results_path: Path, changes: dict[str, object], counts: str, heading: str | None
) -> None:
    run_search(store, **changes)
    said = by_heading(describe_search(findings_of(results_path)))
    assert f"the first 78 % train and the last 22 % validate{counts}." in said["Protocol"].text
    assert {"Corpus", "Synthetic corpus"} & set(said) == ({heading} if heading else set())
    if heading == "Corpus":
        assert said[heading] == Statement("Corpus", NOTE, is_warning=True)


@pytest.mark.parametrize(
    ("protocol", "speakers", "is_warning"),
    [
        (
            "paper",
            "Training and validation share speakers: the split cuts through a session, and even a dialogue. Validation "
            "accuracy therefore overestimates the accuracy on new speakers.",
            True,
        ),
        ("strict", "No speaker of the validation utterances is heard in training.", False),
    ],
)
def test_shared_speakers_are_said(
    store: ResultsStore, results_path: Path, protocol: str, speakers: str, is_warning: bool
) -> None:
    run_search(store, protocol=protocol)
    said = by_heading(describe_search(findings_of(results_path)))
    assert said["Speakers"] == Statement("Speakers", speakers, is_warning)


def test_merged_happiness_is_said(store: ResultsStore, results_path: Path) -> None:
    run_search(store, is_synthetic=False, protocol={"base": "paper", "name": "mine", "happiness": "merged"})
    said = by_heading(describe_search(findings_of(results_path)))
    text = said["Protocol"].text
    assert "Happiness is merged into excitement: 5531 utterances of the complete corpus, not 4936." in text
    assert "(3353 and 937 of the complete corpus)" in text


@pytest.mark.parametrize("base", ["paper", "strict"])
def test_adaptation_to_the_speakers_is_said_as_a_warning(store: ResultsStore, results_path: Path, base: str) -> None:
    run_search(store, protocol={"base": base, "name": "mine", "speaker_scaling": "own"})
    findings = findings_of(results_path)
    adapted = by_heading(describe_search(findings))["Adapted"]
    assert adapted.is_warning and adapted.text.startswith("Adapted to the test speakers without labels. ")
    assert "all of his or her own turns of the session, whatever their label" in adapted.text
    run_search(store, protocol=base)
    assert "Adapted" not in by_heading(describe_search(findings_of(results_path, 2)))


def test_turns_so_far_are_said_where_they_alone_scale_the_speech() -> None:
    (adapted,) = describe_adaptation({"speaker_scaling": "past"})
    assert adapted.is_warning and adapted.text.startswith("Adapted to the test speakers without labels. ")
    assert "up to the scaled one, whatever their label; no later turn is read" in adapted.text
    assert "Speech, and motion where it is read, of every speaker" in adapted.text


def test_shared_scenes_are_said_as_a_warning(searched: Path) -> None:
    scenes = by_heading(describe_search(findings_of(searched)))["Scenes"]
    assert scenes.is_warning
    begins = "Every session plays the same scenes, so training has read each scene that is scored."
    assert scenes.text.startswith(begins)


def test_disjoint_scenes_are_said_with_their_groups(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=1, protocol={"base": "paper", "scenes": "disjoint"})
    groups = (("impro01", "script01_1"), ("impro02",))
    findings = findings_of(results_path)
    assert findings.environment is not None
    environment = replace(findings.environment, scene_groups=groups, validated_scenes=groups[1])
    said = by_heading(describe_search(replace(findings, environment=environment)))
    assert not said["Scenes"].is_warning
    assert said["Scenes"].text.endswith(" The groups: impro01, script01_1; impro02. Validation uses impro02.")
    assert "Every class weighs the same in the loss" in said["Protocol"].text


def test_who_chose_the_epoch_is_said_with_the_luck_of_the_best(searched: Path) -> None:
    said = by_heading(describe_search(findings_of(searched)))
    assert said["Who chose the epoch"] == Statement(
        "Who chose the epoch",
        "In the search, validation chooses each trial's epoch, and each trial is scored by that epoch's validation "
        "accuracy. The best score of 10 trials is also the luckiest: expect the same hyperparameters to score lower "
        "when trained again with another seed.",
    )


def test_a_best_epoch_that_is_the_last_allowed_one_is_said(store: ResultsStore, results_path: Path) -> None:
    run_search(store, max_epochs=4)
    said = by_heading(describe_search(findings_of(results_path)))
    assert said["Last epoch"] == Statement(
        "Last epoch",
        "Trial 9 is the best. Its best epoch, 4, is the last that max_epochs allows: with more epochs it might score "
        "higher.",
        is_warning=True,
    )
    run_search(store, max_epochs=4, shortened="At most 4 epochs: a quick start.")
    run_search(store, max_epochs=5)
    for eid in (2, 3):
        assert "Last epoch" not in by_heading(describe_search(findings_of(results_path, eid)))


def test_published_code_is_said_to_let_the_test_set_choose(store: ResultsStore, results_path: Path) -> None:
    run_search(store, protocol="published-code")
    said = by_heading(describe_search(findings_of(results_path)))
    assert said["Who chose the epoch"].is_warning
    assert said["Who chose the epoch"].text.endswith(
        "In a final training, this protocol takes the best epoch on the test set, as the published code does: such a "
        "score is optimistic, and labelled as such."
    )
    assert said["Vocabulary"].text == (
        "The vocabulary is also fitted on the scored utterances, as in the published code."
    )


def test_baseline_is_said_in_words(searched: Path) -> None:
    said = by_heading(describe_search(findings_of(searched)))
    assert said["Baseline"].text == (
        "Always answering 'neutral', the largest class of the validation utterances, scores 50.0 % (10 of "
        "20)."
    )


def test_progress_of_a_running_search(store: ResultsStore, results_path: Path) -> None:
    eid = begin_search(store, num_samples=5)
    run_trial(store, eid, 0, 5, 0.5)
    begin_trial(store, eid, 1, 5)
    fail_trial(store, eid, 2)
    assert describe_progress(findings_of(results_path)) == (
        "1 of 5 trials finished, 1 running, 1 failed; the search is still running."
    )
    store.update_experiment(eid, ExperimentStatus.INTERRUPTED)
    assert describe_progress(findings_of(results_path)) == (
        "1 of 5 trials finished, 1 left unfinished, 1 failed; the search was interrupted."
    )


def test_unopened_test_set_is_said(searched: Path) -> None:
    assert describe_openings(findings_of(searched)) == [
        Statement("Test set", "The test set has never been scored from this results folder.")
    ]


def test_every_opening_is_said_with_when_and_by_what(store: ResultsStore, results_path: Path) -> None:
    eid = run_search(store)
    score_test(store, eid)
    score_test(store, eid, seeds=(3, 4, 5), scored=1, kinds=(ScoreKind.TEST_MAXIMUM,))
    said = describe_openings(findings_of(results_path))
    assert [statement.heading for statement in said] == [
        "Test set",
        "Test evaluation 1",
        "Test evaluation 2",
        "Synthetic corpus",
        "Optimistic scores",
    ]
    assert said[0].text == (
        "There have been 2 test evaluations from this results folder; all of them stay listed here."
    )
    assert said[1].text == (
        "2026-02-03 04:05:06 UTC, by user on host with `harness retrain-best --test`, protocol 'paper', 2 "
        "seeds (experiment 1)."
    )
    assert said[2].text.endswith("It ended before every seed was scored (1 of 3); it still counts.")
    assert [statement.is_warning for statement in said] == [True, False, True, True, True]


def test_no_number_of_scored_seeds_is_given_where_they_are_not_counted(store: ResultsStore, results_path: Path) -> None:
    """It said (0 of 3), whatever `harness tables` and `harness leaks --test` had scored."""
    run_search(store)
    store.record_opening(an_opening(None, seeds=(1, 2, 3)))
    said = describe_openings(findings_of(results_path))
    assert said[1].text.endswith("3 seeds. It ended before every seed was scored; it still counts.")


def test_published_number_is_taken_apart() -> None:
    assert describe_published().text == (
        "The paper's 71.04 % is 780 of 1098 test utterances at the best of thirty epochs, which the test set itself "
        "chose (95 % Wilson interval 68.3 to 73.6 %). The two runs behind it end at 67.3 % and 70.0 %. Compare it with "
        "a score whose epoch validation chose only if you say so."
    )


def test_experiment_of_a_foreign_script_claims_nothing_about_its_split(
    store: ResultsStore, results_path: Path
) -> None:
    eid = store.create_experiment(an_experiment(protocol="{}", protocol_name="", protocol_hash="", system=""))
    trial_id = store.start_trial(eid, 0, 0, {})
    store.finish_trial(trial_id, TrialStatus.FINISHED, score=3.5)
    said = by_heading(describe_search(findings_of(results_path)))
    assert said["Protocol"].text == (
        "The search runs a script of its own, so its training and scored utterances are not known here."
    )
    assert "Speakers" not in said
    assert said["Who chose the epoch"].text == "Each trial's score is defined by its script."


def test_the_recogniser_is_named_where_a_system_has_one() -> None:
    (found,) = describe_source("asr_transfer", "a recogniser of characters; character error rate 61.5 %")
    assert found.heading == "Speech recogniser" and "In that trial: a recogniser of characters" in found.text
    assert describe_source("asr_transfer", None) == []
    assert describe_source("speech4", NO_TEXT) == []
    (found,) = describe_source("text2", "gensim Word2Vec, 300 numbers a word")
    assert (found.heading, found.text) == ("Words", "In that trial: gensim Word2Vec, 300 numbers a word.")
