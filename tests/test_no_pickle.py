"""No file from elsewhere is ever unpickled, and no network runs code of its own."""

import ast
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from harness.errors import FeatureError, HarnessError, ModelError
from harness.features.fitted import fit_features
from harness.features.ingest import read_arrays, read_record
from harness.features.prepare import prepare_corpus
from harness.features.speech import SpeechSettings
from harness.features.store import FeatureStore
from harness.features.text import read_word_vectors
from harness.files import write_digests
from harness.final.saved_model import load_seed, seed_dir
from harness.splits.protocol import PROTOCOLS
from tests.corpus.written import write_tiny_corpus
from tests.test_files import Planted

HARNESS = Path(__file__).parents[1] / "harness"
#: Every call by which some library unpickles a file.
LOADERS = {"pickle.load", "pickle.loads", "np.load", "numpy.load", "joblib.load", "pd.read_pickle", "torch.load"}
LOADERS |= {"KeyedVectors.load", "Word2Vec.load", "shelve.open", "marshal.load", "marshal.loads", "eval", "exec"}


def test_no_module_calls_what_unpickles():
    called = {
        (ast.unparse(node.func), path.name)
        for path in [*HARNESS.rglob("*.py"), HARNESS.parent / "jobs" / "trial.py"]
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
    }
    # A model of one's own is a Python file that its user names, and no file of a model or of results.
    assert {(name, file) for name, file in called if name in LOADERS} == {("exec", "own.py")}
    assert ("keras.saving.load_model", "network_file.py") in called


def test_networks_are_loaded_in_one_place_and_in_safe_mode():
    source = (HARNESS / "models" / "network_file.py").read_text("utf-8")
    (call,) = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("load_model")
    ]
    assert {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}["safe_mode"] == "True"


@pytest.fixture
def prepared_dir(tmp_path):
    layout = write_tiny_corpus(tmp_path / "corpus")
    prepare_corpus(layout.root, tmp_path / "prepared", SpeechSettings(max_frames=4), jobs=1)
    return tmp_path / "prepared"


def load_all(store):
    return store.load([utterance.utterance_id for utterance in store.utterances([1])])


def plant(path, made):
    """Put an array of one object in place of a file, and a bare pickle in place of the next."""
    np.save(path, np.array([Planted(made)], dtype=object), allow_pickle=True)
    yield
    path.write_bytes(pickle.dumps(Planted(made)))
    yield


def test_prepared_arrays_and_parts(prepared_dir, tmp_path):
    made = tmp_path / "made"
    for _ in plant(prepared_dir / "Session1" / "mocap_rows.npy", made):
        with pytest.raises(FeatureError, match="delete the manifest.json above it and run harness prepare again"):
            load_all(FeatureStore.open(prepared_dir))
    (part, _) = sorted((prepared_dir / "parts").glob("*.npz"))
    inside = tmp_path / "inside.npy"
    for _ in plant(inside, made):
        with zipfile.ZipFile(part, "w") as archive:
            for name in ("record", "frames", "speech_lengths", "mocap", "mocap_empty"):
                archive.write(inside, f"{name}.npy")
        for read in (read_record, read_arrays):
            with pytest.raises(FeatureError, match="delete it and run harness prepare again$"):
                read(part)
    assert not made.exists()


def test_what_was_fitted(prepared_dir, tmp_path):
    made, folder = tmp_path / "made", tmp_path / "seed-1" / "fitted"
    features = load_all(FeatureStore.open(prepared_dir))
    fitted = fit_features(features, ("speech",), PROTOCOLS["paper"], None, None, 1)
    fitted.save(folder)
    for _ in plant(folder / "speech_mean.npy", made):
        with pytest.raises(FeatureError, match="train the model again"):
            type(fitted).load(folder)
    fitted.save(folder)
    np.save(folder / "speech_mean.npy", np.zeros(33, np.float32))
    with pytest.raises(FeatureError, match=r"speech_mean is <f4 \(33,\); expected finite <f4 \(34,\)"):
        type(fitted).load(folder)
    record = json.loads((folder / "fitted.json").read_text())
    (folder / "fitted.json").write_text(json.dumps({**record, "arrays": ["../../prepared/Session1/speech"]}))
    with pytest.raises(FeatureError, match="unknown array '../../prepared/Session1/speech'"):
        type(fitted).load(folder)
    assert not made.exists()


def test_word_vectors(tmp_path):
    made = tmp_path / "made"
    for name in ("vectors.txt", "vectors.bin", "vectors.model", "vectors.kv"):
        path = tmp_path / name
        path.write_bytes(pickle.dumps(Planted(made)))
        with pytest.raises(FeatureError, match="word vectors"):
            read_word_vectors(path, ["so"])
    assert not made.exists()


@pytest.mark.parametrize("kind", ["pickle", "empty", "zip of nothing", "lambda", "cut"])
def test_networks(tmp_path, kind):
    import keras

    made = tmp_path / "made"
    path = seed_dir(tmp_path, 1) / "model.keras"
    path.parent.mkdir()
    inputs = keras.Input((2,))
    if kind == "lambda":
        planted = f"__import__('pathlib').Path({str(made)!r}).touch()"
        outputs = keras.layers.Lambda(eval(f"lambda values: values if {planted} else values"))(inputs)
        made.unlink(missing_ok=True)
    else:
        outputs = keras.layers.Dense(1)(inputs)
    keras.Model(inputs, outputs).save(path)
    made.unlink(missing_ok=True)
    content = {"pickle": pickle.dumps(Planted(made)), "empty": b"", "cut": path.read_bytes()[:-40]}
    if kind in content:
        path.write_bytes(content[kind])
    if kind == "zip of nothing":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", "{}")
    # As one who knows how a model's files are checked.
    write_digests(path.parent)
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_seed(tmp_path, 1)
    assert isinstance(caught.value, HarnessError) and "\n" not in str(caught.value)
    assert not made.exists()


@pytest.mark.parametrize("name", ["chain.json", "fitted/turn_model/model.keras", "fitted/dialogues.json"])
def test_a_file_that_was_put_beside_a_network_is_not_loaded(tmp_path, name):
    """What a folder loads is decided by the files that are there."""
    folder = seed_dir(tmp_path, 1)
    (folder / "fitted").mkdir(parents=True)
    (folder / "model.keras").write_bytes(b"saved")
    write_digests(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("{}")
    with pytest.raises(ModelError, match=r"' was added since it was saved \(remove it\); expected the files whose SHA"):
        load_seed(tmp_path, 1)


def test_a_damaged_network_is_one_sentence(tmp_path):
    import keras

    path = seed_dir(tmp_path, 1) / "model.keras"
    path.parent.mkdir()
    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Dense(1)(inputs)).save(path)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    num_refused = 0
    for _ in range(20):
        content = bytearray(whole)
        for place in generator.integers(len(whole), size=4):
            content[place] ^= 255
        path.write_bytes(content)
        write_digests(path.parent)
        with pytest.raises((ModelError, FeatureError)) as caught:
            load_seed(tmp_path, 1)
        num_refused += isinstance(caught.value, ModelError)
        assert "\n" not in str(caught.value)
    # A network whose damage hits nothing that is read goes on to what was fitted with it, which is not there.
    assert num_refused > 10
