"""A model of one's own: what is refused, what is known of it without running its file, and how it is built."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import fields, replace
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from harness.cli.systems import systems
from harness.codec import CodecError
from harness.errors import ExperimentFileError, ModelError
from harness.models.build import build_model
from harness.models.hyperparameters import OwnHyperparameters
from harness.models.inputs import InputShapes
from harness.models.network_file import load_network, save_network
from harness.models.own import OwnHyperparameter, OwnSystem, describe_function, describe_source
from harness.models.systems import find_system, read_hyperparameters, read_system
from harness.search.experiment_file import read_experiment_file
from harness.splits.protocol import PROTOCOLS
from tests.cli.commands import command
from tests.search.searches import environment, wait_until, wait_until_gone

REPOSITORY = Path(__file__).parents[2]
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
    with pytest.raises(ExperimentFileError, match="system 'other.py:build': what is recorded of it is of 'mine.py:bu"):
        find_system("other.py:build", system.own.to_plain())
    renamed = replace(system.own, hyperparameters=(OwnHyperparameter("my filters", 4),))
    with pytest.raises(ExperimentFileError, match="its recorded hyperparameters make no dataclass .Field"):
        find_system("mine.py:build", renamed.to_plain())
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


def test_a_point_that_its_dataclass_refuses_is_one_sentence():
    check = "noise: float = 0.0\n\n    def __post_init__(self):\n        assert self.units < 5, 'too many units'"
    system = system_of(SOURCE.replace("noise: float = 0.0", check))
    with pytest.raises(ExperimentFileError, match="line 29 of mine.py raised AssertionError: too many units; expected"):
        build_model(system, read_hyperparameters(system, {"units": 5}, PROTOCOL), InputShapes(speech_columns=3))


@pytest.mark.parametrize("has_masks", [True, False])
def test_it_is_built_with_the_hyperparameters_of_a_trial(has_masks):
    system = system_of(has_masks=has_masks)
    point = read_hyperparameters(system, {"units": 6, "noise": 0.5}, PROTOCOL)
    model = build_model(system, point, InputShapes(speech_columns=3, has_masks=has_masks))
    assert [tensor.name for tensor in model.inputs] == ["speech", *(["speech_lengths"] if has_masks else [])]
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [6, 4]
    assert any(isinstance(layer, keras.layers.GaussianNoise) for layer in model.layers)


def test_a_layer_made_outside_the_function_is_of_one_model_alone():
    outside = "ANSWER = layers.Dense(4, activation='softmax')\n\n\ndef build("
    source = SOURCE.replace("def build(", outside).replace(LAST, "return keras.Model(speech.inputs, ANSWER(hidden))")
    system = system_of(source)
    point = read_hyperparameters(system, {}, PROTOCOL)
    one, other = (build_model(system, point, InputShapes(speech_columns=3)) for _ in range(2))
    assert len(one.variables) == 4
    assert not {id(each) for each in one.variables} & {id(each) for each in other.variables}


def test_under_a_protocol_that_pads_a_length_may_be_fixed():
    fixed = "text = keras.Input((shapes.max_words,), name='text', dtype='int32')\n    hidden = layers.Flatten()(text)"
    source = SOURCE.replace("speech = speech_input(shapes, hyperparameters)", fixed).replace(
        "vector = MeanOfSteps()(speech.output, speech.mask)", "vector = hidden"
    )
    source = source.replace("keras.Model(speech.inputs,", "keras.Model(text,")
    assert system_of(source, has_masks=False).modalities == ("text",)
    with pytest.raises(ExperimentFileError, match="has the shape .batch, 500.; expected .batch, None.; take sizes"):
        system_of(source)


def test_a_number_has_the_type_of_its_annotation():
    system = system_of(SOURCE.replace("shift: float = -0.5", "shift: float = 0"))
    assert read_hyperparameters(system, {"shift": 0.5}, PROTOCOL).shift == 0.5


def test_a_byte_order_mark_is_no_part_of_the_code_but_of_the_file():
    own = describe_source("mine.py", "build", "\ufeff" + SOURCE)
    assert own.sha256 == hashlib.sha256(b"\xef\xbb\xbf" + SOURCE.encode()).hexdigest()
    system = find_system(own.name, own.to_plain())
    build_model(system, read_hyperparameters(system, {}, PROTOCOL), InputShapes(speech_columns=3))


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
OWN_FUNCTION = """
    def squash(x):
        return keras.ops.softmax(x)

    return keras.Model(speech.inputs, layers.Dense(4, activation=squash)(hidden))
