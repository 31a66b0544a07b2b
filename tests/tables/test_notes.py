"""What stands beside the numbers, and the numbers as plain values."""

import json
from dataclasses import replace

import pytest

from harness.scoring.scenes import pair_scenes
from harness.scoring.statistics import Interval, mean_and_spread
from harness.splits.protocol import Recordings
from harness.store.records import ScoreKind
from harness.tables.notes import describe_run, describe_table, to_json
from harness.tables.parts import SPLIT_SENTENCES, TableSplit
from harness.tables.plan import plan_rows
from harness.tables.published import COMBINED_SENTENCE, SINGLE_MODALITY_SENTENCE
from harness.tables.results import Estimate, RowResult
from tests.scored import answer_dialogues


def estimate(*accuracies, is_too_narrow=False):
    spread = mean_and_spread(accuracies)
    return Estimate(spread, Interval(0.25, 0.75, 0.95, "dialogues", is_too_narrow), spread, None, 40)


def result_of(settings, table, name, **changes):
    (row,) = [row for row in plan_rows(settings) if (row.table, row.name) == (table, name)]
    return RowResult(row, **changes)


@pytest.mark.parametrize(
    ("is_synthetic", "differences", "sentences"),
    [
        (False, (), []),
        (
            False,
            ("one", "two"),
            [
                "The published column speaks of other data: the complete IEMOCAP, where this corpus differs from it "
                "in 2 counts."
            ],
        ),
        (
            False,
            ("one",),
            [
                "The published column speaks of other data: the complete IEMOCAP, where this corpus differs from it "
                "in 1 count."
            ],
        ),
        (
            True,
            ("one",),
            [
                "This corpus is synthetic: no score on it is a score on IEMOCAP.",
                "The published column speaks of other data: the complete IEMOCAP, where this corpus is synthetic.",
            ],
        ),
    ],
    ids=["complete", "incomplete", "by one count", "synthetic"],
)
def test_the_published_column_is_told_apart_from_other_data(settings, facts, is_synthetic, differences, sentences):
    corpus = replace(facts, is_synthetic=is_synthetic, differences=differences)
    assert describe_run(settings(), corpus)[1:] == sentences
    assert corpus.is_published_one is (not sentences)


def test_what_was_asked_for_is_told(settings, facts):
    asked = settings(
        protocol="strict", recordings=Recordings.SCRIPTED, leaves_each_session_out=True, patience=3, seeds=(1,)
    )
    assert describe_run(asked, facts)[0] == (
        "Protocol 'strict', scripted recordings only, one seed, at most 2 epochs, patience 3; each session tests once, "
        "and the five are scored together."
    )


def test_the_combined_figure_never_stands_without_its_sentence(settings):
    of_fusion = settings(names=("fusion", "speech1"))
    notes = describe_table(of_fusion, 5, [result_of(of_fusion, 5, "fusion")])
    assert notes[0] == COMBINED_SENTENCE
    assert describe_table(of_fusion, 1, [result_of(of_fusion, 1, "speech1")]) == [SINGLE_MODALITY_SENTENCE]


@pytest.mark.parametrize("split", [TableSplit.RANDOM, TableSplit.BY_POSITION])
def test_a_split_that_hears_the_test_speakers_is_labelled(settings, split):
    asked = settings(names=("head2", "fusion"), split=split)
    assert SPLIT_SENTENCES[split] in describe_table(asked, 4, [result_of(asked, 4, "head2")])
    assert SPLIT_SENTENCES[split] not in describe_table(asked, 5, [result_of(asked, 5, "fusion")])


def test_what_is_missing_or_failed_is_told_below_its_table(settings):
    asked = settings(names=("text_logistic", "text1", "text2"))
    results = [
        result_of(asked, 3, "text1", failures=("text1, Session 5, seed 1: diverged: nan",)),
        result_of(asked, 3, "text2", lacking=("text",)),
        result_of(
            asked,
            3,
            "text_logistic",
            chosen=estimate(0.5, is_too_narrow=True),
            num_without_input={"text": 2, "speech": 0},
        ),
    ]
    assert describe_table(asked, 3, results)[1:] == [
        "* Fewer than 10 dialogues: utterances are drawn instead, so this interval is too narrow.",
        "text1, Session 5, seed 1: diverged: nan",
        "Text_Model2 (text2): not trained, for the corpus has no text.",
        "TF-IDF, logistic regression (text_logistic): of 40 utterances 2 have no text; the classes' shares of the "
        "training utterances stand in for the answer.",
    ]


def test_the_plain_values_have_every_number_and_no_nan(settings, facts):
    asked = settings(names=("head2",), seeds=(1,))
    results = [result_of(asked, 4, "head2", chosen=estimate(0.5), maximum=estimate(0.5, 0.75))]
    scored = answer_dialogues([[True, False, False, False]] * 12)
    scenes = pair_scenes(None, {ScoreKind.PROBE_WORDS_SHARED: [scored]})
    found = json.loads(json.dumps(to_json(asked, facts, results, scenes), allow_nan=False))
    (table,) = found["tables"]
    (row,) = table["rows"]
    assert (table["table"], table["split"], row["published_percent"]) == (4, "sessions", 40.28)
    chosen = row["epoch_chosen_on_validation"]
    assert chosen["weighted_accuracy"] == {"mean": 0.5, "deviation": None, "num_seeds": 1}
    assert chosen["interval"]["low"] == 0.25
    assert row["maximum_over_test_epochs_optimistic"]["weighted_accuracy"]["mean"] == 0.625
    assert found["scenes"]["note"].startswith("On this synthetic corpus, words alone score 25.0 % unweighted")
    (probe,) = found["scenes"]["probes"]
    assert (probe["reads"], probe["scenes_shared"]["unweighted_accuracy"]) == ("words", 0.25)
    assert (probe["scored_scene_left_out"], probe["difference"]) == (None, None)
    assert to_json(asked, facts, results, ())["scenes"] == {"note": "", "probes": []}
