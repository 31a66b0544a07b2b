"""Prepared features on other machines: found, or copied in pieces and checked."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import FeatureError
from harness.features import copies
from harness.features.copies import (
    ExpectedFeatures,
    copy_dir,
    describe_differences,
    find_features,
    finish_copy,
    manifest_of_copy,
    pieces_of,
    write_piece,
)
from harness.features.manifest import MANIFEST_NAME, Manifest
from harness.files import read_json, write_json


@pytest.fixture
def expected(prepared_folder: Path) -> ExpectedFeatures:
    """The features of a tiny corpus, with word vectors beside them."""
    (prepared_dir,) = (prepared_folder / "results" / "prepared").iterdir()
    vectors = prepared_folder / "vectors.txt"
    vectors.write_text("happy 0.5 0.25\n")
    return ExpectedFeatures.describe(prepared_dir, (1, 2, 3, 4), vectors)


def send(expected: ExpectedFeatures, store: Path) -> None:
    """Write every file that a search may open in small pieces, as workers do, the last piece first."""
    for piece in reversed(list(pieces_of(expected))):
        write_piece(store, expected, piece.name, piece.offset, piece.read())


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "_PIECE_BYTES", 10_000)


def test_features_on_a_shared_path_are_used_where_they_are(expected: ExpectedFeatures, tmp_path: Path) -> None:
    found = find_features(expected, tmp_path / "store")
    assert found is not None
    assert (str(found.prepared_dir), str(found.word_vectors)) == (expected.prepared_dir, expected.word_vectors)


def test_features_whose_files_are_not_all_there_are_not_used(expected: ExpectedFeatures, tmp_path: Path) -> None:
    next(Path(expected.prepared_dir).glob("Session2/*.npy")).unlink()
    assert find_features(expected, tmp_path / "store") is None
    assert describe_differences(expected) == ()


def test_what_was_sent_is_found_when_it_is_whole(expected: ExpectedFeatures, tmp_path: Path) -> None:
    store = tmp_path / "store"
    send(expected, store)
    elsewhere = replace(expected, prepared_dir="/no/such/folder", word_vectors="/no/such/file")
    assert find_features(elsewhere, store) is None
    finish_copy(store, expected, manifest_of_copy(expected))
    found = find_features(elsewhere, store)
    assert found is not None and found.word_vectors is not None
    assert found.prepared_dir == copy_dir(store, expected)
    assert found.word_vectors.read_text() == "happy 0.5 0.25\n"
    assert sorted(Manifest.read(found.prepared_dir).sessions) == [1, 2, 3, 4]
    assert not list(store.rglob("*.partial*"))
    finish_copy(store, expected, manifest_of_copy(expected))


def test_features_and_word_vectors_are_looked_up_each_on_its_own(expected: ExpectedFeatures, tmp_path: Path) -> None:
    store = tmp_path / "store"
    without_vectors = replace(expected, word_vectors="/no/such/file")
    assert find_features(without_vectors, store) is None
    send(expected, store)
    finish_copy(store, expected, manifest_of_copy(expected))
    found = find_features(without_vectors, store)
    assert found is not None and found.word_vectors is not None
    assert str(found.prepared_dir) == expected.prepared_dir
    assert found.word_vectors.is_relative_to(store)
    without_features = replace(expected, prepared_dir="/no/such/folder")
    found = find_features(without_features, store)
    assert found is not None and found.prepared_dir == copy_dir(store, expected)
    assert str(found.word_vectors) == expected.word_vectors
    # A search without word vectors, or with others, has the features already.
    assert find_features(replace(without_features, word_vectors=None, word_vectors_hash=None), store) is not None


def test_another_search_that_opens_other_sessions_is_sent_its_own(expected: ExpectedFeatures, tmp_path: Path) -> None:
    store = tmp_path / "store"
    send(expected, store)
    finish_copy(store, expected, manifest_of_copy(expected))
    other = replace(expected, sessions=(1, 2, 3))
    elsewhere = replace(other, prepared_dir="/no/such/folder")
    assert find_features(elsewhere, store) is None
    send(other, store)
    finish_copy(store, other, manifest_of_copy(other))
    found = find_features(elsewhere, store)
    assert found is not None and found.prepared_dir == copy_dir(store, other) != copy_dir(store, expected)


def test_a_piece_that_was_changed_on_its_way_is_noticed(expected: ExpectedFeatures, tmp_path: Path) -> None:
    store = tmp_path / "store"
    send(expected, store)
    write_piece(store, expected, "Session1/utterances.jsonl", 3, b"?")
    with pytest.raises(FeatureError, match="'utterances.jsonl': arrived with SHA-256 .*; expected"):
        finish_copy(store, expected, manifest_of_copy(expected))
    assert find_features(replace(expected, prepared_dir="/no/such/folder"), store) is None


@pytest.mark.parametrize("name", ["../evil.npy", "/etc/passwd", "Session1/../../x.npy", "Session1/x.py", ""])
def test_nothing_is_written_outside_the_folder(expected: ExpectedFeatures, tmp_path: Path, name: str) -> None:
    with pytest.raises(FeatureError, match="expected the name of a session's file"):
        write_piece(tmp_path / "store", expected, name, 0, b"x")
    assert not (tmp_path / "store").exists()


def test_the_test_session_is_never_named(expected: ExpectedFeatures) -> None:
    pieces = list(pieces_of(expected))
    assert {piece.name.split("/")[0] for piece in pieces} == {
        *("Session1", "Session2", "Session3", "Session4"),
        "word-vectors",
    }
    assert max(piece.num_bytes for piece in pieces) == 10_000
    assert sorted(manifest_of_copy(expected)["sessions"]) == ["1", "2", "3", "4"]


def test_other_features_at_the_same_path_are_told_apart(expected: ExpectedFeatures) -> None:
    path = Path(expected.prepared_dir) / MANIFEST_NAME
    record = read_json(path)
    write_json(path, {**record, "source_hash": "other"})
    assert describe_differences(expected) == (
        f"the features in '{path.parent}' are of the same corpus, prepared otherwise there",
    )
    write_json(path, {**record, "corpus_hash": "other"})
    assert describe_differences(expected) == (f"the features in '{path.parent}' are of another corpus there",)
    shutil.rmtree(path.parent)
    assert describe_differences(expected) == ()
