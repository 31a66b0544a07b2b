"""An experiment of the tables is found again by what changes its outcome, and by nothing else."""

import pytest

from harness.corpus.utterances import Happiness
from harness.errors import HarnessError
from harness.files import hash_json
from harness.splits.protocol import PROTOCOLS, read_protocol
from harness.store.records import ExperimentKind
from harness.tables.experiments import (
    TableExperiment,
    check_settings,
    compared_names,
    describe_experiment,
    identity_of,
    known_names,
    require_features,
)
from harness.tables.parts import TableSplit
from harness.tables.plan import plan_tables

TEXT = TableExperiment("text2", PROTOCOLS["paper"], TableSplit.SESSIONS)
OWN_VECTORS = TableExperiment("text3", PROTOCOLS["paper"], TableSplit.SESSIONS)
BASELINE = TableExperiment("text_logistic", PROTOCOLS["paper"], TableSplit.SESSIONS)


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("so 1 2\n")
    return path


def identity(experiment, settings, corpus_hash="c0ffee"):
    return hash_json(identity_of(experiment, settings, corpus_hash))


@pytest.mark.parametrize(
    "changed",
    [
        {"max_epochs": 3},
        {"patience": 2},
    ],
)
def test_how_long_is_trained_changes_a_network_and_no_baseline(settings, changed):
    assert identity(TEXT, settings(**changed)) != identity(TEXT, settings())
    assert identity(BASELINE, settings(**changed)) == identity(BASELINE, settings())


@pytest.mark.parametrize(
    "experiment",
    [
        TableExperiment("text1", PROTOCOLS["paper"], TableSplit.SESSIONS),
        TableExperiment("text2", PROTOCOLS["strict"], TableSplit.SESSIONS),
        TableExperiment("text2", PROTOCOLS["paper"], TableSplit.RANDOM),
        TableExperiment("text2", read_protocol({"test_session": 4}), TableSplit.SESSIONS),
        TableExperiment("text2", read_protocol({"recordings": "scripted"}), TableSplit.SESSIONS),
    ],
    ids=["system", "protocol", "split", "test session", "recordings"],
)
def test_what_is_trained_on_what_changes_the_identity(settings, experiment):
    assert identity(experiment, settings()) != identity(TEXT, settings())


def test_another_corpus_changes_the_identity(settings):
    assert identity(TEXT, settings(), "another") != identity(TEXT, settings())


def test_a_file_of_vectors_changes_the_systems_that_read_it(settings, vectors):
    with_vectors = settings(word_vectors=vectors)
    assert identity(TEXT, with_vectors) != identity(TEXT, settings())
    assert identity(OWN_VECTORS, with_vectors) == identity(OWN_VECTORS, settings())
    assert identity(BASELINE, with_vectors) == identity(BASELINE, settings())


def test_other_vectors_of_the_same_name_and_size_are_another_experiment(settings, vectors):
    before, content = identity(TEXT, settings(word_vectors=vectors)), vectors.read_bytes()
    vectors.write_bytes(content.replace(b"1", b"2"))
    assert vectors.stat().st_size == len(content) and vectors.read_bytes() != content
    assert identity(TEXT, settings(word_vectors=vectors)) != before


def test_more_seeds_and_other_rows_change_nothing(settings):
    assert identity(TEXT, settings(seeds=(1, 2, 3), names=("text2",))) == identity(TEXT, settings())


def test_the_record_says_that_it_is_no_search(settings, facts):
    record = describe_experiment(TEXT, settings(), facts)
    assert (record.kind, record.system, record.target) == (ExperimentKind.TABLES, "text2", "max")
    assert record.name == "tables: text2, Session 5" and record.is_synthetic


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"names": ("speech5",)},
            "unknown system or baseline 'speech5'; expected one of "
            f"{sorted({*known_names(), *compared_names()})}",
        ),
        (
            {"split": TableSplit.RANDOM, "leaves_each_session_out": True},
            "split 'random': its test set is no whole session, as leaving each session out asks for; expected one "
            "of the two",
        ),
        (
            {"split": TableSplit.BY_POSITION, "protocol": "strict"},
            "split 'by-position': trains on speakers of its test set, which protocol 'strict' rules out; expected the "
            "split 'sessions', or another protocol",
        ),
    ],
    ids=["unknown name", "two splits", "strict"],
)
def test_what_contradicts_itself_is_refused(settings, changes, message):
    with pytest.raises(HarnessError) as caught:
        check_settings(settings(**changes))
    assert str(caught.value) == message


def test_only_what_is_named_must_find_its_features(settings, facts, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "harness.tables.experiments.require_modalities", lambda store, name, modalities, streams: asked.append(name)
    )
    names = ("ctc", "uni_svm")
    plan = plan_tables(settings(names=names, compared=names))
    assert {each.name for each in plan.experiments} > {*names}
    require_features(plan.experiments, ("ctc",), facts)
    assert set(asked) == {"ctc"}


@pytest.mark.parametrize(
    ("changes", "num_experiments", "digest"),
    [
        ({}, 25, "91f4b64839ac89b6"),
        ({"protocol": "strict"}, 25, "47334b36744f083a"),
        ({"protocol": "published-code"}, 26, "181f35c9905d65e8"),
        ({"leaves_each_session_out": True, "happiness": Happiness.MERGED}, 125, "dc853d8db4f2aa2e"),
    ],
    ids=["paper", "strict", "published code", "each session left out"],
)
def test_what_was_trained_before_is_found_again(settings, changes, num_experiments, digest):
    """The digests are of before the compared systems were trained; only the package's version may change them."""
    before = tuple(name for name in known_names() if name not in ("speech_framewise", "speech_svm"))
    asked = settings(names=before, max_epochs=30, **changes)
    parts = [identity_of(experiment, asked, "c0ffee") for experiment in plan_tables(asked).experiments]
    hashes = [hash_json({key: value for key, value in of_one.items() if key != "version"}) for of_one in parts]
    assert (len(hashes), hash_json(hashes)) == (num_experiments, digest)
