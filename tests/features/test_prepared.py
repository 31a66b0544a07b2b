import csv
import hashlib
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from harness.corpus.audio import read_recording
from harness.corpus.irregularities import IrregularityKind
from harness.corpus.layout import CorpusLayout, MocapStream
from harness.errors import CorpusError, FeatureError
from harness.features.frames import FRAME_COLUMNS
from harness.features.ingest import part_key
from harness.features.manifest import FORMAT_VERSION, Manifest
from harness.features.prepare import prepare_corpus, prepared_dir_for
from harness.features.speech import SPEECH_VARIANTS, SpeechSettings, extract_speech, prepared_key
from harness.features.store import FeatureStore
from harness.files import hash_json
from harness.splits.protocol import SpeechSource
from tests.corpus.written import (
    COMPLETE,
    WITHOUT_MOCAP,
    label_bytes,
    mocap_bytes,
    mocap_values,
    write_file,
    write_tiny_corpus,
)

SETTINGS = SpeechSettings()


@pytest.fixture
def prepared_dir(tmp_path):
    return tmp_path / "prepared 'here'"


def prepare(layout, prepared_dir, settings=SETTINGS, progress=None):
    return prepare_corpus(layout.root, prepared_dir, settings, jobs=1, progress=progress)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_folder_holds_what_the_manifest_says(tiny_corpus, prepared_dir):
    report = prepare(tiny_corpus, prepared_dir)
    manifest = Manifest.read(prepared_dir)
    assert manifest.modalities == ("speech", "text", "mocap")
    assert manifest.mocap_streams == tuple(MocapStream)
    assert manifest.corpus_hash == report.corpus_hash
    assert manifest.speech_settings == SETTINGS
    assert len(manifest.speech_columns) == 34
    assert len(manifest.mocap_columns) == 189
    assert manifest.mocap_columns[0] == "face_M1_X"
    assert manifest.mocap_columns[165] == "hand_M1_X"
    assert manifest.mocap_columns[188] == "head_M2_Z"
    assert {session: record.num_utterances for session, record in manifest.sessions.items()} == {1: 4, 5: 2}
    for session, record in manifest.sessions.items():
        folder = prepared_dir / f"Session{session}"
        assert sorted(record.arrays) == ["mocap", "mocap_empty", "mocap_rows", "speech", "speech_lengths"]
        for name, array in record.arrays.items():
            path = folder / f"{name}.npy"
            stored = np.load(path, allow_pickle=False)
            assert (stored.dtype.str, stored.shape) == (array.dtype, array.shape)
            assert path.stat().st_size == array.num_bytes
            assert hashlib.sha256(path.read_bytes()).hexdigest() == array.sha256
        lines = (folder / "utterances.jsonl").read_bytes()
        assert hashlib.sha256(lines).hexdigest() == record.utterances_sha256
        assert lines.count(b"\n") == record.num_utterances


