import math
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from harness.corpus.layout import MocapStream
from harness.errors import FeatureError
from harness.features.manifest import Manifest
from harness.features.prepare import prepare_corpus
from harness.features.speech import SPEECH_VARIANTS, SpeechSettings
from harness.features.store import FeatureStore, require_modalities
from harness.splits.protocol import SpeechSource
from tests.corpus.written import write_tiny_corpus

FIRST = [f"Ses01F_impro01_{turn}" for turn in ("F000", "M000", "M001")]
LAST = "Ses05M_script01_1b_M000"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("the store's")
    layout = write_tiny_corpus(folder / "corpus")
    prepare_corpus(layout.root, folder / "prepared", SpeechSettings(), jobs=1)
    return folder / "prepared"


@pytest.fixture
def prepared_dir(prepared, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(prepared, tmp_path / "prepared")


def test_opening_reads_the_manifest_alone(prepared_dir):
    for session in (1, 5):
        shutil.rmtree(prepared_dir / f"Session{session}")
    store = FeatureStore.open(prepared_dir)
    assert store.modalities == ("speech", "text", "mocap")
    assert store.sessions == (1, 5)
    assert len(store.corpus_hash) == 64


def test_only_the_sessions_asked_for_are_opened(prepared_dir):
    shutil.rmtree(prepared_dir / "Session5")
    store = FeatureStore.open(prepared_dir)
    ids = [utterance.utterance_id for utterance in store.utterances([1, 2, 3, 4])]
    assert ids == FIRST
    features = store.load(ids)
    assert features.mocap([0, 1, 2]).shape == (3, 200, 189)
    with pytest.raises(FeatureError, match="utterances.jsonl': cannot be read"):
        store.utterances([5])


def test_features_come_in_the_order_asked_for(prepared):
    store = FeatureStore.open(prepared)
    features = store.load([LAST, FIRST[2], FIRST[0]])
    assert features.utterance_ids == (LAST, FIRST[2], FIRST[0])
    assert features.emotions.tolist() == [1, 3, 2]
    assert features.speech_lengths.tolist() == [6, 6, 9]
    assert features.mocap_rows.tolist() == [0, 14, 19]
    assert features.transcripts == ("They're here!", "Oh.", "Excuse me.")
    first = np.load(prepared / "Session1/speech.npy")
    last = np.load(prepared / "Session5/speech.npy")
    assert np.array_equal(features.speech([0, 1, 2]), [last[1], first[3], first[0]])
    motion = np.load(prepared / "Session1/mocap.npy")
    assert np.array_equal(features.mocap([2, 1]), motion[[0, 3]], equal_nan=True)
    assert np.isnan(features.mocap([0])).all()


def test_ratings_are_those_of_the_utterances_and_nan_where_there_is_none(prepared):
    features = FeatureStore.open(prepared).load([LAST, FIRST[2], FIRST[0]])
    unrated = replace(features.utterances[1], valence=math.nan, activation=math.nan)
    features = replace(features, utterances=(features.utterances[0], unrated, features.utterances[2]))
    assert features.activation.dtype == features.valence.dtype == np.float32
    expected = [(utterance.activation, utterance.valence) for utterance in features.utterances]
    found = np.column_stack([features.activation, features.valence])
    assert np.array_equal(found, np.array(expected, np.float32), equal_nan=True)
    assert np.isnan(found).tolist() == [[False, False], [True, True], [False, False]]
    assert (features.activation != features.valence)[[0, 2]].all()


def test_arrays_are_mapped_not_read(prepared):
    store = FeatureStore.open(prepared)
    features = store.load(FIRST)
    array = features._blocks[0]["mocap"]
    assert isinstance(array.base, np.memmap) or isinstance(array, np.memmap)
    assert not array.flags.writeable


def test_opening_and_loading_take_less_than_a_tenth_of_a_second(prepared):
    FeatureStore.open(prepared).load(FIRST)
    begin = time.perf_counter()
    FeatureStore.open(prepared).load(FIRST)
    assert time.perf_counter() - begin < 0.1


def test_turns_of_every_label_are_listed_and_loaded(prepared):
    store = FeatureStore.open(prepared)
    ids = [turn.utterance_id for turn in store.turns([1, 5, 2])]
    assert ids == [FIRST[0], "Ses01F_impro01_F001", *FIRST[1:], "Ses05M_script01_1b_F000", LAST]
    features = store.load(ids)
    assert features.emotions.tolist() == [2, -1, 0, 3, -1, 1]
    assert features.transcripts[1] == "[LAUGHTER]"
    assert features.speech_lengths.tolist() == [9, 4, 4, 6, 9, 6]


def test_an_unknown_utterance_is_rejected(prepared):
    with pytest.raises(FeatureError) as caught:
        FeatureStore.open(prepared).load(["Ses01F_impro01_F002"])
    assert str(caught.value) == (
        f"utterance 'Ses01F_impro01_F002': not among the utterances of {str(prepared)!r}; "
        "expected an id of its utterances.jsonl"
    )


def test_a_session_that_is_not_there_is_rejected(prepared):
    with pytest.raises(FeatureError) as caught:
        FeatureStore.open(prepared).load(["Ses02F_impro01_F001"])
    assert str(caught.value) == (
        f"prepared features {str(prepared)!r}: there is no Session 2; expected one of [1, 5]"
    )


def test_an_array_of_another_shape_is_rejected(prepared_dir):
    path = prepared_dir / "Session1/speech.npy"
    np.save(path, np.zeros((4, 100, 33), dtype=np.float32))
    with pytest.raises(FeatureError) as caught:
        FeatureStore.open(prepared_dir).load(FIRST)
    assert str(caught.value) == (
        f"{str(path)!r}: found <f4 (4, 100, 33); the manifest expects <f4 (4, 100, 34); "
        "delete the manifest.json above it and run harness prepare again"
    )


@pytest.mark.parametrize("content", [None, b"", b"\x93NUMPY\x01\x00"], ids=["missing", "empty", "broken off"])
def test_an_array_that_cannot_be_read_is_rejected(prepared_dir, content):
    path = prepared_dir / "Session1/mocap.npy"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FeatureError) as caught:
        FeatureStore.open(prepared_dir).load(FIRST)
    assert str(caught.value).startswith(f"{str(path)!r}: cannot be read (")
    assert str(caught.value).endswith("; delete the manifest.json above it and run harness prepare again")


