"""A search went on with other word vectors, where their file had the same name and size."""

from pathlib import Path

from harness.files import hash_json
from harness.search.corpus import PreparedCorpus
from harness.search.experiment import identity_of
from harness.search.experiment_file import read_experiment_file
from tests.search.searches import SCORES_X, write_experiment

SPACE = [{"name": "dropout", "range": [0.0, 0.4], "type": "float"}]


def identity_with(folder: Path, vectors: Path) -> str:
    path = write_experiment(
        folder, SCORES_X, system="text2", parameter_config=SPACE, word_vectors=str(vectors)
    )
    prepared = PreparedCorpus(folder, "c0ffee", "", False, (), 30, None, None)
    return hash_json(identity_of(read_experiment_file(path), prepared))


def test_word_vectors_are_known_by_their_content(tmp_path: Path) -> None:
    vectors, moved = tmp_path / "glove.txt", tmp_path / "renamed.txt"
    vectors.write_text("well 0.25 0.5\n")
    before = identity_with(tmp_path, vectors)
    vectors.rename(moved)
    assert identity_with(tmp_path, moved) == before
    vectors.write_text("well 0.25 0.6\n")
    assert identity_with(tmp_path, vectors) != before
