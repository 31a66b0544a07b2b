"""Arrays and records from elsewhere: read only where they are what they say."""

import io
import json
import os
import pickle
import socket
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.corpus.audio import read_header
from harness.corpus.labels import read_lines
from harness.corpus.layout import MocapStream
from harness.corpus.mocap import read_mocap
from harness.errors import CorpusError
from harness.files import (
    find_changed,
    hash_file,
    open_regular,
    parse_json,
    read_json,
    read_npy,
    read_npz,
    read_object,
    read_regular,
    why_no_file,
    write_digests,
    write_json,
)

NUMBERS = st.sampled_from(["<f4", "<f8", "<i8", "|u1", "|b1"])


@given(array=NUMBERS.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_side=0, max_dims=3))))
def test_numbers_are_read_as_they_were_written(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("arrays") / "it's.npy"
    for order in "CF":
        np.save(path, np.asarray(array, order=order), allow_pickle=False)
        for is_mapped in (False, True):
            found = read_npy(path, is_mapped)
            assert (found.dtype, found.shape) == (array.dtype, array.shape)
            assert found.tobytes() == array.tobytes()
    np.savez(path.with_suffix(".npz"), numbers=array)
    assert read_npz(path.with_suffix(".npz"), ["numbers"])["numbers"].tobytes() == array.tobytes()


def header(text, version=b"\x01\x00"):
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text


ONE = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}\n"
FLOATS = header(ONE).replace(b"<f4", b"%s")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a whole .npy file|EOF"),
        (b"PK\x03\x04 is a zip", "magic string"),
        (header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (((("), "not a whole .npy file|header"),
        (header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (9,)}\n"), "holds 0 bytes of numbers"),
        (header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}\n"), "holds 0 bytes of numbers"),
        (header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}\n") + bytes(4), "holds 4 bytes of numbers"),
        (header(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n"), "holds object; expected numbers"),
        (FLOATS % b"<U3" + bytes(12), "holds <U3; expected numbers"),
        (header(ONE, b"\x03\x00") + bytes(4), "header|format version"),
    ],
    ids=["empty", "zip", "half a header", "no numbers", "terabytes", "negative", "objects", "texts", "version 3"],
)
def test_an_array_that_is_not_what_it_says_is_refused(tmp_path, content, message):
    path = tmp_path / "array.npy"
    path.write_bytes(content)
    for is_mapped in (False, True):
        with pytest.raises(ValueError, match=message):
            read_npy(path, is_mapped)


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_planted_pickle_makes_its_file_when_it_is_loaded_and_not_when_it_is_read_here(tmp_path):
    planted, made = tmp_path / "planted.npy", tmp_path / "made"
    np.save(planted, np.array([Planted(made)], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="holds object; expected numbers"):
        read_npy(planted)
    with zipfile.ZipFile(tmp_path / "planted.npz", "w") as archive:
        archive.write(planted, "planted.npy")
        archive.writestr("bare.npy", pickle.dumps(Planted(made)))
    for name in ("planted", "bare"):
        with pytest.raises(ValueError):
            read_npz(tmp_path / "planted.npz", [name])
    assert not made.exists()
    np.load(planted, allow_pickle=True)
    assert made.exists()


def test_an_archive_that_is_damaged_or_unpacks_without_end_is_refused(tmp_path):
    path = tmp_path / "part.npz"
    np.savez(path, numbers=np.arange(9))
    whole = path.read_bytes()
    for content in (b"", whole[:-30], whole[:80] + b"\xff" + whole[81:], whole.replace(b"numbers", b"letters")):
        path.write_bytes(content)
        with pytest.raises((ValueError, KeyError)):
            read_npz(path, ["numbers"])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("numbers.npy", bytes(100))
    with pytest.raises(ValueError, match="is packed by method 14"):
        read_npz(path, ["numbers"])
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w") as archive:
        archive.writestr("numbers.npy", bytes(100))
    packed = (100).to_bytes(4, "little")
    path.write_bytes(bomb.getvalue().replace(packed * 2, packed + b"\0\0\0\x7f"))
    with pytest.raises(ValueError, match="unpacks to 2130706432 bytes"):
        read_npz(path, ["numbers"])


TREES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))


@given(value=st.dictionaries(st.text(), TREES, max_size=3))
def test_json_is_read_as_it_was_written(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "it.json"
    if "\ud800" <= max(json.dumps(value, ensure_ascii=False), default="") <= "\udfff":
        return
    write_json(path, value)
    assert read_json(path) == value


@pytest.mark.parametrize("content", [b"", b"\xff", b"{", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json_is_one_kind_of_error(tmp_path, content):
    path = tmp_path / "it.json"
    path.write_bytes(content)
    with pytest.raises(ValueError):
        read_json(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b" \n", "holds nothing; expected JSON"),
        (b"\xff\xfe{\0}\0", "begins with the mark of UTF-16; expected JSON in UTF-8"),
        (b'{"a": "\xfc"}', "holds the byte 0xfc, which is not UTF-8; expected JSON in UTF-8"),
        (b'{"a": 1,\n}', "line 2, column 1: found '}'; expected no comma before it, or something after the comma"),
        (b"[1, ]", "line 1, column 5: found ']'; expected no comma before it, or something after the comma"),
        (b"{'a': 1}", """line 1, column 2: found "'a': 1}"; expected a key in double quotes"""),
        (b'{"a": 1 "b": 2}', "line 1, column 9: found '\"b\": 2}'; expected a comma, or the end of what is open"),
        (b"{} x", "line 1, column 4: found 'x'; expected nothing after the end of the JSON"),
        (b'{"a": 1', "line 1, column 8: ends too early; expected the rest of the JSON"),
        (b'{"a": "b', "line 1, column 7: a text begins and never ends; expected its closing double quote"),
        (
            b'{"a": "b\nc"}',
            "line 1, column 9: found '\\n'; expected a text on one line, without control characters (an end of a line "
            "is \\n)",
        ),
        (b'{"a": "C:\\data"}', "line 1, column 10: found '\\\\data\"}'; expected \\\\ for a backslash in a text"),
        (
            b"# note\n{}",
            "line 1, column 1: found '# note'; expected a value: \"a text\", a number, true, false, null, [...] or "
            "{...}, and no comments",
        ),
        (b"[" * 100_000, "is nested too deeply; expected a few levels"),
        (b"1" * 5000, "holds an integer with too many digits; expected at most 4300"),
    ],
    ids=lambda value: "" if isinstance(value, str) else repr(value[:12]),
)
def test_what_is_wrong_with_json_is_said_in_words_of_ours(content, message):
    """It was said in Python's: "Expecting value", "Extra data", "'utf-8' codec can't decode byte 0xff"."""
    with pytest.raises(ValueError) as caught:
        parse_json(content)
    assert str(caught.value) == message


def test_a_record_is_an_object(tmp_path):
    path = tmp_path / "it.json"
    path.write_text("[null, 1]")
    with pytest.raises(ValueError) as caught:
        read_object(path)
    assert str(caught.value) == "holds [null, 1]; expected one object {...}"


@pytest.fixture(params=["a named pipe", "a socket", "a device", "a folder"])
def no_file(request, tmp_path, monkeypatch):
    """Something that is no regular file, and what it is called."""
    # A socket's path has about a hundred letters at most.
    monkeypatch.chdir(tmp_path)
    if request.param == "a named pipe":
        os.mkfifo("odd.txt")
    elif request.param == "a socket":
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind("odd.txt")
    elif request.param == "a device":
        (tmp_path / "odd.txt").symlink_to("/dev/zero")
    else:
        (tmp_path / "odd.txt").mkdir()
    return tmp_path / "odd.txt", request.param


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "read", [open_regular, read_regular, read_json, hash_file, read_npy, lambda path: read_npz(path, ["a"])]
)
def test_what_is_no_file_is_refused_at_once(no_file, read):
    path, kind = no_file
    with pytest.raises(OSError) as raised:
        read(path)
    assert (raised.value.filename, raised.value.strerror) == (str(path), f"it is {kind}, not a file")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "read",
    [read_header, lambda path: read_lines(path, contents="labels"), lambda path: read_mocap(path, MocapStream.HEAD)],
    ids=["recording", "text", "motion"],
)
def test_what_is_no_file_in_a_corpus_is_one_sentence(no_file, read):
    path, kind = no_file
    with pytest.raises(CorpusError, match=f"cannot be read \\(it is {kind}, not a file\\); expected "):
        read(path)


def test_a_file_that_changed_went_away_or_was_added_is_named(tmp_path):
    (tmp_path / "fitted").mkdir()
    for name in ("a.bin", "fitted/b.npy", "fitted/c.json"):
        (tmp_path / name).write_bytes(b"saved")
    write_digests(tmp_path)
    assert find_changed(tmp_path) == []
    for name in (".DS_Store", "fitted/._b.npy", "fitted/b.npy.17.partial"):
        (tmp_path / name).write_text("harmless")
    assert find_changed(tmp_path) == []
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "fitted" / "turn_model").mkdir()
    (tmp_path / "fitted" / "turn_model" / "model.keras").write_text("another")
    (tmp_path / "fitted" / "b.npy").write_bytes(b"saveD")
    (tmp_path / "fitted" / "c.json").unlink()
    assert find_changed(tmp_path) == [
        f"'{tmp_path}/fitted/b.npy' has changed since it was saved",
        f"'{tmp_path}/fitted/c.json' is not there",
        f"'{tmp_path}/fitted/turn_model' was added since it was saved (remove it)",
        f"'{tmp_path}/notes.txt' was added since it was saved (remove it)",
    ]


def test_what_is_no_file_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to("gone")
    (tmp_path / "file").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    names = ("folder", "loop", "link", "file", "pipe")
    assert {name: why_no_file(tmp_path / name, "is missing") for name in names} == {
        "folder": "is a folder, not a file",
        "loop": "is a symbolic link that leads nowhere",
        "link": "is a symbolic link that leads nowhere",
        "file": None,
        "pipe": "is a named pipe, not a file",
    }
    for name in ("nothing", "x" * 5000, "file/below"):
        assert why_no_file(tmp_path / name, "is missing") == "is missing"


def test_a_folder_in_place_of_a_saved_file_is_named(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"saved")
    write_digests(tmp_path)
    (tmp_path / "a.bin").unlink()
    (tmp_path / "a.bin").mkdir()
    assert find_changed(tmp_path) == [f"'{tmp_path}/a.bin' is a folder, not a file"]


@pytest.mark.parametrize("name", ["../kept elsewhere", "{elsewhere}", "a" * 5000, "nul\0", "\ud800", ""])
def test_a_name_that_leads_out_of_the_folder_is_not_one_of_its_files(tmp_path, name):
    folder, elsewhere = tmp_path / "saved", tmp_path / "kept elsewhere"
    folder.mkdir()
    elsewhere.write_bytes(b"the same")
    named = name.format(elsewhere=elsewhere)
    (folder / "sha256.json").write_text(json.dumps({named: hash_file(elsewhere)}))
    assert find_changed(folder) == [f"'{folder}/{named}' is not there"]


def test_of_digests_of_nothing_every_file_is_new(tmp_path):
    (tmp_path / "sha256.json").write_text("{}")
    (tmp_path / "model.keras").write_bytes(b"anything")
    assert find_changed(tmp_path) == [f"'{tmp_path}/model.keras' was added since it was saved (remove it)"]
