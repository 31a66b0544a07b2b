"""Broken promises of each protocol, and what parts share: planted leaks are found, and nothing else."""

from dataclasses import replace

import pytest

from harness.features.store import FeatureStore
from harness.final import leak_check as check
from harness.final.leak_check import (
    LeakReport,
    Overlap,
    Part,
    Shared,
    VocabularyCheck,
    check_vocabulary,
    find_leaks,
    find_near_duplicates,
    find_overlaps,
    promises,
)
from harness.splits.parts import Parts
from harness.splits.protocol import PROTOCOLS, read_protocol
from tests.invented_features import invent_features
from tests.searched import prepare_small

TRAIN, VALIDATION, TEST = Part


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("a corpus's folder")
    prepare_small(made)
    return made


DISJOINT = {"base": "paper", "scenes": "disjoint"}


def find_in(folder, protocol):
    store = FeatureStore.open(folder / "results" / "prepared" / "features")
    return find_leaks(folder / "a corpus", store, read_protocol(protocol))


def report_of(protocol, *overlaps, vocabularies=()):
    return LeakReport(read_protocol(protocol), "a corpus", True, {}, overlaps, vocabularies)


@pytest.mark.parametrize("shared", Shared)
@pytest.mark.parametrize("second", [VALIDATION, TEST])
def test_what_each_protocol_promises(shared, second):
    overlap = Overlap(shared, TRAIN, second, ("a", "b", "c", "d"), 3, 10)
    is_counted = shared in (Shared.SCENES, Shared.TRANSCRIPTS, Shared.NEAR_DUPLICATES)
    assert promises(PROTOCOLS["strict"], overlap) is not is_counted
    for protocol in ("paper", "published-code"):
        kept = not is_counted and (second is TEST or shared is Shared.UTTERANCES)
        assert promises(PROTOCOLS[protocol], overlap) is kept
    broken = report_of("strict", overlap).broken
    assert broken == (() if is_counted else (
        f"{shared} shared by train and {second}, although protocol 'strict' keeps them apart: a, b, c and 1 "
        "more; 3 of 10 utterances",
    ))
    assert report_of("strict", replace(overlap, names=(), num_utterances=0)).broken == ()


@pytest.mark.parametrize("second", [VALIDATION, TEST])
def test_disjoint_scenes_are_promised_and_shared_transcripts_are_not(second):
    disjoint = read_protocol(DISJOINT)
    overlap = Overlap(Shared.SCENES, TRAIN, second, ("impro01",), 3, 10)
    assert promises(disjoint, overlap) and not promises(PROTOCOLS["strict"], overlap)
    (sentence,) = report_of(DISJOINT, overlap).broken
    kept = f"although protocol '{disjoint.name}' keeps them apart"
    assert sentence == f"scenes shared by train and {second}, {kept}: impro01; 3 of 10 utterances"
    assert not promises(disjoint, replace(overlap, shared=Shared.TRANSCRIPTS))


def test_words_of_scored_utterances_break_a_promise_where_the_protocol_does_not_declare_them():
    words = VocabularyCheck("search", 100, ("abc",), 1, 10)
    assert report_of("published-code", vocabularies=(words,)).broken == ()
    assert report_of("paper", vocabularies=(words,)).broken == (
        "the vocabulary of the search has words that training lacks (1), although protocol 'paper' promises that it "
        "has none: abc",
    )


@pytest.mark.parametrize("protocol", [*PROTOCOLS, DISJOINT], ids=[*PROTOCOLS, "disjoint"])
def test_our_splits_keep_their_promises(folder, protocol):
    report = find_in(folder, protocol)
    assert report.broken == () and report.is_synthetic
    assert all(size > 5 for size in report.sizes.values())
    assert len(report.vocabularies) == 1 + max(1, len(report.groups))


def test_no_model_has_read_a_scene_that_it_scores_and_each_test_utterance_counts_once(folder):
    shared, disjoint = (
        {(found.shared, found.first, found.second): found for found in find_in(folder, protocol).overlaps}
        for protocol in ("paper", DISJOINT)
    )
    for second in (VALIDATION, TEST):
        assert shared[Shared.SCENES, TRAIN, second].names and not disjoint[Shared.SCENES, TRAIN, second].names
    for key, found in disjoint.items():
        if key[2] is TEST:
            assert found.num_of_second == shared[key].num_of_second


def test_a_model_that_reads_its_own_scenes_is_found(folder, monkeypatch):
    part_search = check.part_search

    class Leaking(Parts):
        def final_folds(self, scored):
            return [replace(fold, train=self.trained_on) for fold in super().final_folds(scored)]

    monkeypatch.setattr(check, "part_search", lambda *given: Leaking(**vars(part_search(*given))))
    broken = find_in(folder, DISJOINT).broken
    assert broken and all(sentence.startswith("scenes shared by ") for sentence in broken)


def test_a_split_that_lets_a_dialogue_into_both_parts_is_found(folder, monkeypatch):
    part_search = check.part_search

    def part_leaking(protocol, classes):
        split = part_search(protocol, classes)
        return replace(split, train=split.train + split.validation[:2], validation=split.validation[2:])

    monkeypatch.setattr(check, "part_search", part_leaking)
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


