"""What is said of scores on other corpora: whose they are, and that they are none of a test session."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from harness.report.evaluations import (
    describe_evaluation,
    evaluation_to_json,
    tabulate_evaluation,
    tabulate_evaluations,
)
from harness.report.final_scores import print_evaluation
from harness.report.page import render_page
from harness.report.terminal import print_report
from harness.scoring.assessment import ScoredEvaluation, assess_evaluation
from harness.store.evaluations import read_evaluations
from harness.store.store import ResultsStore
from harness.wording import SYNTHETIC_SENTENCE
from tests.report.scored import score_evaluation
from tests.report.searches import findings_of, run_search
from tests.report.test_model_card import FOLDER, a_record, card

LABEL = (
    f"Evaluation 1 on another corpus, 'the other' (0ther0th): {FOLDER}, trained on a synthetic corpus, protocol "
    "'paper', 2 seeds. This is not a test score."
)


@pytest.fixture
def eid(store: ResultsStore) -> int:
    return run_search(store)


@pytest.fixture
def scored(store: ResultsStore, eid: int) -> ScoredEvaluation:
    score_evaluation(store, eid)
    (row,) = read_evaluations(store)
    return assess_evaluation(row)


def said(scored: ScoredEvaluation) -> dict[str, str]:
    return {statement.heading: statement.text for statement in describe_evaluation(scored)}


def printed(scored: ScoredEvaluation, *left_out: str, details: bool = False) -> str:
    console = Console(file=io.StringIO(), width=120)
    print_evaluation(console, scored, left_out, details=details)
    return " ".join(console.file.getvalue().split())


COMPARISONS = ("against baselines", "against baselines, unweighted accuracy")
PARTS = ("scores", "by class", "by group", "confusion", *COMPARISONS, "scenes")


def test_every_table_says_whose_numbers_it_holds(scored: ScoredEvaluation) -> None:
    tables = tabulate_evaluation(scored)
    assert [table.title for table in tables] == [
        f"Another corpus: {part}"
        for part in (*PARTS, "calibration", "reliability")
    ]
    assert all(table.note.startswith(LABEL) for table in tables)
    # The table of scenes has no row here, and is shown nowhere.
    shown = [table for table in tables if table.rows]
    assert not any("test set" in f"{table.title} {table.note}".lower() for table in shown)
    # Seeds of 75 and 50 %, alike in every dialogue.
    assert tables[0].rows[0][:4] == ("weighted accuracy", "62.5", "17.7", "50.0 to 75.0")


def test_adaptation_to_the_speakers_stands_with_every_table(store: ResultsStore, eid: int) -> None:
    score_evaluation(store, eid, protocol_name="mine+speaker_scaling=own")
    (row,) = read_evaluations(store)
    tables = tabulate_evaluation(assess_evaluation(row))
    assert all("Adapted to the test speakers without labels." in table.note for table in tables)


def test_statements_say_what_was_scored_and_what_training_had_read(scored: ScoredEvaluation) -> None:
    found = said(scored)
    assert found["What was scored"] == (
        f"{LABEL} Scored 2026-03-04 05:06:07 UTC with `harness evaluate`: every utterance of the four classes in "
        "Session 1, 5, 48 utterances of 12 dialogues."
    )
    assert "is not a test evaluation and does not count as one" in found["What it is not"]
    assert found["Transcripts"].startswith("25.5 % of the utterances with words (12 of 47) have a transcript that")
    assert found["Largest class"].startswith("Always answering '")
    assert "would score 25.0 %" in found["Largest class"]
    assert found["Baselines left out"].startswith(
        "Not scored: TF-IDF, logistic regression, random forest on speech, SVM on functionals of speech, "
    )


def test_a_synthetic_corpus_is_named_beside_every_score(store: ResultsStore, eid: int) -> None:
    score_evaluation(store, eid, is_synthetic=True)
    (row,) = read_evaluations(store)
    scored = assess_evaluation(row)
    assert all(SYNTHETIC_SENTENCE in said(scored)[heading] for heading in ("What was scored", "Largest class"))
    assert all("'the other' (0ther0th, synthetic)" in table.note for table in tabulate_evaluation(scored))
    assert evaluation_to_json(scored, ())["note"] == f"This is not a test score. {SYNTHETIC_SENTENCE}"


def test_one_screen_has_scores_classes_and_baselines_and_the_details_the_rest(scored: ScoredEvaluation) -> None:
    brief, whole = printed(scored), printed(scored, details=True)
    for part in ("weighted accuracy 62.5 17.7", "anger 12 50.0 ± 0.0", "majority class 25.0 +37.5", "Largest class:"):
        assert part in brief
    assert "Another corpus: calibration" in whole and "calibration" not in brief
    assert "What it is not:" in whole
    assert "Baselines left out: Not scored" in brief
    with_reason = printed(scored, "The baselines are left out: nothing is here.")
    assert "The baselines are left out: nothing is here." in with_reason and "Not scored" not in with_reason


def test_transcripts_that_are_not_known_are_said_to_be_so(store: ResultsStore, eid: int) -> None:
    score_evaluation(store, eid)
    store.database.execute("DELETE FROM evaluation_utterances")
    (row,) = read_evaluations(store)
    scored = assess_evaluation(row)
    assert said(scored)["Transcripts"].startswith("Whether training had the same transcripts is not known")
    assert evaluation_to_json(scored, ())["share_of_transcripts_seen"] is None


def test_json_holds_every_score_and_no_nan(scored: ScoredEvaluation) -> None:
    found = json.loads(json.dumps(evaluation_to_json(scored, ("left out",)), allow_nan=False))
    weighted = found["scores"]["weighted accuracy"]
    assert (weighted["mean"], weighted["of_seeds"], weighted["interval"]) == (0.625, [0.75, 0.5], [0.625, 0.625])
    assert found["classes"]["ang"]["recall"] == 1.0
    assert found["baselines"]["majority class"]["model_better_by"] == pytest.approx(0.375)
    assert (found["num_utterances"], found["num_dialogues"], found["drawn_for_intervals"]) == (48, 12, "dialogues")
    assert found["left_out"] == ["left out"] and found["share_of_transcripts_seen"] == pytest.approx(12 / 47)
    assert (found["is_synthetic"], found["is_trained_on_synthetic"]) == (False, True)


def test_the_short_table_has_a_row_for_each(store: ResultsStore, results_path: Path, eid: int) -> None:
    score_evaluation(store, eid)
    score_evaluation(store, eid, num_dialogues=3, is_synthetic=True)
    score_evaluation(store, run_search(store, 1))
    findings = findings_of(results_path, eid)
    table = tabulate_evaluations(findings.evaluations, findings.evaluation_intervals)
    first, second = table.rows
    assert first == (
        *("1", "'the other' (0ther0th)", "experiment-1-trial-9-0a1b2c3d", "2", "48"),
        *("62.5 ± 17.7 [62.5 to 62.5]", "62.5 ± 17.7 [62.5 to 62.5]", first[7], "25.0", "25.5"),
    )
    assert second[1] == "'the other' (0ther0th, synthetic)" and second[5].endswith("*]")
    assert "* Fewer than 10 dialogues" in table.note and "These are not test scores" in table.note


def test_the_report_and_the_card_have_the_table_where_there_is_a_row(
    store: ResultsStore, results_path: Path, eid: int
) -> None:
    def report() -> tuple[str, str]:
        console = Console(file=io.StringIO(), width=200)
        findings = findings_of(results_path, eid)
        print_report(console, findings, 3)
        return console.file.getvalue(), render_page(findings)

    assert not any("On other corpora" in text for text in report())
    assert "These models have not been scored on any other corpus" in card(store, a_record(eid))
    score_evaluation(store, eid)
    score_evaluation(store, eid, model="models/another")
    terminal, page = report()
    assert "On other corpora" in terminal and terminal.count("'the other'") == 2
    assert '<section class="card" id="other-corpora">' in page and 'href="#other-corpora"' in page
    text = card(store, a_record(eid))
    assert "## Other corpora" in text and text.count("'the other' (0ther0th)") == 1
    assert store.openings() == [] and "has never been scored from this results folder" in text
