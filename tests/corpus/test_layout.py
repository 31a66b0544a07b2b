from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.corpus.layout import CorpusLayout, MocapStream, find_root, path_in_corpus
from harness.errors import CorpusError
from tests.corpus.written import COMPLETE, WITHOUT_MOCAP, write_file


def test_the_release_and_its_parent_are_both_accepted(tiny_corpus: CorpusLayout) -> None:
    assert find_root(tiny_corpus.root) == tiny_corpus
    assert find_root(tiny_corpus.root.parent) == tiny_corpus


def test_a_folder_without_sessions_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "Session6").mkdir()
    with pytest.raises(CorpusError) as caught:
        find_root(tmp_path)
    assert str(caught.value) == (
        f"corpus {str(tmp_path)!r}: holds no folder Session1 to Session5; "
        "expected the release's folder 'IEMOCAP_full_release', or its parent"
    )


@pytest.mark.parametrize(("name", "found"), [("nowhere", "no such folder"), ("file", "not a folder")])
def test_a_path_that_is_no_folder_is_rejected(tmp_path: Path, name: str, found: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / name
    with pytest.raises(CorpusError) as caught:
        find_root(path)
    assert str(caught.value) == (
        f"corpus {str(path)!r}: {found}; expected the release's folder 'IEMOCAP_full_release', or its parent"
    )


def test_only_sessions_that_are_there_are_listed(tiny_corpus: CorpusLayout) -> None:
    (tiny_corpus.root / "Session2").touch()
    assert tiny_corpus.sessions() == [1, 5]


def test_dialogues_are_found_by_their_label_files_alone(tiny_corpus: CorpusLayout) -> None:
    folder = tiny_corpus.annotation_path(COMPLETE).parent
    for name in (f"._{COMPLETE}.txt", "Ses02F_impro01.txt", "notes.txt", f"{COMPLETE} copy.txt", ".DS_Store"):
        write_file(folder / name, b"")
    (folder / "Attribute").mkdir()
    assert tiny_corpus.dialogue_ids(1) == [COMPLETE]
    assert tiny_corpus.dialogue_ids(5) == [WITHOUT_MOCAP]
    assert tiny_corpus.dialogue_ids(3) == []


def test_a_dialogue_that_has_other_files_but_no_labels_is_listed_apart(tiny_corpus: CorpusLayout) -> None:
    write_file(tiny_corpus.mocap_path("Ses05M_script01_1", MocapStream.HEAD), b"")
    assert tiny_corpus.unlabelled_dialogue_ids(5) == ["Ses05M_script01_1"]
    assert tiny_corpus.unlabelled_dialogue_ids(1) == []


@pytest.mark.parametrize(
    ("stream", "folder", "num_columns"),
    [
        (MocapStream.FACE, "MOCAP_rotated", 165),
        (MocapStream.HAND, "MOCAP_hand", 18),
        (MocapStream.HEAD, "MOCAP_head", 6),
    ],
)
def test_paths_are_those_of_the_release(stream: MocapStream, folder: str, num_columns: int) -> None:
    layout = CorpusLayout(Path("/corpus"))
    assert stream.num_columns == num_columns
    mocap_path = layout.mocap_path(WITHOUT_MOCAP, stream)
    assert mocap_path == Path(f"/corpus/Session5/dialog/{folder}/{WITHOUT_MOCAP}.txt")
    assert layout.annotation_path(COMPLETE) == Path(f"/corpus/Session1/dialog/EmoEvaluation/{COMPLETE}.txt")
    assert layout.transcript_path(COMPLETE) == Path(f"/corpus/Session1/dialog/transcriptions/{COMPLETE}.txt")
    assert layout.dialogue_wav_path(COMPLETE) == Path(f"/corpus/Session1/dialog/wav/{COMPLETE}.wav")
    assert layout.utterance_wav_path(f"{WITHOUT_MOCAP}_F012") == Path(
        f"/corpus/Session5/sentences/wav/{WITHOUT_MOCAP}/{WITHOUT_MOCAP}_F012.wav"
    )


def test_a_path_for_something_that_is_no_dialogue_is_refused() -> None:
    with pytest.raises(CorpusError) as caught:
        CorpusLayout(Path("/corpus")).annotation_path("../Ses01F_impro01")
    assert str(caught.value) == (
        "dialogue '../Ses01F_impro01': is not an id of the corpus; expected one like 'Ses01F_impro01'"
    )


def test_the_files_of_a_dialogue_are_those_that_exist(tiny_corpus: CorpusLayout) -> None:
    write_file(tiny_corpus.utterance_wav_dir(WITHOUT_MOCAP) / f"._{WITHOUT_MOCAP}_F000.wav", b"")
    names = [path.name for path in tiny_corpus.dialogue_files(WITHOUT_MOCAP)]
    assert names == [
        f"{WITHOUT_MOCAP}.txt",
        f"{WITHOUT_MOCAP}.txt",
        f"{WITHOUT_MOCAP}.wav",
        f"{WITHOUT_MOCAP}_F000.wav",
        f"{WITHOUT_MOCAP}_M000.wav",
    ]
    assert len(tiny_corpus.dialogue_files(COMPLETE)) == 3 + 3 + 4


def test_macos_files_are_found_beside_every_kind_of_file(tiny_corpus: CorpusLayout) -> None:
    expected = [
        tiny_corpus.annotation_path(COMPLETE).with_name(f"._{COMPLETE}.txt"),
        tiny_corpus.mocap_path(COMPLETE, MocapStream.HAND).with_name(f"._{COMPLETE}.txt"),
        tiny_corpus.utterance_wav_dir(COMPLETE).with_name(f"._{COMPLETE}"),
        tiny_corpus.utterance_wav_dir(COMPLETE) / f"._{COMPLETE}_F000.wav",
    ]
    for path in expected:
        write_file(path, b"\0\5\26\7")
    assert tiny_corpus.macos_files(COMPLETE) == expected
    assert tiny_corpus.macos_files(WITHOUT_MOCAP) == []


def test_a_fingerprint_changes_with_size_and_with_time(tiny_corpus: CorpusLayout) -> None:
    path = tiny_corpus.transcript_path(COMPLETE)
    name = f"Session1/dialog/transcriptions/{COMPLETE}.txt"
    before = tiny_corpus.fingerprint(COMPLETE)
    assert before[name] == (path.stat().st_size, path.stat().st_mtime_ns)
    os.utime(path, ns=(0, 1))
    after = tiny_corpus.fingerprint(COMPLETE)
    assert after.pop(name) == (before.pop(name)[0], 1)
    assert after == before


def test_a_path_in_a_corpus_begins_at_its_last_session_folder() -> None:
    path = Path("/Session3/Session1/dialog/wav/x.wav")
    assert path_in_corpus(path) == "Session1/dialog/wav/x.wav"
