"""Which rows the tables have, in which order, and what is trained for each."""

import pytest

from harness.corpus.utterances import Happiness
from harness.files import hash_json
from harness.splits.protocol import Recordings
from harness.tables.experiments import identity_of, known_names
from harness.tables.parts import TableSplit
from harness.tables.plan import distinct_experiments, plan_rows
from harness.tables.published import PUBLISHED


def test_the_papers_rows_come_first_in_its_order_and_the_baselines_after_them(settings):
    rows = plan_rows(settings(names=known_names()))
    assert [row.published for row in rows if row.published] == list(PUBLISHED)
    assert [row.name for row in rows if row.table == 5] == [
        "fusion",
        None,
        "speech_text",
        "majority",
        "text_speech_average",
    ]
    for table in range(1, 6):
        of_table = [row.published is None for row in rows if row.table == table]
        assert of_table == sorted(of_table) and any(of_table)


def test_only_tables_with_a_row_that_was_asked_for_are_there(settings):
    rows = plan_rows(settings(names=("speech4",)))
    assert {row.table for row in rows} == {1, 2}
    assert [row.title for row in rows if row.table == 2] == [
        "Lee and Tashev",
        "Ours (improv only)",
        "Chernykh et al.",
        "Neumann and Vu",
        "Lakomkin et al.",
        "Ours (all)",
    ]


def test_the_work_of_others_is_never_trained(settings):
    assert all(row.experiments == () for row in plan_rows(settings(names=known_names())) if row.name is None)


def test_table_two_has_the_fourth_speech_system_on_improvised_recordings_as_a_row_of_its_own(settings):
    rows = [row for row in plan_rows(settings(names=("speech4",))) if row.name]
    recordings = [row.experiments[0].protocol.recordings for row in rows]
    assert recordings == [Recordings.ALL, Recordings.IMPROVISED, Recordings.ALL]
    # Trained once for Tables 1 and 2.
    assert len(distinct_experiments(rows)) == 2


def test_recordings_that_are_asked_for_hold_in_every_other_row(settings):
    rows = plan_rows(settings(names=("speech4", "majority"), recordings=Recordings.SCRIPTED))
    found = {(row.table, row.title): row.experiments[0].protocol.recordings for row in rows if row.name}
    assert found.pop((2, "Ours (improv only)")) is Recordings.IMPROVISED
    assert found.pop((2, "majority class (improv only)")) is Recordings.IMPROVISED
    assert set(found.values()) == {Recordings.SCRIPTED}


@pytest.mark.parametrize(
    ("changes", "single", "combined"),
    [
        ({}, TableSplit.SESSIONS, TableSplit.SESSIONS),
        ({"protocol": "strict"}, TableSplit.SESSIONS, TableSplit.SESSIONS),
        ({"protocol": "published-code"}, TableSplit.BY_POSITION, TableSplit.SESSIONS),
        ({"protocol": "published-code", "split": TableSplit.SESSIONS}, TableSplit.SESSIONS, TableSplit.SESSIONS),
        ({"split": TableSplit.RANDOM}, TableSplit.RANDOM, TableSplit.SESSIONS),
        (
            {"protocol": "published-code", "leaves_each_session_out": True},
            TableSplit.SESSIONS,
            TableSplit.SESSIONS,
        ),
    ],
    ids=["paper", "strict", "published code", "published code by session", "random", "each session left out"],
)
def test_single_modalities_have_the_split_of_the_protocol_and_combined_ones_a_session(
    settings, changes, single, combined
):
    rows = plan_rows(settings(names=("speech1", "fusion", "majority"), **changes))
    splits = {(row.table == 5, found.split) for row in rows for found in row.experiments}
    assert splits == {(False, single), (True, combined)}


def test_each_session_is_the_test_session_once(settings):
    rows = plan_rows(settings(names=("fusion",), leaves_each_session_out=True))
    (row,) = [row for row in rows if row.name]
    assert [found.protocol.test_session for found in row.experiments] == [1, 2, 3, 4, 5]


def test_merged_happiness_is_every_rows_and_makes_it_another_experiment(settings):
    plain, merged = (
        [found for row in plan_rows(chosen) for found in row.experiments]
        for chosen in (settings(), settings(happiness=Happiness.MERGED))
    )
    assert {found.protocol.happiness for found in merged} == {Happiness.MERGED} and len(merged) == len(plain)
    identities = [
        {hash_json(identity_of(found, settings(), "c0ffee")) for found in experiments}
        for experiments in (plain, merged)
    ]
    assert not identities[0] & identities[1]
    assert settings(happiness=Happiness.MERGED).base.name == "paper+happiness=merged"
    assert settings().base.name == "paper"


def test_under_the_published_code_text_systems_have_its_500_words_and_the_combined_one_its_50(settings):
    rows = plan_rows(settings(names=("text2", "text_logistic", "fusion"), protocol="published-code"))
    words = {row.name: row.experiments[0].protocol.max_words for row in rows if row.name}
    assert words == {"text2": 500, "text_logistic": 50, "fusion": 50}
