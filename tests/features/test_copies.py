"""What a worker says to what trials expect of it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import FeatureError
from harness.features.manifest import MANIFEST_NAME, Manifest
from harness.files import hash_file, read_json, write_json
from harness.search.cluster import enlisting
from harness.search.cluster.enlisting import find_features, installed_versions, sent_dir, session_files
from harness.search.cluster.feature_store import finish_features, write_piece
from harness.search.cluster.order import Expectations, ExpectedFeatures


@pytest.fixture
def expected(prepared_folder: Path) -> ExpectedFeatures:
    """The features of a tiny corpus, with word vectors beside them."""
    (prepared_dir,) = (prepared_folder / "results" / "prepared").iterdir()
    vectors = prepared_folder / "vectors.txt"
    vectors.write_text("happy 0.5 0.25\n")
    return ExpectedFeatures(
        prepared_dir=str(prepared_dir),
        manifest_hash=hash_file(prepared_dir / MANIFEST_NAME),
        corpus_hash=Manifest.read(prepared_dir).corpus_hash,
        sessions=(1, 2, 3, 4),
        word_vectors=str(vectors),
        word_vectors_hash=hash_file(vectors),
    )


def send(expected: ExpectedFeatures, store: Path, piece_bytes: int = 1000) -> None:
    """Write every file that a search may open in pieces, as workers do, the last piece first."""
    prepared_dir = Path(expected.prepared_dir)
    for name, size, _ in session_files(Manifest.read(prepared_dir), expected.sessions):
        content = (prepared_dir / name).read_bytes()
        for offset in reversed(range(0, max(size, 1), max(piece_bytes, size // 3))):
            piece = content[offset : offset + max(piece_bytes, size // 3)]
            write_piece(store, expected, name, offset, piece)
    assert expected.word_vectors is not None
    write_piece(store, expected, "word-vectors", 0, Path(expected.word_vectors).read_bytes())


def manifest_of(expected: ExpectedFeatures) -> dict[str, object]:
    manifest: dict[str, object] = read_json(Path(expected.prepared_dir) / MANIFEST_NAME)
    sessions = manifest["sessions"]
    assert isinstance(sessions, dict)
    return {**manifest, "sessions": {key: value for key, value in sessions.items() if key != "5"}}


def test_features_on_a_shared_path_are_used_where_they_are(expected: ExpectedFeatures, tmp_path: Path) -> None:
    found = find_features(expected, tmp_path / "store")
    assert found is not None
    assert (str(found.prepared_dir), str(found.word_vectors)) == (expected.prepared_dir, expected.word_vectors)


def test_features_whose_files_are_not_all_there_are_not_used(expected: ExpectedFeatures, tmp_path: Path) -> None:
    next(Path(expected.prepared_dir).glob("Session2/*.npy")).unlink()
    assert find_features(expected, tmp_path / "store") is None
    assert enlisting._differing_features(expected) == ()


def test_what_was_sent_is_found_when_it_is_whole(expected: ExpectedFeatures, tmp_path: Path) -> None:
    store = tmp_path / "store"
    send(expected, store)
    elsewhere = replace(expected, prepared_dir="/no/such/folder", word_vectors="/no/such/file")
    assert find_features(elsewhere, store) is None
    finish_features(store, expected, manifest_of(expected))
    found = find_features(elsewhere, store)
    assert found is not None and found.word_vectors is not None
    assert found.prepared_dir == sent_dir(store, expected)
    assert found.word_vectors.read_text() == "happy 0.5 0.25\n"
    assert sorted(Manifest.read(found.prepared_dir).sessions) == [1, 2, 3, 4]
    assert not list(store.rglob("*.partial*"))
    finish_features(store, expected, manifest_of(expected))


def test_another_search_that_opens_other_sessions_is_sent_its_own(expected: ExpectedFeatures, tmp_path: Path) -> None:
    store = tmp_path / "store"
    send(expected, store)
    finish_features(store, expected, manifest_of(expected))
    other = replace(expected, sessions=(1, 2, 3))
    elsewhere = replace(other, prepared_dir="/no/such/folder")
    assert find_features(elsewhere, store) is None
    send(other, store)
    finish_features(store, other, manifest_of(other))
    found = find_features(elsewhere, store)
    assert found is not None and found.prepared_dir == sent_dir(store, other) != sent_dir(store, expected)


def test_a_piece_that_was_changed_on_its_way_is_noticed(expected: ExpectedFeatures, tmp_path: Path) -> None:
    store = tmp_path / "store"
    send(expected, store)
    write_piece(store, expected, "Session1/utterances.jsonl", 3, b"?")
    with pytest.raises(FeatureError, match="'utterances.jsonl' arrived with SHA-256 .*; expected"):
        finish_features(store, expected, manifest_of(expected))
    assert find_features(replace(expected, prepared_dir="/no/such/folder"), store) is None


@pytest.mark.parametrize("name", ["../evil.npy", "/etc/passwd", "Session1/../../x.npy", "Session1/x.py", ""])
def test_nothing_is_written_outside_the_folder(expected: ExpectedFeatures, tmp_path: Path, name: str) -> None:
    with pytest.raises(FeatureError, match="expected the name of a session's file"):
        write_piece(tmp_path / "store", expected, name, 0, b"x")
    assert not (tmp_path / "store").exists()


def test_the_test_session_is_never_named(expected: ExpectedFeatures) -> None:
    names = [name for name, _, _ in session_files(Manifest.read(Path(expected.prepared_dir)), expected.sessions)]
    assert {name.split("/")[0] for name in names} == {"Session1", "Session2", "Session3", "Session4"}


def test_other_features_at_the_same_path_are_told_apart(expected: ExpectedFeatures) -> None:
    path = Path(expected.prepared_dir) / MANIFEST_NAME
    record = read_json(path)
    write_json(path, {**record, "source_hash": "other"})
    assert enlisting._differing_features(expected) == (
        f"the features in '{path.parent}' are of the same corpus, prepared otherwise there",
    )
    write_json(path, {**record, "corpus_hash": "other"})
    assert enlisting._differing_features(expected) == (f"the features in '{path.parent}' are of another corpus there",)
    shutil.rmtree(path.parent)
    assert enlisting._differing_features(expected) == ()


def test_versions_that_change_no_score_of_a_foreign_script_are_not_compared() -> None:
    assert sorted(installed_versions(with_training=False)) == ["harness", "python"]
    assert sorted(installed_versions(with_training=True)) == ["harness", "keras", "numpy", "python", "tensorflow"]
    here = installed_versions(with_training=True)
    assert enlisting._differing_versions(here) == ()
    assert enlisting._differing_versions({**here, "numpy": "1.0"}) == (f"numpy is {here['numpy']} there and 1.0 here",)


def test_workers_are_known_by_all_that_was_compared(expected: ExpectedFeatures) -> None:
    versions = installed_versions(with_training=True)
    known = Expectations(versions, {"GPU": 1.0}, expected)
    others = [
        Expectations({**versions, "numpy": "1"}, {"GPU": 1.0}, expected),
        Expectations(versions, {}, expected),
        Expectations(versions, {"GPU": 1.0}, replace(expected, manifest_hash="0")),
    ]
    assert len({one.digest for one in [known, *others]}) == 4
    assert known.taken == {"GPU": 1.0, "harness-trial": 1, f"harness-{known.digest}": 1}
