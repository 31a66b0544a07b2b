"""Features of a user's own: what a file may hold, how it is cut into sessions, and what a trial reads of it."""

import io
import json
import os
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from harness.errors import FeatureError
from harness.features.fitted import FittedFeatures, fit_features
from harness.features.manifest import Manifest
from harness.features.own import OwnFile
from harness.features.prepare import open_files, prepare_corpus, prepared_dir_for
from harness.features.report import IngestReport
from harness.features.speech import SpeechKind, SpeechSettings
from harness.features.store import FeatureStore, JoinedFrames
from harness.files import NpzFile
from harness.splits.protocol import PROTOCOLS, Protocol, SpeakerScaling

WHOLE = "expected a whole .npz, .csv or .parquet file"
#: Those of ``write_tiny_corpus``, sorted.
IDS = [
    *(f"Ses01F_impro01_{turn}" for turn in ("F000", "F001", "M000", "M001")),
    *(f"Ses05M_script01_1b_{turn}" for turn in ("F000", "M000")),
]
LENGTHS = dict(zip(IDS, (3, 1, 2, 5, 4, 2), strict=True))


def frames_of(name, num_columns=3):
    """Frames of which each number tells its utterance, its frame and its column."""
    start = 100.0 * IDS.index(name)
    return (start + np.arange(LENGTHS[name])[:, None] + np.arange(num_columns) / 10).astype(np.float32)


def write_frames(path, ids=IDS, **changes):
    arrays = {name: frames_of(name) for name in ids} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def write_vectors(path, ids=IDS, **columns):
    values = np.arange(2.0 * len(ids)).reshape(-1, 2)
    table = pd.DataFrame({"utterance_id": ids, "loudness": values[:, 0], "pitch": values[:, 1]} | columns)
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    return path


def prepare(corpus, folder, **paths):
    own, settings = open_files(paths, SpeechSettings())
    prepare_corpus(corpus.root, folder, settings, jobs=1, own=own)
    return FeatureStore.open(folder)


def test_frames_are_cut_into_one_file_a_session(tiny_corpus, tmp_path):
    store = prepare(tiny_corpus, tmp_path / "prepared", speech=write_frames(tmp_path / "wavlm.npz"))
    settings = store.manifest.speech_settings
    assert (settings.kind, settings.max_frames) == ("own", 5)
    assert store.manifest.speech_columns == ("own_1", "own_2", "own_3")
    for session, ids in ((1, IDS[:4]), (5, IDS[4:])):
        folder = store.session_dir(session)
        np.testing.assert_array_equal(np.load(folder / "speech.npy"), np.concatenate([frames_of(name) for name in ids]))
        assert np.load(folder / "speech_lengths.npy").tolist() == [LENGTHS[name] for name in ids]


def test_a_search_opens_no_file_of_another_session(tiny_corpus, tmp_path):
    store = prepare(tiny_corpus, tmp_path / "prepared", speech=write_frames(tmp_path / "wavlm.npz"))
    for path in store.session_dir(5).iterdir():
        path.unlink()
    features = store.load([IDS[3], IDS[0]])
    assert features.speech_lengths.tolist() == [5, 3]
    speech = features.speech([0, 1], num_frames=4)
    np.testing.assert_array_equal(speech[0], frames_of(IDS[3])[:4])
    np.testing.assert_array_equal(speech[1], np.pad(frames_of(IDS[0]), ((0, 1), (0, 0))))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_row_of_a_table_is_the_one_frame_of_an_utterance(suffix, tiny_corpus, tmp_path):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    store = prepare(tiny_corpus, tmp_path / "prepared", speech=write_vectors(tmp_path / f"egemaps{suffix}"))
    features = store.load(IDS)
    assert features.speech_shape == (1, 2)
    assert features.speech(range(6))[:, 0].tolist() == np.arange(12.0).reshape(6, 2).tolist()


def test_arrays_of_one_dimension_are_vectors(tmp_path):
    path = tmp_path / "pooled.npz"
    np.savez(path, **{name: np.array([1, 2], np.float16) for name in IDS})
    opened = OwnFile.open(path)
    assert (opened.described.max_frames, opened.described.num_columns) == (1, 2)
    assert opened.read([IDS[0]])[0].tolist() == [[1.0, 2.0]]