def test_two_processes_write_what_one_writes(tiny_corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.features.prepare.SMALL_BYTES", 0)
    for jobs in (1, 2):
        prepare_corpus(tiny_corpus.root, tmp_path / f"by {jobs}", SETTINGS, jobs=jobs)
    one, two = (Manifest.read(tmp_path / f"by {jobs}").sessions for jobs in (1, 2))
    assert one == two


def test_arrays_have_a_row_for_each_utterance_whatever_its_label(tiny_corpus, prepared_dir):
    prepare(tiny_corpus, prepared_dir)
    folder = prepared_dir / "Session1"
    speech = np.load(folder / "speech.npy")
    assert (speech.dtype, speech.shape) == (np.float32, (4, 100, 34))
    assert np.load(folder / "speech_lengths.npy").tolist() == [9, 4, 4, 6]
    assert (speech[1, 4:] == 0).all() and (speech[1, :4] != 0).any(axis=1).all()
    assert np.load(folder / "mocap_rows.npy").tolist() == [19, 9, 9, 14]
    assert np.load(folder / "mocap_empty.npy").sum(axis=1).tolist() == [181, 191, 191, 186]
    assert np.load(folder / "mocap.npy").shape == (4, 200, 189)
    listed = [json.loads(line) for line in (folder / "utterances.jsonl").read_text().splitlines()]
    assert [(line["utterance_id"][-4:], line["num_mocap_rows"]) for line in listed] == [
        ("F000", 19),
        ("F001", 9),
        ("M000", 9),
        ("M001", 14),
    ]


def test_the_report_counts_and_names_what_is_irregular(tiny_corpus, prepared_dir):
    report = prepare(tiny_corpus, prepared_dir)
    assert report.counts == {
        1: {"ang": 1, "exc": 0, "neu": 1, "sad": 1, "hap": 0, "all labels": 4},
        5: {"ang": 0, "exc": 1, "neu": 0, "sad": 0, "hap": 0, "all labels": 2},
    }
    assert (report.num_four_class, report.num_utterances) == (4, 6)
    assert not report.is_complete
    assert report.num_present == {"speech": 6, "text": 6, "mocap": 4}
    assert report.irregularities[IrregularityKind.MISSING_MOCAP] == 3
    assert report.irregularities[IrregularityKind.FEW_MOCAP_ROWS] == 4
    with report.irregularities_path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == sum(report.irregularities.values())
    missing = [row for row in rows if row["kind"] == "missing mocap"]
    assert {row["dialogue_id"] for row in missing} == {WITHOUT_MOCAP}
    assert {row["policy"] for row in missing} == {IrregularityKind.MISSING_MOCAP.policy}


def test_a_second_run_reads_nothing_and_changes_nothing(tiny_corpus, prepared_dir):
    first = prepare(tiny_corpus, prepared_dir)
    before = {path: path.stat().st_mtime_ns for path in prepared_dir.rglob("*") if path.is_file()}
    second = prepare(tiny_corpus, prepared_dir)
    assert (first.num_read, second.num_read) == (2, 0)
    assert second.irregularities == first.irregularities
    assert list(second.irregularities) == list(first.irregularities)
    assert second.counts == first.counts
    assert {
        path: path.stat().st_mtime_ns
        for path in prepared_dir.rglob("*")
        if path.name != ".lock" and path.is_file()
    } == {path: time for path, time in before.items() if path.name != ".lock"}


def test_a_label_file_in_no_index_that_was_moved_is_reported_where_it_is(tiny_corpus, prepared_dir):
    prepare(tiny_corpus, prepared_dir)
    keys = {name: part_key(tiny_corpus, name, SETTINGS) for name in (COMPLETE, WITHOUT_MOCAP)}
    # A folder that was prepared before, from a corpus without such files, stays prepared.
    sources = {"keys": keys, "unlabelled": [], "format": FORMAT_VERSION}
    assert Manifest.read(prepared_dir).source_hash == hash_json(sources, 64)
    content = tiny_corpus.annotation_path(COMPLETE).read_bytes()
    write_file(tiny_corpus.root / "Session6/dialog/EmoEvaluation/Ses06F_impro01.txt", content)
    prepare(tiny_corpus, prepared_dir)
    (tiny_corpus.root / "Session6").rename(tiny_corpus.root / "Session7")
    report = prepare(tiny_corpus, prepared_dir)
    with report.irregularities_path.open(newline="") as stream:
        paths = [row["path"] for row in csv.DictReader(stream) if row["kind"] == "unread label file"]
    assert paths == ["Session7/dialog/EmoEvaluation/Ses06F_impro01.txt"]


def test_only_a_changed_dialogue_is_read_again(tiny_corpus, prepared_dir):
    first = prepare(tiny_corpus, prepared_dir)
    path = tiny_corpus.transcript_path(COMPLETE)
    path.write_bytes(path.read_bytes().replace(b"Excuse me.", b"Pardon me!"))
    second = prepare(tiny_corpus, prepared_dir)
    assert second.num_read == 1
    assert second.corpus_hash != first.corpus_hash
    utterance = FeatureStore.open(prepared_dir).utterances([1])[0]
    assert utterance.transcript == "Pardon me!"


def test_a_run_that_was_broken_off_goes_on(tiny_corpus, prepared_dir, tmp_path):
    def stop_after_one(num_done, num_all):
        if num_done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tiny_corpus, prepared_dir, progress=stop_after_one)
    with pytest.raises(FeatureError, match="there is no manifest.json"):
        FeatureStore.open(prepared_dir)
    assert prepare(tiny_corpus, prepared_dir).num_read == 1
    prepare(tiny_corpus, tmp_path / "at once")
    assert (
        contents(prepared_dir)["Session1/mocap.npy"] == contents(tmp_path / "at once")["Session1/mocap.npy"]
    )


