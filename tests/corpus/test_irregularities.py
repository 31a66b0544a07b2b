from __future__ import annotations

from pathlib import Path

from harness.corpus.irregularities import (
    Irregularity,
    IrregularityKind,
    count_by_kind,
    irregularity_of,
    merge_irregularities,
)

WAV = Path("/a corpus/Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M003.wav")
LABELS = Path("/a corpus/Session1/dialog/EmoEvaluation/Ses01F_impro01.txt")


def test_every_kind_has_a_policy_of_one_sentence() -> None:
    for kind in IrregularityKind:
        assert kind.policy.endswith(".") and kind.policy.count(". ") == 0 and kind.policy[0].isupper()


def test_the_ids_are_taken_from_the_name_of_the_file() -> None:
    assert irregularity_of(IrregularityKind.EMPTY_RECORDING, WAV, "0 bytes") == Irregularity(
        kind=IrregularityKind.EMPTY_RECORDING,
        dialogue_id="Ses01F_impro01",
        utterance_id="Ses01F_impro01_M003",
        path="Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M003.wav",
        detail="0 bytes",
    )


def test_a_macos_file_belongs_to_what_it_is_named_after() -> None:
    found = irregularity_of(IrregularityKind.MACOS_FILE, WAV.with_name(f"._{WAV.name}"), "")
    assert (found.dialogue_id, found.utterance_id) == ("Ses01F_impro01", "Ses01F_impro01_M003")


def test_a_line_of_a_file_concerns_the_utterance_that_it_names() -> None:
    found = irregularity_of(IrregularityKind.DUPLICATE_TURN, LABELS, "", "Ses01F_impro01_F000")
    assert (found.dialogue_id, found.utterance_id) == ("Ses01F_impro01", "Ses01F_impro01_F000")
    assert irregularity_of(IrregularityKind.NOT_UTF8, LABELS, "").utterance_id is None


def test_a_file_outside_of_a_corpus_goes_by_its_own_name() -> None:
    found = irregularity_of(IrregularityKind.SILENT_RECORDING, Path("/home/me/hello.wav"), "")
    assert (found.dialogue_id, found.utterance_id, found.path) == ("hello", None, "hello.wav")


def test_an_irregularity_tells_its_policy() -> None:
    found = irregularity_of(IrregularityKind.STEREO_RECORDING, WAV, "2 channels")
    assert found.kind.policy == "Its channels are averaged into one."


def test_what_two_readers_met_is_named_once_and_what_one_met_twice_is_named_twice() -> None:
    line_3 = irregularity_of(IrregularityKind.UNREADABLE_LINE, LABELS, "line 3")
    line_7 = irregularity_of(IrregularityKind.UNREADABLE_LINE, LABELS, "line 7")
    by_header = irregularity_of(IrregularityKind.SHORTER_THAN_WINDOW, WAV, "0.1000 s")
    by_features = irregularity_of(IrregularityKind.SHORTER_THAN_WINDOW, WAV, "too short")
    silent = irregularity_of(IrregularityKind.SILENT_RECORDING, WAV, "")
    merged = merge_irregularities([by_header, line_3, line_7], [silent, by_features])
    assert merged == (line_3, line_7, by_header, silent)
    assert count_by_kind(merged) == {
        IrregularityKind.UNREADABLE_LINE: 2,
        IrregularityKind.SHORTER_THAN_WINDOW: 1,
        IrregularityKind.SILENT_RECORDING: 1,
    }