def test_missing_and_surplus_utterances_are_counted_and_said(tiny_corpus, tmp_path):
    path = write_frames(tmp_path / "wavlm.npz", IDS[1:5], other=np.zeros((2, 3), np.float32))
    store = prepare(tiny_corpus, tmp_path / "prepared", speech=path)
    report = IngestReport.read(store.prepared_dir)
    assert report.notes == (
        "features file 'wavlm.npz': lacks 2 of the corpus's 6 utterances, 2 of them of the four classes, such as "
        "'Ses01F_impro01_F000'; each counts as an utterance without speech.",
        "features file 'wavlm.npz': holds 1 id of no utterance of the corpus, such as 'other'; it is left out.",
    )
    assert report.num_present["speech"] == 4
    assert store.load(IDS).speech_lengths.tolist() == [0, 1, 2, 5, 4, 0]
    assert store.load(IDS[:1]).speech([0], num_frames=2).tolist() == np.zeros((1, 2, 3)).tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {IDS[1]: np.zeros((1, 4), np.float32), IDS[2]: np.zeros(3, np.float32)},
            "found 2 arrays of a wrong shape among 6, such as 'Ses01F_impro01_F001' with (1, 4); expected (num_frames, "
            "3), and at least one frame",
        ),
        (
            {IDS[0]: np.zeros((0, 3), np.float32)},
            "found 1 array of a wrong shape among 6, such as 'Ses01F_impro01_F000' with (0, 3); expected (num_frames, "
            "3), and at least one frame",
        ),
        (
            {name: np.zeros((2, 2, 2)) for name in IDS},
            "found 6 arrays of a wrong shape among 6, such as 'Ses01F_impro01_F000' with (2, 2, 2); expected "
            "(num_frames, num_columns) or (num_columns,) in every array, and at least one frame",
        ),
        ({name: None for name in IDS}, "holds no utterance; expected an array or a row for each"),
        (
            {IDS[0]: np.array(["a"])},
            f"cannot be read ('Ses01F_impro01_F000.npy' holds <U1; expected numbers); {WHOLE}",
        ),
    ],
    ids=["other width", "no frame", "no frames at all", "empty", "text"],
)
def test_a_file_of_wrong_arrays_gets_one_sentence(changes, message, tmp_path):
    with pytest.raises(FeatureError) as caught:
        OwnFile.open(write_frames(tmp_path / "wavlm.npz", **changes))
    assert str(caught.value) == f"features file 'wavlm.npz': {message}"


@pytest.mark.parametrize(
    ("ids", "changes", "message"),
    [
        (
            IDS,
            {IDS[1]: np.full((1, 3), np.nan), IDS[5]: np.full((2, 3), 1e300)},
            "found NaN or infinite numbers in 2 utterances of 6, such as 'Ses01F_impro01_F001'; expected finite "
            "numbers: replace them, or leave these utterances out",
        ),
        (
            [],
            {"a.wav": np.zeros((2, 3))},
            "holds 1 id, such as 'a.wav', and none is of an utterance of the corpus; expected ids such as "
            "'Ses01F_impro01_F000'",
        ),
    ],
    ids=["not finite", "other ids"],
)
def test_a_file_that_does_not_fit_the_corpus_prepares_nothing(ids, changes, message, tiny_corpus, tmp_path):
    path = write_frames(tmp_path / "wavlm.npz", ids, **changes)
    with pytest.raises(FeatureError) as caught:
        prepare(tiny_corpus, tmp_path / "prepared", speech=path)
    assert str(caught.value) == f"features file 'wavlm.npz': {message}"
    with pytest.raises(FeatureError, match="there is no manifest.json"):
        FeatureStore.open(tmp_path / "prepared")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,a\nx,1\n", "has no column 'utterance_id', but 'name', 'a'; expected the ids there"),
        (
            "utterance_id,file,a\nx,1.5,1\ny,y.wav,1\n",
            "column 'file' holds 'y.wav' for 'y'; expected numbers in every column but 'utterance_id'",
        ),
        (
            "utterance_id,a\nx,1\nx,2\ny,3\n",
            "found 1 id in more than one row, such as 'x'; expected one row for each utterance",
        ),
        (
            ",utterance_id,a\n0,x,1\n1,y,2\n",
            "column 1 has no name, and may number the rows; expected a name for every column: write the table with "
            "index=False",
        ),
        ("utterance_id,a\n", "holds no utterance; expected an array or a row for each"),
        ("", "is empty; expected a line that names the columns, and a row an utterance"),
        ("utterance_id,a\nx,1\ny,1,2\n", f"cannot be read (Expected 2 fields in line 3, saw 3); {WHOLE}"),
        (b"utterance_id,a\n\xe4,1\n", f"cannot be read (it is not text in UTF-8; write the table in UTF-8); {WHOLE}"),
    ],
    ids=["no ids", "no number", "twice", "row numbers", "no row", "empty", "more values", "not UTF-8"],
)
def test_a_wrong_table_gets_one_sentence(content, message, tmp_path):
    path = tmp_path / "egemaps.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FeatureError) as caught:
        OwnFile.open(path)
    assert str(caught.value) == f"features file 'egemaps.csv': {message}"