""".strip()
PARTIAL = """
    from functools import partial

    softmax = partial(keras.activations.softmax, axis=-1)
    return keras.Model(speech.inputs, layers.Dense(4, activation=softmax)(hidden))
"""
WRAPPED = """
    class Twice(layers.Layer):
        def call(self, inputs):
            return 2 * inputs

        def compute_output_shape(self, input_shape):
            return input_shape

    steps = layers.Reshape((1, 4))(hidden)
    return keras.Model(speech.inputs, layers.Flatten()(layers.TimeDistributed(Twice())(steps)))
"""
TWO = "return keras.Model(speech.inputs, [layers.Dense(4)(hidden), layers.Dense(3)(hidden)])"
OTHER_INPUT = "return keras.Model(keras.Input((4,), name='audio'), layers.Dense(4, activation='softmax')(hidden))"
REFUSED = {
    "no Python": ("    units: int = 4", "    units: int =", "line 23 of mine.py: invalid syntax; expect"),
    "a module that is not there": ("import keras\n", "import kerras\n", "raised ModuleNotFoundError: No module"),
    "a second file": ("import keras\n", "from .blocks import x\n", "expected the module of an installed package: of "),
    "an exit": ("class Activation", "raise SystemExit(3)\nclass Activation", "raised SystemExit: 3; expected code"),
    "another name": ("def build(", "def built(", "mine.py has no function 'build'; expected one of ['built']"),
    "one parameter": ("Mine, shapes: InputShapes)", "Mine)", "takes (hyperparameters: 'Mine'); expected two"),
    "no annotation": ("hyperparameters: Mine", "hyperparameters", "of function 'build' has no annotation; expected"),
    "a number": ("hyperparameters: Mine", "hyperparameters: int", "is annotated with int; expected a class with @data"),
    "a name of nothing": ("hyperparameters: Mine", "hyperparameters: Your", "raised NameError: name 'Your' is not"),
    "no dataclass": ("@dataclass(frozen=True)\n", "", "is annotated with Mine; expected a class with @dataclass(froz"),
    "another base": ("Mine(OwnHyperparameters)", "Mine", "is annotated with Mine; expected a class with @dataclass"),
    "a text": ("units: int = 4", "units: str = 'four'", "default of hyperparameter 'units' is 'four'; expected an int"),
    "nothing by default": ("units: int = 4", "units: int | None = None", "'units' is None; expected an integer"),
    "several numbers": ("units: int = 4", "units: tuple = (4, 5)", "'units' is (4, 5); expected an integer"),
    "a truth value": ("units: int = 4", "units: bool = True", "default of hyperparameter 'units' is True; expected"),
    "an infinity": ("shift: float = -0.5", "shift: float = float('inf')", "hyperparameter 'shift' is inf; expected"),
    "its function": ("speech = ", "raise KeyError('x')\n    speech = ", "line 31 of mine.py raised KeyError: 'x'; exp"),
    "nothing": (LAST, "pass", "returned NoneType; expected keras.Model(inputs, outputs)"),
    "a class of its own": (LAST, SUBCLASS.strip(), "returned Net; expected keras.Model(inputs, outputs), and no class"),
    "a layer of its own": (LAST, OWN_LAYER.strip(), "layer 'twice' of its model is a Twice, whose code a saved"),
    "a lambda": (LAST, LAMBDA, "of its model is a Lambda, whose code a saved model does not hold"),
    "a function of its own": (LAST, OWN_FUNCTION, "of its model has its 'activation' from the file itself, whose code"),
    "what Keras cannot save": (LAST, PARTIAL.strip(), "of its file (Cannot serialize object functools.partial("),
    "a property": ("units: int = 4", "rate: int = 4", "hyperparameter 'rate' has the name of something that this pack"),
    "another property": ("units: int = 4", "is_fitted_at_once: int = 4", "hyperparameter 'is_fitted_at_once' has the "),
    "a method": ("units: int = 4", "chosen: int = 4", "hyperparameter 'chosen' has the name of something that this pa"),
    "a lexicon": ("units: int = 4", "lexicon: Activation = Activation.TANH", "hyperparameter 'lexicon' has the name "),
    "another optimiser": (
        "units: int = 4",
        "optimizer: Activation = Activation.TANH",
        "the default of hyperparameter 'optimizer' is Activation.TANH; expected a member of Optimizer, 'adam' or 'adad",
    ),
    "a text for a choice": ("units: int = 4", "optimizer: str = 'sgd'", "'optimizer' is 'sgd'; expected a member of "),
    "a part of a batch": ("batch_size: int = 8", "batch_size: float = 8.5", "'batch_size' is 8.5; expected an int"),
    "a part of a unit": ("units: int = 4", "units: int = 4.5", "'units' is 4.5; expected an integer, by its"),
    "a huge number": ("units: int = 4", "units: int = 10**400", "the default of hyperparameter 'units' is 1000000000"),
    "a field that is not given": (
        "units: int = 4",
        "from dataclasses import field\n    units: int = field(default=4, init=False)",
        "raised TypeError: Mine.__init__() got an unexpected keyword argument 'units'; expected code that runs",
    ),
    "a check of its own": (
        "noise: float = 0.0",
        "noise: float = 0.0\n\n    def __post_init__(self):\n        raise ValueError(self.units)",
        "line 29 of mine.py raised ValueError: 4; expected code that runs",
    ),
    "five classes": ("Dense(4,", "Dense(5,", "with the shape (batch, 5); expected one output, (batch, 4): the prob"),
    "a scalar": (
        LAST,
        "return keras.Model(speech.inputs, keras.ops.mean(speech.output))",
        "answers with the shape (); expected one output, (batch, 4)",
    ),
    "two outputs": (LAST, TWO, "with the shape (batch, 4) and (batch, 3); expected one output, (batch, 4)"),
    "no softmax": ('Dense(4, activation="softmax")', "Dense(4)", "expected 4 probabilities of sum 1: let a layer"),
    "no number for one utterance": (
        'layers.Dense(4, activation="softmax")(',
        'layers.Dense(4, activation="softmax")(keras.ops.log(keras.ops.relu(1.0 + 0.0 * hidden)) / 0.0 + ',
        "are [nan, nan, nan, nan]; expected 4 probabilities of sum 1: look for a logarithm, a root or a quotient that",
    ),
    "a regulariser": (
        "layers.Dense(hyperparameters.units,",
        "layers.Dense(hyperparameters.units, kernel_regularizer='l2',",
        "of its model has the kernel_regularizer, which no training here reads; expected none: weight_decay is a hype",
    ),
    "a fixed length": (
        LAST,
        "frames = keras.Input((shapes.speech_frames, shapes.speech_columns), name='speech'); "
        "return keras.Model(frames, layers.Dense(4, activation='softmax')(layers.Flatten()(frames)))",
        "input 'speech' of its model has the shape (batch, 100, 34); expected (batch, None, 34); take sizes from",
    ),
    "a fixed batch": (
        LAST,
        "frames = keras.Input(batch_shape=(8, None, 34), name='speech'); "
        "return keras.Model(frames, layers.Dense(4, activation='softmax')(MeanOfSteps()(frames)))",
        "input 'speech' of its model has the shape (8, None, 34); expected (batch, None, 34); take sizes from",
    ),
    "lengths in columns": (
        LAST,
        "lengths = keras.Input((1,), name='speech_lengths'); "
        "return keras.Model([speech.inputs['speech'], lengths], layers.Dense(4, activation='softmax')(lengths))",
        "input 'speech_lengths' of its model has the shape (batch, 1); expected (batch); take sizes from the fun",
    ),
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
    ("code", "sentence"),
    [
        (OWN_LAYER, "layer 'twice.*' of its model is a Twice, whose"),
        (WRAPPED, "layer 'twice.*' of its model is a Twice, whose"),
        (LAMBDA, "layer 'lambda.*' of its model is a Lambda, whose"),
        (OWN_FUNCTION, "of its model has its 'activation' from the file itself"),
    ],
    ids=["a layer", "a layer in another", "a lambda", "a function"],
)
def test_a_layer_of_its_own_is_refused_at_every_point(code, sentence):
    body = textwrap.indent(textwrap.dedent(f"    {code.strip()}"), "        ")
    system = system_of(SOURCE.replace(f"    {LAST}", f"    if hyperparameters.shift > 0:\n{body}\n    {LAST}"))
    with pytest.raises(ExperimentFileError, match=sentence):
        build_model(system, read_hyperparameters(system, {"shift": 1}, PROTOCOL), InputShapes(speech_columns=3))


def test_the_layer_that_a_file_lacks_is_named(tmp_path):
    class Unknown(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    inputs = keras.Input((4,))
    save_network(tmp_path, keras.Model(inputs, Unknown()(inputs)))
    with pytest.raises(ModelError, match="cannot be loaded \\(Could not locate class 'Unknown'"):
        load_network(tmp_path)


@pytest.mark.timeout(300)
def test_a_default_out_of_its_range_is_refused_before_the_first_trial(tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE.replace("batch_size: int = 8", "batch_size: int = 0"))
    values = {
        **{"name": "mine", "system": "mine.py:build", "script": str(REPOSITORY / "jobs/trial.py"), "resource": "cpu"},
        **{"target": "max", "proposer": "random", "n_samples": 1, "n_parallel": 1, "max_epochs": 1, "random_seed": 1},
        "parameter_config": [{"name": "units", "type": "int", "range": [2, 4]}],
    }
    (tmp_path / "experiment.json").write_text(json.dumps(values))
    with pytest.raises(ExperimentFileError) as refused:
        read_experiment_file(tmp_path / "experiment.json")
    assert str(refused.value) == (
        "experiment file 'experiment.json': system 'mine.py:build': hyperparameter 'batch_size' is 0; expected at "
        "least 1"
    )


@pytest.mark.timeout(300)
def test_a_model_of_a_file_in_place_of_words_is_shown(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(SOURCE.replace("speech_input", "text_input"))
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(systems, ["mine.py:build"], catch_exceptions=False)
    assert shown.exit_code == 0 and "Reads text." in shown.output
    with pytest.raises(ExperimentFileError, match="its file 'gone.py' cannot be read|'.*/gone.py' cannot be read"):
        CliRunner().invoke(systems, ["gone.py:build"], catch_exceptions=False)


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
    with pytest.raises(ExperimentFileError, match="ended with exit code 7 and said nothing; expected a file"):
        describe_function("mine.py:build", tmp_path)
    # TensorFlow's lines, which it writes when it is imported, are nothing that the file says.
    (tmp_path / "mine.py").write_text("import os\nimport keras\nos._exit(7)\n")
    with pytest.raises(ExperimentFileError, match="ended with exit code 7 and said nothing; expected a file"):
        describe_function("mine.py:build", tmp_path)
    (tmp_path / "mine.py").write_text("def build(:\0\n")
    with pytest.raises(ExperimentFileError, match="build': mine.py: source code .* null bytes; expected Python"):
        describe_function("mine.py:build", tmp_path)
    (tmp_path / "mine.py").write_text("import beside\n")
    with pytest.raises(ExperimentFileError, match="line 1 of mine.py raised ModuleNotFoundError: No mod"):
        describe_function("mine.py:build", tmp_path)


#: Starts a process that never ends and keeps all streams open, and writes both pids.
STARTING = """
import os, subprocess, sys, time
started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
with open({path!r}, "w") as stream:
    stream.write(f"{{os.getpid()}} {{started.pid}}\\n")