def test_the_vocabulary_of_the_published_code_leaks_and_that_of_the_paper_does_not():
    train, scored = invent_features(80).utterances, invent_features(30, seed=1).utterances
    scored = [replace(scored[0], transcript="unheard-of words, so"), *scored[1:]]
    found = check_vocabulary("search", train, scored, PROTOCOLS["paper"])
    assert (found.leaked, found.num_utterances, found.num_scored) == ((), 0, 30)
    found = check_vocabulary("search", train, scored, PROTOCOLS["published-code"])
    assert (found.leaked, found.num_utterances) == (("of", "unheard", "words"), 1)


AN_UTTERANCE = invent_features(1).utterances[0]


def said(utterance_id, transcript):
    return replace(AN_UTTERANCE, utterance_id=utterance_id, transcript=transcript)


APART = {
    Part.TRAIN: [said("Ses01F_impro01_F000", "I lost my keys and my car"), said("Ses01F_impro01_M000", "No.")],
    Part.VALIDATION: [said("Ses02F_impro02_F000", "We are going to the beach now")],
    Part.TEST: [said("Ses03F_script01_1_F000", "What would you have me do, Annie?")],
}


def shared_in(parts):
    return {
        (found.shared, found.first, found.second): (found.names, found.num_utterances)
        for found in find_overlaps(parts)
        if found.names
    }


def test_every_kind_and_pair_is_counted_and_nothing_is_found_where_nothing_is():
    found = find_overlaps(APART)
    assert len(found) == len(Shared) * 3 and shared_in(APART) == {}
    assert {(each.second, each.num_of_second) for each in found} == {(Part.VALIDATION, 1), (Part.TEST, 1)}


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        (said("Ses02F_impro02_F000", None), {Shared.UTTERANCES, Shared.SPEAKERS, Shared.DIALOGUES, Shared.SCENES}),
        (said("Ses02F_impro02_M000", None), {Shared.DIALOGUES, Shared.SCENES}),
        (said("Ses02M_impro03_F000", None), {Shared.SPEAKERS}),
        (said("Ses04M_impro02a_F000", None), {Shared.SCENES}),
        (said("Ses04M_impro03_F000", "we are going to the BEACH, now!"), {Shared.TRANSCRIPTS}),
        (said("Ses04M_impro03_F000", "We are going to the beach right now"), {Shared.NEAR_DUPLICATES}),
        (said("Ses04M_impro03_F000", "We are going to the cinema right now"), set()),
        (said("Ses04M_impro03_F000", None), set()),
        (said("Ses04M_impro03_F000", "..."), set()),
    ],
    ids=["utterance", "dialogue", "speaker", "scene", "verbatim", "near", "not so near", "nothing said", "no word"],
)
def test_what_is_planted_between_validation_and_test_is_found_there_alone(planted, expected):
    found = shared_in({**APART, Part.TEST: [*APART[Part.TEST], planted]})
    there = (Part.VALIDATION, Part.TEST)
    assert {key: num_utterances for key, (_, num_utterances) in found.items()} == {
        (shared, *there): 1 for shared in expected
    }


def test_the_affected_utterances_are_of_the_second_part():
    turns = [said(f"Ses01F_impro05_F00{number}", f"word{number}") for number in range(3)]
    found = shared_in({**APART, Part.VALIDATION: turns})
    assert found[Shared.SPEAKERS, Part.TRAIN, Part.VALIDATION] == (("Ses01F",), 3)


def test_short_transcripts_are_no_near_duplicates_and_verbatim_ones_are_not_counted_twice():
    known = [said("Ses01F_impro01_F000", "Oh my God no"), said("Ses01F_impro01_F001", "a b c d e f g h i j")]
    assert find_near_duplicates([said("Ses02F_impro01_F000", "Oh my God yes")], known) == ()
    assert find_near_duplicates([said("Ses02F_impro01_F000", "A b c d e f g h i j!")], known) == ()
    assert find_near_duplicates([said("Ses02F_impro01_F000", "a b c d e f g h i z j k")], known) == (
        "Ses02F_impro01_F000",
    )


def test_near_duplicates_are_those_of_the_definition():
    """Against the definition, written down again."""
    features = invent_features(60)
    words = [[f"w{(row * 7 + step * step) % 11}" for step in range(9)] for row in range(60)]
    utterances = [
        replace(utterance, transcript=" ".join(spoken))
        for utterance, spoken in zip(features.utterances, words, strict=True)
    ]
    known, asked = utterances[:30], utterances[30:]
    verbatim = {utterance.transcript for utterance in known}

    def is_near(utterance):
        own = set(utterance.transcript.split())
        others = [set(other.transcript.split()) for other in known]
        near = any(len(own & other) >= 0.8 * len(own | other) and len(other) >= 5 for other in others)
        return near and len(own) >= 5 and utterance.transcript not in verbatim

    expected = sorted(utterance.utterance_id for utterance in asked if is_near(utterance))
    assert list(find_near_duplicates(asked, known)) == expected