def test_a_parquet_file_that_cannot_be_read_gets_one_sentence(tmp_path, monkeypatch):
    path = tmp_path / "egemaps.parquet"
    path.write_bytes(b"PAR1")
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    message = r"'egemaps.parquet': cannot be read \(it is no whole Parquet file, or has two columns of one name\); "
    with pytest.raises(FeatureError, match=message):
        OwnFile.open(path)
    table = pyarrow.table({"utterance_id": ["Ses01F_impro01_F000"], "x": [1.0]})
    for metadata in ({}, {"index_columns": [], "columns": [{}], "column_indexes": []}):
        parquet.write_table(table.replace_schema_metadata({"pandas": json.dumps(metadata)}), path)
        with pytest.raises(FeatureError, match=message):
            OwnFile.open(path)
    parquet.write_table(table.rename_columns(["utterance_id", "utterance_id"]), path)
    with pytest.raises(FeatureError, match=message):
        OwnFile.open(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "fastparquet", None)
    with pytest.raises(FeatureError, match=r"pyarrow is not installed; install it with  pip install .*\[parquet\]"):
        OwnFile.open(path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([f"{IDS[0]}.npy", f"{IDS[0]}.npy"], f"holds '{IDS[0]}' twice"),
        ([IDS[0]], f"holds '{IDS[0]}'; expected names that end in .npy"),
    ],
    ids=["twice", "no ending"],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_whose_names_lead_to_no_one_array_gets_one_sentence(names, message, tmp_path):
    array = io.BytesIO()
    np.save(array, np.ones(3))
    with zipfile.ZipFile(tmp_path / "wavlm.npz", "w") as archive:
        for name in names:
            archive.writestr(name, array.getvalue())
    with pytest.raises(FeatureError) as caught:
        OwnFile.open(tmp_path / "wavlm.npz")
    assert str(caught.value) == f"features file 'wavlm.npz': cannot be read ({message}); {WHOLE}"


def test_a_damaged_file_gets_one_sentence(tmp_path):
    path = write_frames(tmp_path / "wavlm.npz")
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(FeatureError, match="^features file 'wavlm.npz': cannot be read"):
        OwnFile.open(path)


def test_prepared_features_are_known_by_the_content_of_the_file_and_not_its_name(tiny_corpus, tmp_path):
    path = write_frames(tmp_path / "wavlm.npz")

    def folder(**paths):
        own, settings = open_files(paths, SpeechSettings())
        return prepared_dir_for(tmp_path, tiny_corpus.root, settings, own)

    before = folder(speech=path)
    renamed = path.rename(tmp_path / "renamed.npz")
    assert folder(speech=renamed) == before
    assert len({folder(), before, folder(text=renamed), folder(speech=renamed, text=renamed)}) == 4
    assert folder(speech=write_frames(tmp_path / "other.npz", other=np.zeros((1, 3)))) != before


def test_a_second_run_reads_nothing_again_and_another_file_is_noticed(tiny_corpus, tmp_path):
    paths = {"text": write_frames(tmp_path / "bert.npz")}
    prepare(tiny_corpus, tmp_path / "prepared", **paths)
    first = (tmp_path / "prepared/manifest.json").stat().st_mtime_ns
    prepare(tiny_corpus, tmp_path / "prepared", **paths)
    assert (tmp_path / "prepared/manifest.json").stat().st_mtime_ns == first
    write_frames(tmp_path / "bert.npz", IDS[:4])
    store = prepare(tiny_corpus, tmp_path / "prepared", **paths)
    assert store.load(IDS).text_lengths.tolist() == [3, 1, 2, 5, 0, 0]