def test_progress_is_told_for_each_dialogue(tiny_corpus, prepared_dir):
    told = []
    prepare(tiny_corpus, prepared_dir, progress=lambda *done: told.append(done))
    assert told == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize("damage", ["missing", "shorter", "no list", "no report"])
def test_what_was_lost_is_made_again_from_the_parts(tiny_corpus, prepared_dir, damage):
    prepare(tiny_corpus, prepared_dir)
    before = contents(prepared_dir)
    path = {
        "missing": prepared_dir / "Session5/mocap.npy",
        "shorter": prepared_dir / "Session1/speech.npy",
        "no list": prepared_dir / "Session1/utterances.jsonl",
        "no report": prepared_dir / "ingest.json",
    }[damage]
    path.write_bytes(path.read_bytes()[:200]) if damage == "shorter" else path.unlink()
    assert prepare(tiny_corpus, prepared_dir).num_read == 0
    after = contents(prepared_dir)
    assert json.loads(after.pop("ingest.json"))["num_read"] == 0
    del before["ingest.json"]
    assert after == before


def test_nothing_half_written_is_left(tiny_corpus, prepared_dir):
    prepare(tiny_corpus, prepared_dir)
    assert [path for path in prepared_dir.rglob("*") if ".partial" in path.name] == []


def test_the_corpus_hash_is_of_the_content_alone(tiny_corpus, prepared_dir, tmp_path):
    report = prepare(tiny_corpus, prepared_dir)
    copy = CorpusLayout(tmp_path / "copy")
    shutil.copytree(tiny_corpus.root, copy.root)
    os.utime(copy.transcript_path(COMPLETE), (1, 1))
    elsewhere = prepare(copy, tmp_path / "other", SPEECH_VARIANTS["mel"])
    assert elsewhere.corpus_hash == report.corpus_hash
    wav = copy.utterance_wav_path(f"{COMPLETE}_F001")
    wav.write_bytes(wav.read_bytes()[:-2] + b"\x01\x01")
    assert prepare(copy, tmp_path / "other", SPEECH_VARIANTS["mel"]).corpus_hash != report.corpus_hash


def test_what_the_whole_corpus_lacks_is_absent(tiny_corpus, prepared_dir):
    prepare(tiny_corpus, prepared_dir)
    for stream in MocapStream:
        tiny_corpus.mocap_path(COMPLETE, stream).unlink()
    for dialogue_id in (COMPLETE, WITHOUT_MOCAP):
        tiny_corpus.transcript_path(dialogue_id).unlink()
    report = prepare(tiny_corpus, prepared_dir)
    assert report.modalities == ("speech",)
    assert FeatureStore.open(prepared_dir).modalities == ("speech",)
    assert sorted(path.name for path in (prepared_dir / "Session1").iterdir()) == [
        "speech.npy",
        "speech_lengths.npy",
        "utterances.jsonl",
    ]


def test_without_recordings_of_dialogues_their_left_channel_is_absent(tiny_corpus, prepared_dir):
    for dialogue_id in (COMPLETE, WITHOUT_MOCAP):
        tiny_corpus.dialogue_wav_path(dialogue_id).unlink()
    report = prepare(tiny_corpus, prepared_dir, SpeechSettings(source=SpeechSource.DIALOGUE_LEFT))
    assert report.modalities == ("text", "mocap")


def test_short_frames_are_prepared_without_motion_and_mapped(tiny_corpus, prepared_dir, tmp_path):
    whole = prepare(tiny_corpus, tmp_path / "with motion")
    report = prepare(tiny_corpus, prepared_dir, SPEECH_VARIANTS["frames"])
    assert report.modalities == ("speech", "text")
    assert report.corpus_hash == whole.corpus_hash
    assert report.num_present == {**whole.num_present, "mocap": 0}
    assert prepare(tiny_corpus, prepared_dir, SPEECH_VARIANTS["frames"]).num_read == 0
    store = FeatureStore.open(prepared_dir)
    assert sorted(store.manifest.sessions[1].arrays) == ["speech", "speech_lengths"]
    assert store.manifest.speech_columns == FRAME_COLUMNS
    assert not list(prepared_dir.rglob("mocap*"))
    turns = store.turns([1])
    features = store.load([turn.utterance_id for turn in turns])
    assert features.speech_shape == (1500, 46)
    for row, turn in enumerate(turns):
        samples = read_recording(tiny_corpus.utterance_wav_path(turn.utterance_id))[0].samples
        expected = extract_speech(samples, SPEECH_VARIANTS["frames"]).astype(np.float32)
        length = features.speech_lengths[row]
        assert length == len(expected) == (len(samples) - 400) // 160 + 1
        (found,) = features.speech([row])
        assert np.array_equal(found[:length], expected) and not found[length:].any()
    with pytest.raises(FeatureError, match="prepared features: hold no mocap"):
        features.mocap([0])


