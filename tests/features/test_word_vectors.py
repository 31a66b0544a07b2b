import gzip
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from gensim.models import KeyedVectors

from harness.errors import FeatureError
from harness.features.text import Tokenizer, embedding_matrix, read_word_vectors, train_word_vectors

GLOVE = b"so 1 2 3\nwhat 4 5 6\nnow 7 8 9\n"
WORDS = ("what", "so", "missing")


def write(tmp_path, content, name="the vectors'.txt"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        GLOVE,
        b"3 3\n" + GLOVE,
        GLOVE.rstrip(b"\n"),
        GLOVE.replace(b"\n", b"\r\n"),
        GLOVE.replace(b"\n", b" \n"),
        GLOVE + b"so 9 9 9\nwhat 9 9 9\n",
        b". . . 1 2 3\nat name@domain.com 1 2 3\nso what 1 1 1\n" + GLOVE,
        b"caf\xe9 1 2 3\n" + GLOVE,
        b"ragged 1 2\n" + GLOVE,
    ],
    ids=[
        "glove",
        "header",
        "no last line end",
        "CRLF",
        "trailing spaces",
        "repeated words",
        "tokens with spaces",
        "not UTF-8",
        "ragged line of another word",
    ],
)
def test_only_the_words_asked_for_are_read(tmp_path, content):
    vectors = read_word_vectors(write(tmp_path, content), WORDS)
    assert isinstance(vectors, KeyedVectors)
    assert vectors.index_to_key == ["so", "what"]
    assert vectors["so"].dtype == np.float32
    assert vectors["so"].tolist() == [1, 2, 3]
    assert vectors["what"].tolist() == [4, 5, 6]


@pytest.fixture
def gensim_vectors():
    generator = np.random.default_rng(0)
    vectors = KeyedVectors(vector_size=50)
    words = ["so", "what", "don't", "hören", *(f"word{number}" for number in range(200))]
    vectors.add_vectors(words, generator.normal(size=(len(words), 50)).astype(np.float32))
    return vectors


@pytest.mark.parametrize(("name", "is_binary"), [("vectors.txt", False), ("vectors.bin", True)])
def test_values_are_those_that_gensim_reads(tmp_path, gensim_vectors, name, is_binary):
    path = tmp_path / name
    gensim_vectors.save_word2vec_format(str(path), binary=is_binary)
    expected = KeyedVectors.load_word2vec_format(str(path), binary=is_binary)
    asked = ["word7", "hören", "don't", "so", "never"]
    vectors = read_word_vectors(path, asked)
    assert sorted(vectors.index_to_key) == sorted(asked[:4])
    for word in asked[:4]:
        assert np.array_equal(vectors[word], expected[word])


def test_a_packed_text_file_is_read(tmp_path):
    vectors = read_word_vectors(write(tmp_path, gzip.compress(GLOVE), "vectors.gz"), WORDS)
    assert vectors["what"].tolist() == [4, 5, 6]


def test_a_file_with_none_of_the_words_gives_no_vector_but_its_dimension(tmp_path):
    vectors = read_word_vectors(write(tmp_path, GLOVE), ["never"])
    assert (len(vectors), vectors.vector_size) == (0, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"now 1 2 3\nso 1 2\nwhat 1 2 3\n",
            "word vectors {path!r}, line 2: word 'so' has 2 numbers; expected 3",
        ),
        (
            b"now 1 2 3\nso 1 two 3\n",
            "word vectors {path!r}, line 2: word 'so' has something that is not a finite number; "
            "expected 3 of them",
        ),
        (
            b"now 1 2 3\nso 1 nan 3\n",
            "word vectors {path!r}, line 2: word 'so' has something that is not a finite number; "
            "expected 3 of them",
        ),
        (
            b"now 1 2 3\nthen 1 2 3\nlater 1 2",
            "word vectors {path!r}, line 3: the file ends after 2 of 3 numbers; fetch the file again",
        ),
        (
            b"",
            "word vectors {path!r}: the first lines are not a word and its numbers; expected an "
            "unpacked GloVe or word2vec text file, one of these as .gz, or word2vec's .bin",
        ),
        (
            b"PK\x03\x04 1 2 3\nso 1 2 3\n",
            "word vectors {path!r}: the first lines are not a word and its numbers; expected an "
            "unpacked GloVe or word2vec text file, one of these as .gz, or word2vec's .bin",
        ),
        (
            b"now 1 2 3\nso\nwhat 1 2 3\n",
            "word vectors {path!r}, line 2: word 'so' has 0 numbers; expected 3",
        ),
        (
            b"now 1 2 3\nso 1 2 3 4\nwhat 1 2 3\n",
            "word vectors {path!r}, line 2: word 'so' has 4 numbers; expected 3",
        ),
        (
            b"3 300\nnow 1 2 3\nso 1 2 3\nwhat 1 2 3\n",
            "word vectors {path!r}, line 1: says 300 numbers a word, and most of the lines after it have 3; "
            "expected the same",
        ),
        (
            b"9 3\nnow 1 2 3\nso 1 2 3\n",
            "word vectors {path!r}, line 3: the file ends after 2 of the 9 words of its first line; "
            "fetch the file again, or correct that count",
        ),
        (
            b"now\t1\t2\nso\t1\t2\n",
            "word vectors {path!r}: the first lines hold tabs; expected spaces between a word and its numbers",
        ),
        (
            b"now 1 2 3\nso 1 2 1e300\n",
            "word vectors {path!r}, line 2: word 'so' has something that is not a finite number; "
            "expected 3 of them",
        ),
    ],
    ids=[
        *("ragged", "no number", "NaN", "broken off", "empty", "zip", "a word alone", "too many numbers"),
        *("header of another dimension", "header of more words", "tabs", "beyond float32"),
    ],
)
def test_a_file_that_is_no_vectors_is_rejected(tmp_path, content, message):
    path = write(tmp_path, content)
    with pytest.raises(FeatureError) as caught:
        read_word_vectors(path, WORDS)
    assert str(caught.value) == message.format(path=str(path))


