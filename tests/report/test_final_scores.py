"""The scores of a test evaluation fit one screen, and every warning is on it."""

import io
import json

import pytest
from rich.console import Console

from harness.report.final_scores import describe_intent, print_summary
from harness.scoring.assessment import read_scored_opening
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
from tests.report.scored import PROBED, score_whole_opening
from tests.report.searches import run_search, score_test
from tests.store.experiments import an_opening


@pytest.fixture
def scored(tmp_path):
    with ResultsStore.open(tmp_path / "results.db") as store:
        eid = run_search(store, is_synthetic=False)
        baselines = tuple(kind for kind in ScoreKind if kind.is_for_all)
        score_whole_opening(store, eid, num_dialogues=31, baselines=baselines, probes=PROBED)
        return read_scored_opening(store, eid)


@pytest.mark.parametrize("width", [80, 120])
def test_scores_classes_baselines_and_scenes_fit_one_screen(scored, width):
    console = Console(file=io.StringIO(), width=width)
    print_summary(console, scored)
    lines = console.file.getvalue().splitlines()
    # The line after it says where the models are.
    assert len(lines) <= 30 and max(map(len, lines)) <= width
    words = [" ".join(line.split()) for line in lines]
    begins = ("Test set: Test evaluation 1, validation-chosen epoch, protocol 'paper', 2 ", "score, % mean")
    begins += ("weighted accuracy 62.5 17.7 ", "unweighted accuracy 62.5 ", "macro F1 ", "class utterances ")
    begins += ("anger 31 ", "excitement 31 ", "neutral 31 ", "sadness 31 ", "baseline weighted, % model better by ")
    begins += ("majority class 25.0 +37.5 ", "average of TF-IDF and forest ", "Intervals: bootstrap over dialogues; ")
    begins += ("Scenes: Words alone score 75.0 % unweighted ", "unweighted, % scenes shared scored scene left out ")
    begins += ("words 75.0 [75.0 to 75.0] 25.0 [25.0 to 25.0] +50.0 ", "speech 50.0 ")
    for beginning in begins:
        assert any(line.startswith(beginning) for line in words), (beginning, words)


@pytest.mark.parametrize("width", [80, 120])
def test_why_baselines_were_left_out_stands_on_the_same_screen(tmp_path, width):
    kinds = (ScoreKind.BASELINE_MAJORITY, ScoreKind.BASELINE_SPEECH_FOREST)
    with ResultsStore.open(tmp_path / "results.db") as store:
        eid = run_search(store, is_synthetic=False)
        score_whole_opening(store, eid, num_dialogues=31, baselines=kinds, probes=PROBED)
        scored = read_scored_opening(store, eid)
    titles = ("TF-IDF, logistic regression", "average of TF-IDF and forest")
    left_out = [f"The baseline '{title}' is left out: the corpus has no text." for title in titles]
    console = Console(file=io.StringIO(), width=width)
    print_summary(console, scored, left_out)
    lines = console.file.getvalue().splitlines()
    words = " ".join(" ".join(lines).split())
    assert len(lines) <= 30 and all(sentence in words for sentence in left_out)
    assert "Not scored in this test evaluation" not in words
    long = Console(file=io.StringIO(), width=width)
    print_summary(long, scored, [f"{sentence} {100 * 'word '}" for sentence in left_out])
    lines = long.file.getvalue().splitlines()
    assert len(lines) <= 31 and max(map(len, lines)) <= width and any(line.endswith(" …") for line in lines)


def test_the_summary_keeps_every_warning(tmp_path):
    with ResultsStore.open(tmp_path / "results.db") as store:
        eid = run_search(store)
        score_whole_opening(store, eid)
        score_whole_opening(store, eid, num_dialogues=3, baselines=())
        scored = read_scored_opening(store, eid)
    console = Console(file=io.StringIO(), width=80)
    print_summary(console, scored)
    words = " ".join(console.file.getvalue().split())
    assert "Models of these seeds were also scored on the test set in test evaluation 1." in words
    assert "With 3 dialogues, fewer than 10, a bootstrap over dialogues says little" in words
    assert "This test evaluation scored no baselines to compare the model with." in words
    assert "Scenes: This test evaluation has no probes" in words
    assert "* Fewer than 10 dialogues" in words and "synthetic corpus" in words


def test_what_a_test_evaluation_is_about_to_do_is_said_with_what_stands_behind_it(tmp_path):
    """After three trials `aup` advised to evaluate the test session, and nothing counted the evaluations before."""
    with ResultsStore.open(tmp_path / "results.db") as store:
        experiment = store.experiment(run_search(store, num_trials=3))
        said = [describe_intent(store, [experiment], "Session 5", 5)]
        for _ in range(2):
            score_test(store, experiment.eid)
            said.append(describe_intent(store, [experiment], "Session 5", 1))
    assert said[0] == (
        "--test scores 5 models on Session 5, and records that for good. Behind the hyperparameters stand 3 finished "
        "trials and 1 seed: `harness replicate` measures how much of their score was luck. The test session was "
        "never evaluated before, by this results folder's record."
    )
    assert [sentence.partition("The test session was ")[2].split(",")[0] for sentence in said] == [
        "never evaluated before",
        "evaluated once before",
        "evaluated 2 times before",
    ]


def before(store, *eids):
    said = describe_intent(store, [store.experiment(eid) for eid in eids], "the test set", 1)
    return said.partition("seed: `harness replicate` measures how much of their score was luck. ")[2]


def test_only_evaluations_of_the_same_test_set_are_counted(tmp_path):
    """With folds, Session 4 was evaluated before as soon as Session 1 was."""
    with ResultsStore.open(tmp_path / "results.db") as store:
        first, fourth, woman, man = (
            run_search(store, num_trials=1, protocol={"base": "paper", **test})
            for test in (
                {"test_session": 1},
                {"test_session": 4},
                {"test_session": 4, "test_speaker": "F"},
                {"test_session": 4, "test_speaker": "M"},
            )
        )
        score_test(store, first)
        score_test(store, woman)
        record = "by this results folder's record"
        assert before(store, first) == f"The test session was evaluated once before, {record}."
        # A speaker of the session is a part of it, and no part of the other speaker.
        assert before(store, fourth) == f"The test session was evaluated once before, {record}."
        assert before(store, man) == f"The test session was never evaluated before, {record}."
        assert before(store, first, fourth) == f"The 2 test sets were evaluated 2 times before, {record}."
        # Of `harness tables`, which has many experiments.
        store.record_opening(an_opening(None))
        unknown = "test set of this corpus was evaluated once before"
        assert before(store, man) == f"A {unknown}, {record}, which does not say which."
        assert before(store, first) == (
            f"The test session was evaluated once before, {record}; besides, a {unknown}, and it does not say which."
        )


def test_the_seeds_of_each_trial_stand_behind_its_hyperparameters(tmp_path):
    with ResultsStore.open(tmp_path / "results.db") as store:
        settings = json.dumps({"name": "fusion", "seeds_per_trial": 3})
        said = describe_intent(store, [store.experiment(run_search(store, settings=settings))], "Session 5", 1)
    assert "stand 10 finished trials and 3 seeds. The test session" in said