"""


def write_starting(folder: Path, then: str) -> Path:
    """Write a file that starts a process, and return the path of the file that will have both pids."""
    (folder / "mine.py").write_text(STARTING.format(path=str(folder / "pids")) + then)
    return folder / "pids"


@pytest.mark.timeout(300)
def test_a_file_that_never_ends_is_ended_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("harness.models.own._MOST_SECONDS", 5.0)
    pids = write_starting(tmp_path, "time.sleep(1000)\n")
    with pytest.raises(ExperimentFileError, match="mine.py' was still running after 5 s, and was ended; expected a "):
        describe_function("mine.py:build", tmp_path)
    wait_until_gone(map(int, pids.read_text().split()))


@pytest.mark.timeout(300)
def test_nobody_waits_for_what_a_file_started_and_it_is_ended(tmp_path: Path):
    pids = write_starting(tmp_path, "os._exit(7)\n")
    with pytest.raises(ExperimentFileError, match="ended with exit code 7 and said nothing; expected a file"):
        describe_function("mine.py:build", tmp_path)
    wait_until_gone(map(int, pids.read_text().split()))
    pids = write_starting(tmp_path, SOURCE.replace("from __future__ import annotations", ""))
    assert describe_function("mine.py:build", tmp_path).modalities == ("speech",)
    wait_until_gone(map(int, pids.read_text().split()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_file_that_never_ends_is_ended_with_the_command(number: signal.Signals, tmp_path: Path):
    pids = write_starting(tmp_path, "time.sleep(1000)\n")
    caller = subprocess.Popen(
        command("systems", "mine.py:build"), cwd=tmp_path, env=environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"))
    caller.send_signal(number)
    assert caller.wait(30) == (130 if number in (signal.SIGINT, signal.SIGTERM) else -number)
    wait_until_gone(map(int, pids.read_text().split()))


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
