"""A model of one's own: what is refused, what is known of it without running its file, and how it is built."""

import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import keras
import numpy as np
import pytest

from harness.codec import CodecError
from harness.errors import ExperimentFileError
from harness.models.build import build_model
from harness.models.hyperparameters import OwnHyperparameters
from harness.models.inputs import InputShapes
from harness.models.own import OwnSystem, describe_function, describe_source
from harness.models.systems import find_system, read_hyperparameters, read_system
from harness.splits.protocol import PROTOCOLS

SOURCE = """
from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import keras
from keras import layers

from harness.models.hyperparameters import OwnHyperparameters
from harness.models.inputs import InputShapes, speech_input
from harness.models.layers import MeanOfSteps


class Activation(StrEnum):
    RELU = "relu"
    TANH = "tanh"


@dataclass(frozen=True)
class Mine(OwnHyperparameters):
    batch_size: int = 8
    units: int = 4
    shift: float = -0.5
    activation: Activation = Activation.TANH
    noise: float = 0.0


def build(hyperparameters: Mine, shapes: InputShapes) -> keras.Model:
    assert isinstance(hyperparameters.activation, Activation)
    speech = speech_input(shapes, hyperparameters)
    vector = MeanOfSteps()(speech.output, speech.mask)
    hidden = layers.Dense(hyperparameters.units, activation=str(hyperparameters.activation))(vector)
    return keras.Model(speech.inputs, layers.Dense(4, activation="softmax")(hidden))
"""
LAST = "return keras.Model(speech.inputs, layers.Dense(4, activation=\"softmax\")(hidden))"
PROTOCOL = PROTOCOLS["paper"]


def system_of(source=SOURCE, **known):
    own = describe_source("mine.py", "build", source, **known)
    return find_system(own.name, own.to_plain())


def test_everything_is_known_of_a_function_without_running_its_file_again():
    system = system_of()
    assert (system.name, system.modalities, system.own.file_name) == ("mine.py:build", ("speech",), "mine.py")
    found = {each.name: each.default for each in fields(system.hyperparameters)}
    inherited = {each.name for each in fields(OwnHyperparameters)}
    assert set(found) == inherited | {"units", "shift", "activation", "noise"}
    assert (found["batch_size"], found["units"], found["shift"], found["activation"]) == (8, 4, -0.5, "tanh")
    changed = {**system.own.to_plain(), "source": SOURCE + "raise SystemExit\n"}
    with pytest.raises(ExperimentFileError, match="its source has the SHA-256 "):
        find_system("mine.py:build", changed)
    with pytest.raises(CodecError):
        OwnSystem.from_plain({"file_name": "mine.py"})


