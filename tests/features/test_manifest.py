import json
from dataclasses import fields, replace

import pytest

from harness.corpus.layout import MocapStream
from harness.errors import FeatureError
from harness.features.manifest import FORMAT_VERSION, ArrayRecord, Manifest, SessionRecord, is_outdated
from harness.features.speech import SPEECH_VARIANTS, column_names

ARRAYS = {
    "speech": ArrayRecord("<f4", (2, 100, 40), "1" * 64, 32128),
    "speech_lengths": ArrayRecord("<i8", (2,), "4" * 64, 144),
}
MANIFEST = Manifest(
    corpus_path="the corpus",
    corpus_hash="0" * 64,
    speech_settings=SPEECH_VARIANTS["mel"],
    speech_columns=column_names(SPEECH_VARIANTS["mel"]),
    mocap_columns=("face_nose_x",),
    modalities=("speech", "text"),
    mocap_streams=(MocapStream.FACE, MocapStream.HEAD),
    versions={"numpy": "2"},
    sessions={3: SessionRecord(2, ARRAYS, "2" * 64, 9)},
    source_hash="3" * 64,
)


def test_what_was_written_is_read(tmp_path):
    MANIFEST.write(tmp_path)
    assert Manifest.read(tmp_path) == MANIFEST


def test_a_folder_without_manifest_is_rejected(tmp_path):
    with pytest.raises(FeatureError) as caught:
        Manifest.read(tmp_path)
    assert str(caught.value) == (
        f"prepared features {str(tmp_path)!r}: there is no manifest.json; "
        "make them with: harness prepare CORPUS --into DIR"
    )


def test_another_format_version_is_rejected(tmp_path):
    assert not is_outdated(tmp_path)
    MANIFEST.write(tmp_path)
    assert not is_outdated(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text().replace(f'"format_version": {FORMAT_VERSION}', '"format_version": 0'))
    assert is_outdated(tmp_path)
    with pytest.raises(FeatureError) as caught:
        Manifest.read(tmp_path)
    assert str(caught.value) == (
        f"prepared features {str(tmp_path)!r}: found format version 0; expected {FORMAT_VERSION}; "
        "run harness prepare again"
    )


def test_a_manifest_with_motion_beside_short_frames_is_rejected(tmp_path):
    settings = SPEECH_VARIANTS["frames"]
    arrays = ARRAYS | {"speech": ArrayRecord("<f4", (2, 1500, 46), "1" * 64, 552128)}
    modalities = ("speech", "text", "mocap")
    framed = replace(
        MANIFEST, speech_settings=settings, speech_columns=column_names(settings), modalities=modalities
    )
    replace(framed, sessions={3: SessionRecord(2, arrays, "2" * 64, 9)}).write(tmp_path)
    assert Manifest.read(tmp_path).speech_settings == settings
    arrays["mocap_rows"] = ArrayRecord("<i8", (2,), "1" * 64, 144)
    replace(framed, sessions={3: SessionRecord(2, arrays, "2" * 64, 9)}).write(tmp_path)
    with pytest.raises(FeatureError, match=r"arrays \['mocap_rows', .*; expected \['speech', 'speech_lengths'\]"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("name", ARRAYS)
def test_a_manifest_that_lacks_an_array_is_rejected(tmp_path, name):
    """Without the lengths every recording would be read as silence."""
    arrays = {key: array for key, array in ARRAYS.items() if key != name}
    replace(MANIFEST, sessions={3: SessionRecord(2, arrays, "2" * 64, 9)}).write(tmp_path)
    with pytest.raises(FeatureError, match=r"a session has the arrays \[.*\]; expected \['speech', 'speech_lengths'\]"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("key", ["corpus_hash", "sessions", "speech_settings", "modalities", "mocap_streams"])
def test_a_manifest_that_lacks_something_is_rejected(tmp_path, key):
    MANIFEST.write(tmp_path)
    path = tmp_path / "manifest.json"
    record = json.loads(path.read_text())
    del record[key]
    path.write_text(json.dumps(record))
    with pytest.raises(FeatureError) as caught:
        Manifest.read(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"prepared features {str(tmp_path)!r}: manifest.json cannot be read (Manifest has the ")
    assert f"expected the fields {sorted(field.name for field in fields(Manifest))}" in message
    assert message.endswith("); delete it and run harness prepare again")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"null"])
def test_a_damaged_manifest_is_rejected(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(FeatureError, match="run harness prepare again$"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corpus_hash": 5}, "Manifest.corpus_hash is 5; expected a text"),
        ({"speech_columns": ["one"]}, "speech_columns has 1 names that are not those of the settings"),
    ],
    ids=["type", "columns"],
)
def test_a_manifest_that_contradicts_itself_is_rejected(tmp_path, change, message):
    MANIFEST.write(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(FeatureError) as caught:
        Manifest.read(tmp_path)
    assert str(caught.value) == (
        f"prepared features {str(tmp_path)!r}: manifest.json cannot be read ({message}); "
        "delete it and run harness prepare again"
    )


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [("shape", [2, 100, 41], "<f4 (2, 100, 41)"), ("dtype", "|O", "|O (2, 100, 40)")],
)
def test_an_array_that_no_trial_could_compute_with_is_rejected(tmp_path, key, value, found):
    MANIFEST.write(tmp_path)
    path = tmp_path / "manifest.json"
    record = json.loads(path.read_text())
    record["sessions"]["3"]["arrays"]["speech"][key] = value
    path.write_text(json.dumps(record))
    with pytest.raises(FeatureError, match="array 'speech' is ") as caught:
        Manifest.read(tmp_path)
    assert f"array 'speech' is {found}; expected <f4 (2, 100, 40)" in str(caught.value)