def test_a_file_that_contradicts_its_lengths_is_damaged(tiny_corpus, tmp_path):
    store = prepare(tiny_corpus, tmp_path / "prepared", speech=write_frames(tmp_path / "wavlm.npz"))
    path = store.session_dir(1) / "speech_lengths.npy"
    np.save(path, np.array([3, 1, 2, 4]))
    with pytest.raises(FeatureError, match="found 11 frames; the manifest expects the 10 of speech_lengths.npy"):
        store.load(IDS[:1])


def test_a_corpus_without_recordings_and_words_has_both_by_files(tiny_corpus, tmp_path):
    for path in tiny_corpus.root.glob("Session*/sentences/wav/*/*.wav"):
        path.unlink()
    for path in tiny_corpus.root.glob("Session*/dialog/transcriptions/*.txt"):
        path.unlink()
    paths = {"speech": write_frames(tmp_path / "wavlm.npz"), "text": write_vectors(tmp_path / "bert.csv")}
    assert prepare(tiny_corpus, tmp_path / "prepared", **paths).modalities == ("speech", "text", "mocap")


def test_settings_of_own_frames_come_back_as_they_went(tiny_corpus, tmp_path):
    store = prepare(tiny_corpus, tmp_path / "prepared", speech=write_frames(tmp_path / "wavlm.npz"))
    settings = store.manifest.speech_settings
    assert SpeechSettings.from_json(settings.to_json()) == settings
    assert "own" not in SpeechSettings().to_json()
    with pytest.raises(FeatureError, match="found kind 'own' and own None"):
        SpeechSettings(SpeechKind.OWN)
    assert Manifest.read(store.prepared_dir).own_modalities == ("speech",)


@pytest.fixture
def both(tiny_corpus, tmp_path):
    paths = {"speech": write_vectors(tmp_path / "egemaps.csv"), "text": write_frames(tmp_path / "bert.npz")}
    return prepare(tiny_corpus, tmp_path / "prepared", **paths)