def test_its_hyperparameters_are_checked_like_any_others():
    system = system_of()
    point = read_hyperparameters(system, {"units": 6, "shift": -2, "activation": "relu"}, PROTOCOL)
    assert (point.units, point.shift, point.activation, point.rate) == (6, -2.0, "relu", 0.001)
    for values, sentence in (
        ({"unit": 6}, "unknown hyperparameter of system 'mine.py:build': 'unit'"),
        ({"units": 6.5}, "hyperparameter 'units' is 6.5; expected an integer"),
        ({"activation": "gelu"}, "unknown value of hyperparameter 'activation': 'gelu'; expected one of"),
        ({"batch_size": 0}, "hyperparameter 'batch_size' is 0; expected at least 1"),
        ({"learning_rate": -1}, "hyperparameter 'learning_rate' is -1; expected at least 1e-12"),
        ({"noise": -1}, "hyperparameter 'noise' is -1; expected at least 0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            read_hyperparameters(system, values, PROTOCOL)


@pytest.mark.parametrize("has_masks", [True, False])
def test_it_is_built_with_the_hyperparameters_of_a_trial(has_masks):
    system = system_of(has_masks=has_masks)
    point = read_hyperparameters(system, {"units": 6, "noise": 0.5}, PROTOCOL)
    model = build_model(system, point, InputShapes(speech_columns=3, has_masks=has_masks))
    assert [tensor.name for tensor in model.inputs] == ["speech", *(["speech_lengths"] if has_masks else [])]
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [6, 4]
    assert any(isinstance(layer, keras.layers.GaussianNoise) for layer in model.layers)


@pytest.mark.timeout(300)
def test_a_saved_model_is_loaded_where_its_file_is_not_known(tmp_path):
    system = system_of()
    point = read_hyperparameters(system, {}, PROTOCOL)
    model = build_model(system, point, InputShapes(speech_columns=3))
    model.save(tmp_path / "model.keras", include_optimizer=False)
    frames = np.random.default_rng(0).normal(size=(2, 7, 3)).astype(np.float32)
    np.savez(tmp_path / "inputs.npz", speech=frames, speech_lengths=np.array([7, 3], np.int32))
    code = """
import sys
import numpy as np
from pathlib import Path
from harness.models.network_file import load_network
inputs = dict(np.load("inputs.npz"))
np.save("answers.npy", load_network(Path("."))(inputs, training=False))
assert not [name for name in sys.modules if name.startswith("own_")]
"""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=environment)
    expected = model(dict(np.load(tmp_path / "inputs.npz")), training=False)
    np.testing.assert_allclose(np.load(tmp_path / "answers.npy"), expected, atol=1e-6)


def test_words_motion_and_a_file_in_place_of_words_are_inputs_too():
    source = SOURCE.replace("speech_input", "text_input").replace("noise: float = 0.0", "embedding_dimension: int = 5")
    assert system_of(source).modalities == ("text",)
    assert system_of(source, has_words=False).modalities == ("text",)
    of_motion = SOURCE.replace("speech = speech_input(shapes, hyperparameters)", MOTION).replace(
        "speech_input", "mocap_steps"
    )
    assert system_of(of_motion).modalities == ("mocap",)


MOTION = """
    from harness.corpus.layout import MocapStream

    speech = mocap_steps(shapes, tuple(MocapStream), hyperparameters)
""".strip()
SUBCLASS = """
    class Net(keras.Model):
        def call(self, inputs):
            return layers.Dense(4, activation="softmax")(inputs)

    return Net()
"""
OWN_LAYER = """
    @keras.saving.register_keras_serializable()
    class Twice(layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    return keras.Model(speech.inputs, layers.Dense(4, activation="softmax")(Twice()(hidden)))
"""
LAMBDA = "return keras.Model(speech.inputs, layers.Dense(4, activation='softmax')(layers.Lambda(lambda x: x)(hidden)))"
TWO = "return keras.Model(speech.inputs, [layers.Dense(4)(hidden), layers.Dense(3)(hidden)])"
OTHER_INPUT = "return keras.Model(keras.Input((4,), name='audio'), layers.Dense(4, activation='softmax')(hidden))"
REFUSED = {
    "no Python": ("    units: int = 4", "    units: int =", "line 23 of mine.py: invalid syntax; expect"),
    "a module that is not there": ("import keras\n", "import kerras\n", "raised ModuleNotFoundError: No module"),
    "an exit": ("class Activation", "raise SystemExit(3)\nclass Activation", "raised SystemExit: 3; expected code"),
    "another name": ("def build(", "def built(", "mine.py has no function 'build'; expected one of ['built']"),
    "one parameter": ("Mine, shapes: InputShapes)", "Mine)", "takes (hyperparameters: 'Mine'); expected two"),
    "no annotation": ("hyperparameters: Mine", "hyperparameters", "of function 'build' has no annotation; expected"),
    "a number": ("hyperparameters: Mine", "hyperparameters: int", "is annotated with int; expected a class with @data"),
    "a name of nothing": ("hyperparameters: Mine", "hyperparameters: Your", "raised NameError: name 'Your' is not"),
    "no dataclass": ("@dataclass(frozen=True)\n", "", "is annotated with Mine; expected a class with @dataclass(froz"),
    "another base": ("Mine(OwnHyperparameters)", "Mine", "is annotated with Mine; expected a class with @dataclass"),
    "a text": ("units: int = 4", "units: str = 'four'", "default of hyperparameter 'units' is 'four'; expected an int"),
    "a truth value": ("units: int = 4", "units: bool = True", "default of hyperparameter 'units' is True; expected"),
    "an infinity": ("shift: float = -0.5", "shift: float = float('inf')", "hyperparameter 'shift' is inf; expected"),
    "its function": ("speech = ", "raise KeyError('x')\n    speech = ", "line 31 of mine.py raised KeyError: 'x'; exp"),
    "nothing": (LAST, "pass", "returned NoneType; expected keras.Model(inputs, outputs)"),
    "a class of its own": (LAST, SUBCLASS.strip(), "returned Net; expected keras.Model(inputs, outputs), and no class"),
    "a layer of its own": (LAST, OWN_LAYER.strip(), "its model cannot be loaded without the code of its file ("),
    "a lambda": (LAST, LAMBDA, "its model cannot be loaded without the code of its file ("),
    "five classes": ("Dense(4,", "Dense(5,", "answers with the shapes [(None, 5)]; expected one, (None, 4): the prob"),
    "two outputs": (LAST, TWO, "answers with the shapes [(None, 4), (None, 3)]; expected one, (None, 4)"),
    "no softmax": ('Dense(4, activation="softmax")', "Dense(4)", "expected 4 probabilities of sum 1: let a layer"),
    "another input": (
        LAST,
        "audio = keras.Input((4,), name='audio'); "
        "return keras.Model(audio, layers.Dense(4, activation='softmax')(audio))",
        "its model has the inputs ['audio']; expected names among ['speech', 'text', 'mocap', 'speech_lengths', 'mocap",
    ),
    "lengths alone": (
        LAST,
        "lengths = keras.Input((1,), name='speech_lengths'); "
        "return keras.Model(lengths, layers.Dense(4, activation='softmax')(lengths))",
        "its model has the inputs ['speech_lengths']; expected names among",
    ),
}


@pytest.mark.parametrize(("right", "wrong", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_trained_is_refused_in_one_sentence(right, wrong, sentence):
    assert right in SOURCE
    with pytest.raises(ExperimentFileError) as refused:
        describe_source("mine.py", "build", SOURCE.replace(right, wrong))
    said = str(refused.value)
    assert said.startswith("system 'mine.py:build': ") and sentence in said and "\n" not in said, said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mine.py", "system 'mine.py': names no function of a file; expected FILE.py:FUNCTION, such as 'mine"),
        ("mine.py:", "system 'mine.py:': names no function of a file"),
        ("mine.py:build it", "system 'mine.py:build it': names no function of a file"),
        ("gone.py:build", "system 'gone.py:build': its file '{}/gone.py' cannot be read (No such file or directory)"),
        ("latin.py:build", "system 'latin.py:build': '{}/latin.py' is not UTF-8; expected a Python file in UTF-8"),
    ],
)
def test_a_file_that_is_not_there_is_refused(text, sentence, tmp_path: Path):
    (tmp_path / "latin.py").write_bytes("# Größe".encode("latin-1"))
    with pytest.raises(ExperimentFileError) as refused:
        read_system(text, tmp_path)
    assert str(refused.value).startswith(sentence.format(tmp_path))


@pytest.mark.timeout(300)
def test_a_file_is_run_in_a_process_of_its_own(tmp_path: Path):
    (tmp_path / "beside.py").write_text("")
    (tmp_path / "mine.py").write_text(SOURCE + "print('{', flush=True)\n")
    assert describe_function("mine.py:build", tmp_path).sha256 != system_of().own.sha256
    (tmp_path / "mine.py").write_text("import os\nos._exit(7)\n")
    with pytest.raises(ExperimentFileError, match="ended with exit code 7 and said 'nothing'; expected a file"):
        describe_function("mine.py:build", tmp_path)
    (tmp_path / "mine.py").write_text("import beside\n")
    with pytest.raises(ExperimentFileError, match="line 1 of mine.py raised ModuleNotFoundError: No mod"):
        describe_function("mine.py:build", tmp_path)


def test_a_model_that_reads_something_else_at_another_point_is_refused():
    either = "(text_input if hyperparameters.units == 5 else speech_input)(shapes, hyperparameters)"
    source = (
        SOURCE.replace("speech_input(shapes, hyperparameters)", either)
        .replace("import InputShapes, speech_input", "import InputShapes, speech_input, text_input")
        .replace("noise: float = 0.0", "embedding_dimension: int = 5")
    )
    system = system_of(source)
    point = read_hyperparameters(system, {"units": 5}, PROTOCOL)
    embedding = np.zeros((9, 5), np.float32)
    with pytest.raises(ExperimentFileError, match="reads text with the hyperparameters of this trial; expected speech"):
        build_model(system, point, InputShapes(num_word_ids=9, embedding=embedding))


def test_a_record_holds_plain_values():
    own = system_of().own
    assert OwnSystem.from_plain(json.loads(json.dumps(own.to_plain()))) == own
    assert replace(own, function="other").name == "mine.py:other"
