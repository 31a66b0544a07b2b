"""The parsers of prepared features and of saved models: what a user may have copied from another machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.fuzz_corpus import CORPUS_PARSERS
from benchmarks.fuzz_parsers import Check, Parser, promise
from benchmarks.fuzz_search import SEARCH_PARSERS

SESSION = 1


def _prepare(folder: Path, speech: str = "short-term") -> Path:
    """Prepare one dialogue of a synthetic corpus in ``folder``; return its part."""
    import shutil

    from harness.corpus.layout import CorpusLayout
    from harness.corpus.synthetic import SyntheticSettings, write_synthetic
    from harness.features.prepare import prepare_corpus
    from harness.features.speech import SPEECH_VARIANTS

    corpus = folder / "corpus"
    write_synthetic(corpus, SyntheticSettings(scale=0.01, mocap_rate=2.0, seconds_per_utterance=0.5))
    layout = CorpusLayout(corpus)
    kept = layout.dialogue_ids(SESSION)[0]
    for session in layout.sessions():
        for dialogue_id in layout.dialogue_ids(session):
            if dialogue_id != kept:
                layout.annotation_path(dialogue_id).unlink()
        if session != SESSION:
            shutil.rmtree(corpus / f"Session{session}")
    prepare_corpus(corpus, folder / "prepared", replace(SPEECH_VARIANTS[speech], max_frames=2), jobs=1)
    return next((folder / "prepared" / "parts").glob(f"{kept}.*.npz"))


def _manifest_seeds(folder: Path) -> list[bytes]:
    # The first is of the arrays that stay there; the second is of frames without motion.
    _prepare(folder / "frames", "frames")
    _prepare(folder)
    return [(place / "prepared" / "manifest.json").read_bytes() for place in (folder, folder / "frames")]


def _load_manifest() -> Check:
    from harness.features.store import FeatureStore, require_modalities

    def check(path: Path) -> None:
        store = FeatureStore.open(path.parent)
        promise(all(type(session) is int for session in store.sessions), "a session that is no number")
        require_modalities(store, "fusion", ("speech", "text", "mocap"))
        utterances = store.utterances(store.sessions)
        features = store.load([utterance.utterance_id for utterance in utterances])
        promise(len(features) == len(utterances), "another number of utterances")
        # What the manifest lets through, a trial can compute with.
        rows = range(min(1, len(features)))
        features.speech(rows)
        features.mocap(rows)

    return check


def _list_seeds(folder: Path) -> list[bytes]:
    _prepare(folder)
    lines = (folder / "prepared" / f"Session{SESSION}" / "utterances.jsonl").read_bytes().splitlines(keepends=True)
    return [lines[0], b"".join(lines[:2])]


def _load_list() -> Check:
    from harness.corpus.index import count_by_session
    from harness.features.manifest import read_utterances, utterance_from_json, utterance_to_json

    def check(path: Path) -> None:
        utterances = read_utterances(path)
        count_by_session(utterances)
        for utterance in utterances:
            record = json.loads(json.dumps(utterance_to_json(utterance), allow_nan=False))
            promise(utterance_from_json(record).utterance_id == utterance.utterance_id, "another utterance")
            promise(utterance.transcript is None or isinstance(utterance.transcript, str), "no text")

    return check


def _array_seeds(folder: Path) -> list[bytes]:
    _prepare(folder)
    prepared = folder / "prepared" / f"Session{SESSION}"
    return [(prepared / name).read_bytes() for name in ("mocap_rows.npy", "speech_lengths.npy")]


def _load_array() -> Check:
    import numpy as np

    from harness.features.store import FeatureStore

    def check(path: Path) -> None:
        store = FeatureStore.open(path.parents[1])
        ids = [utterance.utterance_id for utterance in store.utterances([SESSION])]
        promise(store.load(ids).mocap_rows.dtype == np.int64, "another type of numbers")

    return check


def _part_seeds(folder: Path) -> list[bytes]:
    import io

    import numpy as np

    with np.load(_prepare(folder), allow_pickle=False) as part:
        arrays = {name: part[name] for name in part.files}
    arrays |= {name: arrays[name][:1] for name in ("speech_lengths", "mocap", "mocap_empty")}
    arrays["frames"] = arrays["frames"][: arrays["speech_lengths"][0]]
    # One utterance without motion, packed: 160 kB of numbers would be changed and hardly ever a name.
    arrays["mocap"] = np.full_like(arrays["mocap"], np.nan)
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return [stream.getvalue()]


def _load_part() -> Check:
    from harness.features.ingest import has_part, read_arrays, read_record
    from harness.features.mocap import NUM_MOCAP_COLUMNS, NUM_WINDOWS

    def check(path: Path) -> None:
        has_part(path)
        record, arrays = read_record(path), read_arrays(path)
        promise(all(utterance.name.session for utterance in record.utterances), "an utterance of no session")
        shape = (len(arrays.speech_lengths), NUM_WINDOWS, NUM_MOCAP_COLUMNS)
        promise(arrays.mocap.shape == shape and arrays.mocap_empty.shape == shape[:2], "arrays of other shapes")
        promise(int(arrays.speech_lengths.sum()) == len(arrays.frames), "another number of frames")

    return check


def _fitted_seeds(folder: Path) -> list[bytes]:
    from harness.features.fitted import fit_features
    from harness.features.store import FeatureStore
    from harness.splits.protocol import PROTOCOLS

    _prepare(folder)
    store = FeatureStore.open(folder / "prepared")
    features = store.load([utterance.utterance_id for utterance in store.utterances([SESSION])])
    fit_features(features, ("speech", "text", "mocap"), PROTOCOLS["paper"], None, 2, 1).save(folder)
    return [(folder / "fitted.json").read_bytes()]


def _load_fitted() -> Check:
    from harness.features.fitted import FittedFeatures
    from harness.features.store import FeatureStore

    opened = []

    def check(path: Path) -> None:
        if not opened:
            store = FeatureStore.open(path.parent / "prepared")
            opened.append(store.load([utterance.utterance_id for utterance in store.utterances([SESSION])]))
        FittedFeatures.load(path.parent).prepare(opened[0]).batch([0])

    return check


def _model_seeds(folder: Path) -> list[bytes]:
    from harness.features.speech import SpeechSettings
    from harness.final.saved_model import ModelRecord
    from harness.splits.protocol import PROTOCOLS

    ModelRecord(
        **{"system": "fusion", "hyperparameters": {"textlstm": 200}, "protocol": PROTOCOLS["paper"]},
        **{"modalities": ("speech", "text"), "classes": ("ang", "exc", "neu", "sad"), "num_epochs": 3},
        **{"seeds": (1, 2), "speech_settings": SpeechSettings().to_json(), "corpus_hash": "0", "eid": 1},
        **{"is_synthetic": True, "num_train_utterances": 9, "is_fitted_on_test": False, "variant": None},
        **{"trial_index": 2, "versions": {"keras": "3"}, "created_at": "2026-01-01T00:00:00+00:00"},
    ).write(folder)
    return [(folder / "model.json").read_bytes()]


def _load_model() -> Check:
    from harness.final.predict import predict_dialogue
    from harness.final.recorded import Recorded, RecordedTurn
    from harness.final.saved_model import ModelRecord, saved_seeds, seed_dir

    def check(path: Path) -> None:
        record = ModelRecord.read(path.parent)
        promise(all(type(seed) is int for seed in record.seeds), "a seed that is no number")
        promise(all(seed_dir(path.parent, seed).parent == path.parent for seed in record.seeds), "another folder")
        saved_seeds(path.parent, record.seeds)
        # As far as the network itself, which is not there.
        predict_dialogue(path.parent, [RecordedTurn(Recorded(transcript="so what"))])

    return check


def _report_seeds(folder: Path) -> list[bytes]:
    _prepare(folder)
    return [(folder / "prepared" / "ingest.json").read_bytes()]


def _load_report() -> Check:
    from harness.features.report import IngestReport

    def check(path: Path) -> None:
        report = IngestReport.read(path.parent)
        promise(report.num_utterances >= report.num_four_class >= 0, "more of four classes than of all")
        promise(set(report.mocap_streams) <= set(report.num_with_stream), "a stream that is not there")
        promise(report.is_complete in (True, False) and report.irregularities_path.name != "", "no report")

    return check


def _marker_seeds(folder: Path) -> list[bytes]:
    from harness.corpus.synthetic import SyntheticSettings
    from harness.corpus.synthetic.settings import describe

    return [json.dumps(describe(SyntheticSettings(scale=0.01))).encode()]


def _load_marker() -> Check:
    from harness.corpus.synthetic import SyntheticSettings
    from harness.corpus.synthetic.settings import describe, says_the_same

    settings = SyntheticSettings(scale=0.01)

    def check(path: Path) -> None:
        if says_the_same(path, settings):
            promise(json.loads(path.read_bytes()) == describe(settings), "the settings of another corpus")

    return check


FEATURE_PARSERS: Mapping[str, Parser] = {
    "manifest": Parser("prepared/manifest.json", _manifest_seeds, _load_manifest, is_json=True),
    "utterance-list": Parser("utterances.jsonl", _list_seeds, _load_list, is_json=True),
    "array": Parser(f"prepared/Session{SESSION}/mocap_rows.npy", _array_seeds, _load_array),
    "part": Parser("part.npz", _part_seeds, _load_part),
    "fitted": Parser("fitted.json", _fitted_seeds, _load_fitted, is_json=True),
    "model-record": Parser("model.json", _model_seeds, _load_model, is_json=True),
    "ingest-report": Parser("prepared/ingest.json", _report_seeds, _load_report, is_json=True),
    "synthetic-marker": Parser("SYNTHETIC.json", _marker_seeds, _load_marker, is_json=True),
}

#: Every parser by its name.
PARSERS: Mapping[str, Parser] = {**CORPUS_PARSERS, **SEARCH_PARSERS, **FEATURE_PARSERS}