def test_a_session_that_is_gone_leaves_nothing(tiny_corpus, prepared_dir):
    prepare(tiny_corpus, prepared_dir)
    shutil.rmtree(tiny_corpus.root / "Session5")
    report = prepare(tiny_corpus, prepared_dir)
    assert list(report.counts) == [1]
    assert FeatureStore.open(prepared_dir).sessions == (1,)
    assert list((prepared_dir / "Session5").iterdir()) == []


def test_a_session_without_an_utterance_has_no_array(tiny_corpus, prepared_dir):
    tiny_corpus.annotation_path(WITHOUT_MOCAP).write_bytes(b"")
    prepare(tiny_corpus, prepared_dir)
    store = FeatureStore.open(prepared_dir)
    assert store.manifest.sessions[5].arrays == {}
    assert store.turns([5]) == ()
    assert len(store.turns([1, 5])) == 4


def test_no_label_selects_or_changes_a_row(tiny_corpus, prepared_dir, tmp_path):
    prepare(tiny_corpus, prepared_dir)
    path = tiny_corpus.annotation_path(COMPLETE)
    path.write_bytes(label_bytes(COMPLETE).replace(b"\tsad\t", b"\tfru\t").replace(b"\txxx\t", b"\tang\t"))
    prepare(tiny_corpus, tmp_path / "other labels")
    ids = [[one.utterance_id[-4:] for one in FeatureStore.open(folder).utterances([1])]
           for folder in (prepared_dir, tmp_path / "other labels")]
    assert ids == [["F000", "M000", "M001"], ["F000", "F001", "M000"]]
    for name in ("speech", "speech_lengths", "mocap", "mocap_rows", "mocap_empty"):
        one, other = (folder / f"Session1/{name}.npy" for folder in (prepared_dir, tmp_path / "other labels"))
        assert one.read_bytes() == other.read_bytes()