def test_pickled_objects_are_never_read(prepared_dir):
    path = prepared_dir / "Session1/speech.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(FeatureError, match="cannot be read"):
        FeatureStore.open(prepared_dir).load(FIRST)


def test_a_list_of_another_length_is_rejected(prepared_dir):
    path = prepared_dir / "Session1/utterances.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(FeatureError) as caught:
        FeatureStore.open(prepared_dir).utterances([1])
    assert str(caught.value) == (
        f"{str(path)!r}: found 3 utterances; the manifest expects 4; "
        "delete the manifest.json above it and run harness prepare again"
    )


def test_what_a_system_needs_and_the_corpus_lacks_is_one_sentence(prepared):
    store = FeatureStore.open(prepared)
    require_modalities(store, "fusion", ["speech", "text", "mocap"])
    manifest = replace(Manifest.read(prepared), modalities=("speech", "text"), corpus_path="the corpus")
    cut = replace(manifest, modalities=(), speech_settings=SpeechSettings(source=SpeechSource.DIALOGUE_LEFT))
    with pytest.raises(FeatureError) as caught:
        require_modalities(FeatureStore(prepared, cut), "speech4", ["speech"])
    assert str(caught.value) == (
        "system 'speech4' needs speech from recordings of whole dialogues, which the corpus at 'the corpus' "
        "does not have; expected a system that reads what it has"
    )
    with pytest.raises(FeatureError) as caught:
        require_modalities(FeatureStore(prepared, manifest), "mocap1", ["mocap"])
    assert str(caught.value) == (
        "system 'mocap1' needs mocap, which the corpus at 'the corpus' does not have; expected a "
        "system that reads what it has"
    )


def test_motion_beside_short_frames_is_left_out_not_lacking(prepared):
    settings = SPEECH_VARIANTS["frames"]
    manifest = replace(Manifest.read(prepared), modalities=("speech", "text"), speech_settings=settings)
    with pytest.raises(FeatureError) as caught:
        require_modalities(FeatureStore(prepared, manifest), "fusion", ["text", "speech", "mocap"])
    assert str(caught.value) == (
        f"system 'fusion' needs mocap, which {str(prepared)!r} leaves out beside frames of speech; expected features "
        "of another kind"
    )


def test_a_corpus_without_one_motion_stream_is_refused_to_the_systems_that_read_it(tmp_path):
    layout = write_tiny_corpus(tmp_path / "corpus")
    for path in layout.root.glob("Session*/dialog/MOCAP_head/*.txt"):
        path.unlink()
    prepare_corpus(layout.root, tmp_path / "prepared", SpeechSettings(), jobs=1)
    store = FeatureStore.open(tmp_path / "prepared")
    assert store.modalities == ("speech", "text", "mocap")
    assert store.manifest.mocap_streams == (MocapStream.FACE, MocapStream.HAND)
    require_modalities(store, "face1", ["mocap"], [MocapStream.FACE])
    require_modalities(store, "hand1", ["mocap"], [MocapStream.HAND])
    require_modalities(store, "speech_text", ["text", "speech"])
    for system_name, modalities, streams in (
        ("head2", ["mocap"], [MocapStream.HEAD]),
        ("mocap1", ["mocap"], tuple(MocapStream)),
        ("fusion", ["text", "speech", "mocap"], tuple(MocapStream)),
    ):
        with pytest.raises(FeatureError) as caught:
            require_modalities(store, system_name, modalities, streams)
        assert str(caught.value) == (
            f"system {system_name!r} needs the head's motion, which the corpus at {str(layout.root)!r} "
            "does not have; expected a system that reads what it has"
        )