def test_scaling_is_fitted_on_the_training_utterances_alone(both, tmp_path):
    train, scored = both.load(IDS[:4]), both.load(IDS[4:])
    fitted = fit_features(train, ("speech", "text"), PROTOCOLS["strict"], None, 300, 0)
    assert (fitted.tokenizer, fitted.embedding) == (None, None)
    assert fitted.embedding_source == (
        "'bert.npz', up to 5 frames of 3 numbers an utterance, scaled by the training utterances"
    )
    known = np.concatenate([frames_of(name) for name in IDS[:4]])
    np.testing.assert_allclose(fitted.text.mean, known.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(fitted.text.std, known.std(axis=0), rtol=1e-6)
    batch = fitted.prepare(scored).batch([1, 0])
    assert batch["text_lengths"].tolist() == [2, 4]
    expected = (frames_of(IDS[5]) - known.mean(axis=0)) / known.std(axis=0)
    np.testing.assert_allclose(batch["text"][0], np.pad(expected, ((0, 2), (0, 0))), rtol=1e-5)
    assert batch["speech"].shape == (2, 1, 2)
    fitted.save(tmp_path / "fitted")
    again = FittedFeatures.load(tmp_path / "fitted").prepare(scored).batch([1, 0])
    for name, values in batch.items():
        np.testing.assert_array_equal(again[name], values)


def test_padded_frames_in_place_of_words_end_together(both):
    fitted = fit_features(both.load(IDS), ("text",), PROTOCOLS["published-code"], None, 300, 0)
    batch = fitted.prepare(both.load(IDS[4:])).batch([1])
    np.testing.assert_array_equal(batch["text"][0], np.pad(frames_of(IDS[5]), ((3, 0), (0, 0))))
    assert batch["text_lengths"].tolist() == [5]


def test_a_model_of_a_file_refuses_words_and_another_file(both, tiny_corpus, tmp_path):
    fitted = fit_features(both.load(IDS), ("text",), PROTOCOLS["strict"], None, 300, 0)
    words = prepare(tiny_corpus, tmp_path / "of words")
    with pytest.raises(FeatureError, match="^text features: the utterances have words; expected 'bert.npz'"):
        fitted.prepare(words.load(IDS))
    other = prepare(tiny_corpus, tmp_path / "other", text=write_vectors(tmp_path / "other.csv"))
    with pytest.raises(FeatureError, match=r"^text features: the utterances have 'other\.csv', one vector of 2"):
        fitted.prepare(other.load(IDS))


@pytest.mark.parametrize("scaling", [SpeakerScaling.OWN, SpeakerScaling.PAST])
def test_own_speech_is_scaled_by_its_speaker_too(scaling, tiny_corpus, tmp_path):
    prepared = prepare(tiny_corpus, tmp_path / "prepared", speech=write_frames(tmp_path / "wavlm.npz")).prepared_dir
    protocol = replace(Protocol("mine"), speaker_scaling=scaling)
    features = FeatureStore.open_for(protocol, prepared).load(IDS[:2])
    fitted = fit_features(features, ("speech",), protocol, None, None, 0)
    batch = fitted.prepare(features).batch([0, 1])
    if scaling is SpeakerScaling.OWN:
        own = np.concatenate([frames_of(name) for name in IDS[:2]])
        expected = (frames_of(IDS[0]) - own.mean(axis=0)) / own.std(axis=0)
        np.testing.assert_allclose(batch["speech"][0], expected, atol=1e-5)
    assert np.isfinite(batch["speech"]).all() and np.abs(batch["speech"]).max() > 0


def test_joined_frames_are_read_as_if_they_were_padded():
    frames = np.arange(6, dtype=np.float32)[:, None]
    joined = JoinedFrames(frames, np.array([2, 0, 3, 1]))
    assert joined[2, slice(2)].tolist() == [[2.0], [3.0]]
    assert joined[np.array([2, 1, 0]), slice(3)][:, :, 0].tolist() == [[2, 3, 4], [0, 0, 0], [0, 1, 0]]


def test_an_archive_is_opened_once_for_all_its_utterances_and_dialogues_are_counted(tiny_corpus, tmp_path, monkeypatch):
    own, settings = open_files({"speech": write_frames(tmp_path / "wavlm.npz")}, SpeechSettings())
    opened, done = [], []
    monkeypatch.setattr("harness.features.own.NpzFile", lambda path: opened.append(path) or NpzFile(path))
    prepare_corpus(
        tiny_corpus.root, tmp_path / "prepared", settings, 1, lambda *counts: done.append(counts), own
    )
    assert opened == [tmp_path / "wavlm.npz"]
    assert done[-2:] == [(1, 2), (2, 2)]


@pytest.mark.parametrize("when", ["before the numbers are read", "before the last are read"])
def test_a_file_that_changes_after_it_was_opened_prepares_nothing(when, tiny_corpus, tmp_path, monkeypatch):
    path = write_frames(tmp_path / "wavlm.npz")
    own, settings = open_files({"speech": path}, SpeechSettings())
    others = {name: frames_of(name) + 1 for name in IDS}
    if when == "before the numbers are read":
        write_frames(tmp_path / "other.npz", **others).replace(path)
    else:
        check = OwnFile.check
        monkeypatch.setattr(OwnFile, "check", lambda *given: (check(*given), write_frames(path, **others))[0])
    with pytest.raises(FeatureError, match="^features file 'wavlm.npz': has changed since it was opened; expected a"):
        prepare_corpus(tiny_corpus.root, tmp_path / "prepared", settings, 1, own=own)
    with pytest.raises(FeatureError, match="there is no manifest.json"):
        FeatureStore.open(tmp_path / "prepared")


def test_the_lengths_of_ids_that_the_corpus_lacks_change_nothing_and_those_of_the_test_session_no_time(
    tiny_corpus, tmp_path
):
    path = write_frames(tmp_path / "wavlm.npz", other=np.zeros((80_000, 3), np.float16))
    store = prepare(tiny_corpus, tmp_path / "prepared", speech=path, text=path)
    settings = store.manifest.speech_settings
    # Those of Session 1 alone: (3 + 1 + 2 + 5) / 4.
    for described in (settings.own, store.manifest.text_features):
        assert (described.max_frames, described.mean_frames) == (5, 2.75)
    assert (settings.max_frames, settings.hop) == (5, 4.5 / 2.75)


def test_too_many_frames_of_an_utterance_are_refused_with_its_id(tiny_corpus, tmp_path):
    path = write_frames(tmp_path / "wavlm.npz", **{IDS[5]: np.zeros((72_001, 3), np.float16)})
    with pytest.raises(FeatureError) as caught:
        prepare(tiny_corpus, tmp_path / "prepared", text=path)
    assert str(caught.value) == (
        "features file 'wavlm.npz': 'Ses05M_script01_1b_M000' has 72001 frames; expected at most 72000 an utterance: "
        "average neighbouring ones, or leave the utterance out"
    )
