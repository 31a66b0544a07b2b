"""What counts as a broken promise under each protocol, and that a split that breaks one is found."""

from dataclasses import replace

import pytest

from harness.features.store import FeatureStore
from harness.final import leak_check as check
from harness.final.leak_check import (
    FittedCheck,
    LeakReport,
    Overlap,
    Part,
    Shared,
    Statistics,
    VocabularyCheck,
    find_leaks,
    promises,
)
from harness.splits.protocol import PROTOCOLS
from tests.searched import prepare_small

TRAIN, VALIDATION, TEST = Part


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("a corpus's folder")
    prepare_small(made)
    return made


def find_in(folder, protocol):
    store = FeatureStore.open(folder / "results" / "prepared" / "features")
    return find_leaks(folder / "a corpus", store, PROTOCOLS[protocol])


def report_of(protocol, *overlaps, fitted=(), vocabularies=()):
    return LeakReport(PROTOCOLS[protocol], "a corpus", True, {}, overlaps, fitted, vocabularies)


@pytest.mark.parametrize("shared", Shared)
@pytest.mark.parametrize("second", [VALIDATION, TEST])
def test_what_each_protocol_promises(shared, second):
    overlap = Overlap(shared, TRAIN, second, ("a", "b", "c", "d"), 3, 10)
    is_counted = shared in (Shared.SCRIPTS, Shared.TRANSCRIPTS, Shared.NEAR_DUPLICATES)
    assert promises(PROTOCOLS["strict"], overlap) is not is_counted
    for protocol in ("paper", "published-code"):
        kept = not is_counted and (second is TEST or shared is Shared.UTTERANCES)
        assert promises(PROTOCOLS[protocol], overlap) is kept
    broken = report_of("strict", overlap).broken
    assert broken == (() if is_counted else (
        f"{shared} shared by train and {second}, which protocol 'strict' keeps apart: a, b, c and 1 more; 3 of 10 "
        "utterances",
    ))
    assert report_of("strict", replace(overlap, names=(), num_utterances=0)).broken == ()


def test_what_is_fitted_on_more_breaks_every_promise_and_a_declared_vocabulary_breaks_none():
    leaking, honest = (FittedCheck(Statistics.SPEECH, distance, 0.2) for distance in (0.1, 1e-7))
    words = VocabularyCheck("search", 100, ("abc",), 1, 10)
    for protocol in PROTOCOLS:
        report = report_of(protocol, fitted=(leaking, honest), vocabularies=(words,))
        assert len(report.broken) == (1 if protocol == "published-code" else 2)
    assert report_of("paper", vocabularies=(words,)).broken == (
        "the vocabulary of the search knows words that training lacks (1), which protocol 'paper' promises not to: abc",
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_our_splits_keep_their_promises(folder, protocol):
    report = find_in(folder, protocol)
    assert report.broken == () and report.is_synthetic
    assert all(size > 10 for size in report.sizes.values()) and len(report.fitted) == 3
    assert all(found.can_tell for found in report.fitted)


def test_a_split_that_lets_a_dialogue_into_both_parts_is_found(folder, monkeypatch):
    make_split = check.make_split

    def make_leaking(protocol, names):
        split = make_split(protocol, names)
        return replace(split, train=split.train + split.validation[:2], validation=split.validation[2:])

    monkeypatch.setattr(check, "make_split", make_leaking)
    report = find_in(folder, "strict")
    assert [sentence.split(" shared by ")[0] for sentence in report.broken] == ["speakers", "dialogues"]


def test_an_utterance_that_also_trains_is_found_in_the_test_set(folder, monkeypatch):
    read = check.read_test_utterances

    def read_with_another(corpus, protocol):
        trained_on = FeatureStore.open(folder / "results" / "prepared" / "features").utterances((1,))[0]
        return [*read(corpus, protocol), trained_on]

    monkeypatch.setattr(check, "read_test_utterances", read_with_another)
    broken = find_in(folder, "paper").broken
    assert [sentence.split(",")[0] for sentence in broken] == [
        "utterances shared by train and test",
        "speakers shared by train and test",
        "dialogues shared by train and test",
    ]