def test_features_of_another_version_are_made_again(tiny_corpus, prepared_dir, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr("harness.features.ingest.INGEST_VERSION", 3)
        earlier.setattr("harness.features.manifest.FORMAT_VERSION", 2)
        earlier.setattr("harness.features.prepare.FORMAT_VERSION", 2)
        prepare(tiny_corpus, prepared_dir)
    with pytest.raises(FeatureError, match="found format version 2; expected 4; run harness prepare again"):
        FeatureStore.open(prepared_dir)
    assert prepare(tiny_corpus, prepared_dir).num_read == 2
    assert len(FeatureStore.open(prepared_dir).turns([1])) == 4
    assert len(list((prepared_dir / "parts").iterdir())) == 2


def test_rows_stay_sorted_where_one_dialogues_name_begins_anothers(tiny_corpus, prepared_dir):
    for dialogue_id in ("Ses01F_script01", "Ses01F_script01_1"):
        text = label_bytes(COMPLETE).replace(COMPLETE.encode(), dialogue_id.encode())
        write_file(tiny_corpus.annotation_path(dialogue_id), text)
    prepare(tiny_corpus, prepared_dir)
    ids = [utterance.utterance_id for utterance in FeatureStore.open(prepared_dir).utterances([1])]
    assert len(ids) == 9
    assert len(FeatureStore.open(prepared_dir).turns([1])) == 12
    assert ids == sorted(ids)


def test_columns_named_otherwise_in_one_dialogue_are_told(tiny_corpus, prepared_dir):
    shutil.copytree(tiny_corpus.root / "Session1", tiny_corpus.root / "Session2")
    for path in (tiny_corpus.root / "Session2").rglob("*Ses01*"):
        path.rename(path.with_name(path.name.replace("Ses01", "Ses02")))
    for number in (1, 2):
        dialogue_id = f"Ses0{number}F_impro01"
        text = label_bytes(COMPLETE).replace(b"Ses01", f"Ses0{number}".encode())
        write_file(tiny_corpus.annotation_path(dialogue_id), text)
    shutil.copy(
        tiny_corpus.mocap_path("Ses02F_impro01", MocapStream.FACE),
        write_file(tiny_corpus.mocap_path("Ses02F_impro02", MocapStream.FACE), b""),
    )
    write_file(
        tiny_corpus.annotation_path("Ses02F_impro02"),
        label_bytes(COMPLETE).replace(b"Ses01F_impro01", b"Ses02F_impro02"),
    )
    face = mocap_bytes(MocapStream.FACE, mocap_values(MocapStream.FACE, 80)).replace(b" M1 ", b" NOSE ")
    write_file(tiny_corpus.mocap_path("Ses02F_impro01", MocapStream.FACE), face)
    report = prepare(tiny_corpus, prepared_dir)
    assert report.irregularities[IrregularityKind.UNREADABLE_MOCAP_HEADER] == 1
    assert Manifest.read(prepared_dir).mocap_columns[0] == "face_M1_X"
    assert (
        "Ses02F_impro01,,Session2/dialog/MOCAP_rotated/Ses02F_impro01.txt,the columns have other names"
        in (report.irregularities_path.read_text())
    )


def test_two_processes_at_once_give_one_result(tiny_corpus, prepared_dir):
    from joblib import Parallel, delayed

    reports = Parallel(n_jobs=2)(
        delayed(prepare_corpus)(tiny_corpus.root, prepared_dir, SETTINGS, 1) for _ in range(2)
    )
    assert sorted(report.num_read for report in reports) == [0, 2]


def test_a_folder_without_labels_is_no_corpus(tmp_path, prepared_dir):
    (tmp_path / "corpus/Session1").mkdir(parents=True)
    with pytest.raises(CorpusError) as caught:
        prepare_corpus(tmp_path / "corpus", prepared_dir, SETTINGS, jobs=1)
    assert str(caught.value) == (
        f"corpus {str(tmp_path / 'corpus')!r}: found no label file; expected some like "
        "'Session1/dialog/EmoEvaluation/Ses01F_impro01.txt'"
    )


def test_names_that_are_no_utf8_stop_nothing(tmp_path):
    layout = write_tiny_corpus(tmp_path / os.fsdecode(b"corpus \xff"))
    (layout.utterance_wav_dir(COMPLETE) / os.fsdecode(b"\xfe.wav")).write_bytes(b"")
    prepared_dir = prepared_dir_for(tmp_path / os.fsdecode(b"results \xfd"), layout.root, SpeechSettings())
    report = prepare_corpus(layout.root, prepared_dir, SpeechSettings(), jobs=1)
    assert report.irregularities[IrregularityKind.RECORDING_WITHOUT_TURN] == 1
    assert Manifest.read(prepared_dir).corpus_path == str(layout.root)
    assert prepare_corpus(layout.root, prepared_dir, SpeechSettings(), jobs=1) == replace(report, num_read=0)


def test_a_folder_that_cannot_be_made_is_rejected(tiny_corpus, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FeatureError) as caught:
        prepare(tiny_corpus, tmp_path / "file")
    assert str(caught.value) == (
        f"prepared features {str(tmp_path / 'file')!r}: cannot be written (Not a directory); "
        "choose another folder"
    )


def test_a_corpus_has_one_folder_for_each_way_of_making_frames(tiny_corpus, tmp_path):
    results = tmp_path / "results"
    folder = prepared_dir_for(results, tiny_corpus.root, SETTINGS)
    assert folder == prepared_dir_for(results, tiny_corpus.root.parent, SETTINGS)
    assert folder.parent == results / "prepared"
    assert folder.name.startswith("IEMOCAP_full_release-")
    assert folder.name.endswith(f"-{prepared_key(SETTINGS)}")
    assert folder != prepared_dir_for(results, tiny_corpus.root, SPEECH_VARIANTS["mel"])


def test_real_recordings_are_prepared(emodb, tmp_path):
    report = prepare_corpus(emodb.root, tmp_path, SETTINGS, jobs=2)
    assert {session: row["all labels"] for session, row in report.counts.items()} == {
        1: 81,
        2: 51,
        3: 71,
        4: 63,
        5: 73,
    }
    assert report.counts[1] == {"ang": 26, "exc": 18, "neu": 21, "sad": 16, "hap": 0, "all labels": 81}
    assert report.modalities == ("speech", "text")
    assert report.num_present == {"speech": 339, "text": 339, "mocap": 0}
    assert FeatureStore.open(tmp_path).modalities == ("speech", "text")