def test_a_missing_file_is_rejected(tmp_path):
    path = tmp_path / "none.txt"
    with pytest.raises(FeatureError) as caught:
        read_word_vectors(path, WORDS)
    assert str(caught.value) == (
        f"word vectors {str(path)!r}: no such file; give the path of a GloVe or word2vec file"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"hello\n",
            "word vectors {path!r}: the first line is not two counts; expected word2vec's binary format",
        ),
        (
            b"2 3\nso " + bytes(12) + b"\nwhat " + bytes(5),
            "word vectors {path!r}: the file ends at word 2 of 2; fetch the file again",
        ),
        (
            b"1 3\nso " + np.array([1, np.nan, 2], "<f4").tobytes(),
            "word vectors {path!r}, word 1: 'so' has something that is not a finite number; expected 3 of them",
        ),
        (
            b"1 0\nso \n",
            "word vectors {path!r}: the first line says 0 numbers a word; expected from 1 to 100000",
        ),
        (
            b"0 99999999999999999999\n",
            "word vectors {path!r}: the first line says 999999999999999999 numbers a word; expected from 1 to 100000",
        ),
    ],
    ids=["no header", "broken off", "NaN", "no number a word", "too many numbers a word"],
)
def test_a_binary_file_that_is_no_vectors_is_rejected(tmp_path, content, message):
    path = write(tmp_path, content, "vectors.bin")
    with pytest.raises(FeatureError) as caught:
        read_word_vectors(path, WORDS)
    assert str(caught.value) == message.format(path=str(path))


def test_a_broken_off_packed_file_is_rejected(tmp_path):
    path = write(tmp_path, gzip.compress(os.urandom(4000).hex(" ").encode())[:2000], "vectors.gz")
    with pytest.raises(FeatureError, match="cannot be read .*; fetch the file again$"):
        read_word_vectors(path, WORDS)


TRAINING = """
import hashlib
from harness.features.text import train_word_vectors
transcripts = [f"word{i % 7} word{i % 5} word{i % 3} so what" for i in range(60)] + [None]
vectors = train_word_vectors(transcripts, 16, seed=3)
print(vectors.index_to_key, hashlib.sha256(vectors.vectors.tobytes()).hexdigest())
"""


def test_training_gives_the_same_bytes_in_every_process():
    printed = {
        subprocess.run(
            [sys.executable, "-c", TRAINING],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert "word0" in printed.pop()


def test_another_seed_gives_other_vectors():
    transcripts = ["so what now", "what now then"] * 5
    digests = {
        hashlib.sha256(train_word_vectors(transcripts, 8, seed).vectors.tobytes()).hexdigest()
        for seed in (0, 1, 2**40 + 1)
    }
    assert len(digests) >= 2


@pytest.mark.parametrize("transcripts", [[], [None], ["..."]], ids=["none", "missing", "no word"])
def test_training_on_no_word_gives_no_vector(transcripts):
    vectors = train_word_vectors(transcripts, 8, seed=0)
    assert (len(vectors), vectors.vector_size) == (0, 8)


def test_the_embedding_has_a_row_for_every_id(tmp_path):
    vectors = read_word_vectors(write(tmp_path, GLOVE), ["so", "what"])
    matrix = embedding_matrix(Tokenizer(("what", "never", "so")), vectors, seed=1)
    assert (matrix.dtype, matrix.shape) == (np.float32, (5, 3))
    assert matrix[0].tolist() == [0, 0, 0]
    assert matrix[2].tolist() == [4, 5, 6]
    assert matrix[4].tolist() == [1, 2, 3]
    for row in (1, 3):
        assert 0 < np.abs(matrix[row]).max() <= 0.05
    assert np.array_equal(matrix, embedding_matrix(Tokenizer(("what", "never", "so")), vectors, seed=1))
    assert not np.array_equal(matrix, embedding_matrix(Tokenizer(("what", "never", "so")), vectors, seed=2))
