"""A model of one's own: a function of a Python file that builds it, read and checked in a process of its own.

The source itself is kept with every trial and every saved model, so that what was searched is what is trained again,
whatever becomes of the file. Its SHA-256 is part of an experiment's identity. No TensorFlow here until a file is run.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import typing
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from enum import StrEnum
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from harness.codec import from_plain, to_plain
from harness.corpus.utterances import CLASSES
from harness.errors import ExperimentFileError, one_line
from harness.files import read_regular
from harness.models.hyperparameters import OwnHyperparameters, is_number

if TYPE_CHECKING:
    import keras

    from harness.models.inputs import InputShapes

#: The text that names a function of a file, e.g. ``models/mine.py:build``.
FUNCTION_PATTERN = r"[^\u0000]*\.py:[A-Za-z_][A-Za-z_0-9]*"
#: What a message says is expected of such a text.
FUNCTION_EXPECTED = "FILE.py:FUNCTION, such as 'mine.py:build'"
#: Runs ``main`` in a process that imports nothing from its current folder, as no trial does.
_COMMAND = ("-P", "-c", "from harness.models.own import main; main()")
#: Seconds after which the process is ended; TensorFlow's import on a busy machine is included.
_MOST_SECONDS = 180.0
#: Lines that TensorFlow writes to standard error when it is imported.
_OF_TENSORFLOW = re.compile(r"^(?:[IWEF]\d{4} |WARNING: All log messages before absl).*", re.MULTILINE)
#: The sizes on which a function is tried out, where no features give them: any will do.
_TRIED_UTTERANCES, _TRIED_WORDS, _TRIED_WORD_IDS, _TRIED_TEXT_COLUMNS = 2, 5, 11, 7
#: Where the layers of this package are that a user's model may have.
_LAYERS_MODULE = "harness.models.layers"
#: Names of hyperparameters that are read of any system that has them, and mean nothing to a user's.
_READ_ELSEWHERE = ("lexicon",)
#: How far the sum of an utterance's probabilities may be from 1: float32 sums of four numbers are far nearer.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class OwnHyperparameter:
    """One field of a user's dataclass.

    Attributes:
        choices: the values of a ``StrEnum``; empty for a number
    """

    name: str
    default: int | float | str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class OwnSystem:
    """A function of a user's file that builds a model, and all that is known of it without running the file.

    Attributes:
        file_name: without its folder
        sha256: of the file
        modalities: that its model reads, by its inputs
        hyperparameters: of its dataclass, inherited ones included
        source: the content of the file
    """

    file_name: str
    function: str
    sha256: str
    modalities: tuple[str, ...]
    hyperparameters: tuple[OwnHyperparameter, ...]
    source: str

    @classmethod
    def from_plain(cls, value: Mapping[str, Any]) -> OwnSystem:
        """Read what ``to_plain`` returned.

        Raises:
            CodecError: it is something else
            ExperimentFileError: the source is not the one of the SHA-256
        """
        own = from_plain(cls, dict(value))
        if hash_source(own.source) != own.sha256:
            raise ExperimentFileError(
                f"system {own.name!r}: its source has the SHA-256 {hash_source(own.source)[:12]}...; expected "
                f"{own.sha256[:12]}..., as it was recorded; search again with `aup experiment.json`"
            )
        return own

    def to_plain(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        value: dict[str, Any] = to_plain(self)
        return value

    @property
    def name(self) -> str:
        """The name of the system in records and messages.

        Example:
            >>> OwnSystem("mine.py", "build", "", (), (), "").name
            'mine.py:build'
        """
        return f"{self.file_name}:{self.function}"

    def stand_in(self) -> type[OwnHyperparameters]:
        """Return a dataclass with the fields of the user's, made without running the file.

        Raises:
            ExperimentFileError: a record that was changed by hand has fields that no dataclass can have
        """
        inherited = {each.name: each.default for each in fields(OwnHyperparameters)}
        own: list[tuple[str, Any, Any]] = []
        try:
            for each in self.hyperparameters:
                known = inherited.get(each.name)
                kind = type(known) if isinstance(known, StrEnum) else _list_enum(each) if each.choices else None
                default = each.default if kind is None else kind(str(each.default))
                if known != default:
                    own.append((each.name, type(default), field(default=default)))
            return make_dataclass("OwnHyperparameters", own, bases=(OwnHyperparameters,), frozen=True)
        # Python's own errors for a name that is no name of a field, and for a value that is none of an enum's.
        except (TypeError, ValueError) as error:
            raise ExperimentFileError(
                f"system {self.name!r}: its recorded hyperparameters make no dataclass ({one_line(str(error)):.200}); "
                "expected them as they were recorded; restore a copy, or search again with `aup experiment.json`"
            ) from None

    def build(self, hyperparameters: OwnHyperparameters, shapes: InputShapes) -> keras.Model:
        """Run the file, and build the model.

        Args:
            hyperparameters: of the dataclass that ``stand_in`` returns

        Raises:
            ExperimentFileError: the function fails, or returns something else than a model of the four classes that
                reads these modalities
        """
        module, function, own_type = _find_function(self.name, self.file_name, self.function, self.source)
        values = {
            each.name: _as_default(getattr(hyperparameters, each.name), each.default) for each in fields(own_type)
        }
        model = _call(self.name, self.file_name, lambda: function(own_type(**values), shapes))
        found = _check_model(self.name, module, model, shapes)
        if found != self.modalities:
            raise ExperimentFileError(
                f"system {self.name!r}: reads {', '.join(found)} with the hyperparameters of this trial; expected "
                f"{', '.join(self.modalities)}, as with its defaults"
            )
        return model


def hash_source(source: str) -> str:
    """Return the SHA-256 of a file's text."""
    return hashlib.sha256(source.encode("utf-8")).hexdigest()


def describe_function(text: str, folder: Path, *, has_masks: bool = True, has_words: bool = True) -> OwnSystem:
    """Run a user's file in a process of its own, which builds the model once and checks it.

    Args:
        text: as the experiment file has it
        folder: where a relative path begins
        has_masks: whether the protocol gives real lengths
        has_words: whether text is words, and not a user's file of features

    Raises:
        ExperimentFileError: one sentence on what is wrong with the file, its function, its dataclass or its model
    """
    if re.fullmatch(FUNCTION_PATTERN, text) is None:
        raise ExperimentFileError(f"system {text!r:.200}: names no function of a file; expected {FUNCTION_EXPECTED}")
    file_text, _, function = text.rpartition(":")
    path = folder / os.path.expanduser(file_text)
    name = f"{path.name}:{function}"
    try:
        source = read_regular(path).decode("utf-8")
    except OSError as error:
        raise ExperimentFileError(
            f"system {name!r}: its file '{path}' cannot be read ({error.strerror}); expected a Python file"
        ) from None
    except UnicodeDecodeError:
        raise ExperimentFileError(f"system {name!r}: '{path}' is not UTF-8; expected a Python file in UTF-8") from None
    request = {
        "file_name": path.name,
        "function": function,
        "source": source,
        "has_masks": has_masks,
        "has_words": has_words,
    }
    exit_code, output, errors = _run_apart(request)
    if exit_code is None:
        raise ExperimentFileError(
            f"system {name!r}: '{path}' was still running after {_MOST_SECONDS:g} s, and was ended; expected a file "
            f"that defines {function!r} at once, and a function that builds a model and returns it"
        )
    try:
        answer = json.loads(output)
    except ValueError:
        written = _OF_TENSORFLOW.sub("", errors.decode("utf-8", "replace"))
        lines = [line for line in written.splitlines() if line.strip()]
        said = f"said {lines[-1].strip()!r:.200}" if lines else "said nothing"
        raise ExperimentFileError(
            f"system {name!r}: the process that ran '{path}' ended with exit code {exit_code} and {said}; "
            f"expected a file that can be run, and then defines {function!r}"
        ) from None
    if "error" in answer:
        raise ExperimentFileError(answer["error"])
    return OwnSystem.from_plain(answer)


def _run_apart(request: Mapping[str, Any]) -> tuple[int | None, bytes, bytes]:
    """Run ``main`` in a process of its own, and end what is left of it and of all that it started.

    They end with this process too, however it ends. A process that has left their process group is not found.

    Returns:
        its exit code, None where it was still running after ``_MOST_SECONDS``; its standard output and error
    """
    # The file is tried out on a processor: a search may need the whole graphics card.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with (
        tempfile.TemporaryFile() as asked,
        # Files: a process that it started can hold a pipe open after it has ended.
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        asked.write(json.dumps(request).encode())
        asked.seek(0)
        alive, held_open = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, *_COMMAND, str(alive)],
                stdin=asked,
                stdout=output,
                stderr=errors,
                env=environment,
                pass_fds=(alive,),
                start_new_session=True,
            )
            exit_code: int | None = None
            try:
                exit_code = process.wait(_MOST_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            finally:
                # Ctrl-C ends this wait, and does not reach the processes of another session.
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        finally:
            os.close(held_open)
            os.close(alive)
        output.seek(0)
        errors.seek(0)
        return exit_code, output.read(), errors.read()


def _end_with_parent(alive: int) -> None:
    """End this process and its group once the one that started it has ended: it alone holds the pipe open."""
    os.read(alive, 1)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Describe the function that standard input names, and print the answer as JSON, without what the file prints."""
    threading.Thread(target=_end_with_parent, args=(int(sys.argv.pop()),), daemon=True).start()
    request = json.load(sys.stdin)
    answers = os.dup(1)
    os.dup2(2, 1)
    try:
        answer = describe_source(**request).to_plain()
    except ExperimentFileError as error:
        answer = {"error": str(error)}
    with os.fdopen(answers, "wb") as stream:
        stream.write(json.dumps(answer).encode())


def describe_source(
    file_name: str, function: str, source: str, *, has_masks: bool = True, has_words: bool = True
) -> OwnSystem:
    """Run a user's file in this process, build its model once with the defaults, and check it.

    Else as ``describe_function``.
    """
    name = f"{file_name}:{function}"
    module, build, own_type = _find_function(name, file_name, function, source)
    hints = _call(name, file_name, lambda: typing.get_type_hints(own_type))
    hyperparameters = tuple(
        _describe_field(name, each.name, hints[each.name], each.default) for each in fields(own_type)
    )
    values: dict[str, Any] = {each.name: each.default for each in fields(own_type)}
    shapes = _try_shapes(values.get("embedding_dimension"), has_masks, has_words)
    model = _call(name, file_name, lambda: build(own_type(**values), shapes))
    modalities = _check_model(name, module, model, shapes)
    _check_answers(name, file_name, model, shapes)
    _check_loading(name, module, model)
    return OwnSystem(file_name, function, hash_source(source), modalities, hyperparameters, source)


def _list_enum(of: OwnHyperparameter) -> Any:
    return StrEnum(of.name, {f"choice_{number}": choice for number, choice in enumerate(of.choices)})


def _as_default(value: Any, default: Any) -> Any:
    """Return a value as a member of the user's own enum, where its default is one."""
    return type(default)(str(value)) if isinstance(default, StrEnum) else value


def _run_source(name: str, file_name: str, source: str) -> ModuleType:
    """Run a file as a new module, of which a dataclass with postponed annotations can be found by its name.

    Each model has a module of its own: a layer that the file makes outside its function would else be one layer of all
    models that a process builds, and what one of them learns would be known to the others.
    """
    module = ModuleType(f"own_{hash_source(source)[:16]}")
    module.__file__ = file_name
    sys.modules[module.__name__] = module
    try:
        # A byte order mark, which some editors write, is no Python.
        code = compile(source.removeprefix("\ufeff"), file_name, "exec", dont_inherit=True)
    except SyntaxError as error:
        place = file_name if error.lineno is None else f"line {error.lineno} of {file_name}"
        found = f"{place}: {one_line(error.msg)}"
        raise ExperimentFileError(f"system {name!r}: {found}; expected Python") from None
    except ValueError as error:  # a null byte
        raise ExperimentFileError(f"system {name!r}: {file_name}: {one_line(error)}; expected Python") from None
    _call(name, file_name, lambda: exec(code, vars(module)))
    return module


def _call(name: str, file_name: str, function: Callable[[], Any]) -> Any:
    """Run code of the user's, and say in one sentence where it failed."""
    try:
        return function()
    except MemoryError:
        raise
    # Any other exception may come from a user's code.
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file_name]
        where = f"line {lines[-1]} of {file_name}" if lines else file_name
        expected = "code that runs"
        if isinstance(error, ImportError):
            expected = "the module of an installed package: of your own code, one file holds everything"
        raise ExperimentFileError(
            f"system {name!r}: {where} raised {type(error).__name__}: {one_line(str(error)):.300}; expected {expected}"
        ) from error


def _find_function(
    name: str, file_name: str, function_name: str, source: str
) -> tuple[ModuleType, Callable[[Any, Any], Any], type[OwnHyperparameters]]:
    """Run a file; return its module, the function, and the dataclass that its first parameter is annotated with."""
    module = _run_source(name, file_name, source)
    function = getattr(module, function_name, None)
    if not isinstance(function, FunctionType):
        known = [
            each
            for each, value in vars(module).items()
            if isinstance(value, FunctionType) and value.__module__ == module.__name__
        ]
        raise ExperimentFileError(
            f"system {name!r}: {file_name} has no function {function_name!r}; expected one of {known}"
        )
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) != 2 or any(each.kind is not each.POSITIONAL_OR_KEYWORD for each in parameters):
        raise ExperimentFileError(
            f"system {name!r}: function {function_name!r} takes ({', '.join(map(str, parameters))}); expected two "
            "parameters: hyperparameters, annotated with a dataclass, and shapes"
        )
    hints = _call(name, file_name, lambda: typing.get_type_hints(function))
    own_type = hints.get(parameters[0].name)
    if not (isinstance(own_type, type) and issubclass(own_type, OwnHyperparameters) and _is_frozen(own_type)):
        found = "has no annotation" if own_type is None else f"is annotated with {_name_type(own_type)}"
        raise ExperimentFileError(
            f"system {name!r}: parameter {parameters[0].name!r} of function {function_name!r} {found}; expected a "
            "class with @dataclass(frozen=True) that extends harness.models.hyperparameters.OwnHyperparameters"
        )
    return module, function, own_type


def _is_frozen(own_type: type) -> bool:
    # A class without a decorator of its own inherits these, and none of its fields counts.
    return getattr(vars(own_type).get("__dataclass_params__"), "frozen", False) is True


def _name_type(found: object) -> str:
    return found.__name__ if isinstance(found, type) else repr(found)


def _describe_field(name: str, field_name: str, hint: Any, default: Any) -> OwnHyperparameter:
    """Describe a field by its annotation and its default, which may be a member of the user's own enum."""
    inherited = {each.name: each.default for each in fields(OwnHyperparameters)}
    if field_name not in inherited and (hasattr(OwnHyperparameters, field_name) or field_name in _READ_ELSEWHERE):
        raise ExperimentFileError(
            f"system {name!r}: hyperparameter {field_name!r} has the name of something that this package reads; "
            "expected another name"
        )
    if hint is float and is_number(default):
        default = float(default)
    known, expected = inherited.get(field_name, default), None
    if type(default) is not type(known):
        kind = "an integer" if isinstance(known, int) else "a float"
        if isinstance(known, StrEnum):
            kind = f"a member of {type(known).__name__}, {' or '.join(repr(each.value) for each in type(known))}"
        expected = f"{kind}, as OwnHyperparameters has it"
    elif not is_number(default) and not isinstance(default, StrEnum):
        expected = "an integer, a finite float or a member of a StrEnum"
    elif hint is int and isinstance(default, float):
        expected = "an integer, by its annotation"
    if expected is not None:
        raise ExperimentFileError(
            f"system {name!r}: the default of hyperparameter {field_name!r} is {_show_default(default)}; expected "
            f"{expected}"
        )
    if isinstance(default, StrEnum):
        return OwnHyperparameter(field_name, default.value, tuple(each.value for each in type(default)))
    return OwnHyperparameter(field_name, default)


def _show_default(default: Any) -> str:
    if isinstance(default, StrEnum):
        return f"{type(default).__name__}.{default.name}"
    return "missing" if default is MISSING else f"{default!r:.80}"


def _try_shapes(dimension: Any, has_masks: bool, has_words: bool) -> InputShapes:
    """Return shapes on which a function is tried out; word vectors as those that ``fit_features`` would make."""
    import numpy as np

    from harness.models.inputs import InputShapes

    embedding = None
    if has_words and dimension is not None:
        embedding = np.random.default_rng(0).normal(size=(_TRIED_WORD_IDS, int(dimension))).astype(np.float32)
    return InputShapes(
        text_columns=None if has_words else _TRIED_TEXT_COLUMNS,
        num_word_ids=_TRIED_WORD_IDS,
        embedding=embedding,
        has_masks=has_masks,
        num_training=_TRIED_UTTERANCES,
    )


def _check_model(name: str, module: ModuleType, model: Any, shapes: InputShapes) -> tuple[str, ...]:
    """Return the modalities that a model reads, after its layers, its inputs and its answers' shape were checked."""
    import keras

    if not isinstance(model, keras.Model) or type(model).__module__.split(".")[0] != "keras":
        raise ExperimentFileError(
            f"system {name!r}: returned {_name_type(type(model))}; expected keras.Model(inputs, outputs), and no class "
            "of its own, whose code a saved model does not hold"
        )
    _check_layers(name, module, model)
    given = _given_shapes(shapes)
    found = {tensor.name: tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or ()}
    modalities = tuple(name for name in given if name in found and not name.endswith("_lengths"))
    if not {each.removesuffix("_lengths") for each in found} <= set(modalities) or not set(found) <= set(given):
        raise ExperimentFileError(
            f"system {name!r}: its model has the inputs {list(found)}; expected names among {list(given)}, and a "
            "modality beside its lengths"
        )
    if not modalities:
        raise ExperimentFileError(f"system {name!r}: its model has no inputs; expected names among {list(given)}")
    for each, shape in found.items():
        if len(shape) != len(given[each]) or any(
            own not in (None, size) for own, size in zip(shape, given[each], strict=True)
        ):
            raise ExperimentFileError(
                f"system {name!r}: input {each!r} of its model has the shape {_show_shape(shape)}; expected "
                f"{_show_shape(given[each])}; take sizes from the function's shapes"
            )
    outputs = [tuple(tensor.shape) for tensor in model.outputs]
    if outputs != [(None, len(CLASSES))]:
        raise ExperimentFileError(
            f"system {name!r}: its model answers with the shape {' and '.join(map(_show_shape, outputs))}; expected "
            f"one output, (batch, {len(CLASSES)}): the probabilities of {', '.join(CLASSES)}"
        )
    return modalities


def _given_shapes(shapes: InputShapes) -> dict[str, tuple[int | None, ...]]:
    """Return the shape of each input that a model is given; None for what differs from batch to batch."""
    frames, words = (None, None) if shapes.has_masks else (shapes.speech_frames, shapes.max_words)
    given: dict[str, tuple[int | None, ...]] = {
        "speech": (None, frames, shapes.speech_columns),
        "text": (None, words) if shapes.text_columns is None else (None, words, shapes.text_columns),
        "mocap": (None, shapes.mocap_windows, shapes.mocap_columns),
    }
    # Word ids are 0 beyond an utterance's words, and have no lengths.
    return given | {f"{name}_lengths": (None,) for name, shape in given.items() if len(shape) == 3}


def _show_shape(shape: tuple[int | None, ...]) -> str:
    sizes = ["batch" if size is None and place == 0 else size for place, size in enumerate(shape)]
    return f"({', '.join(map(str, sizes))})"


def _check_layers(name: str, module: ModuleType, model: keras.Model) -> None:
    """Refuse what no saved model holds: layers, functions and initialisers of the user's, wrapped or not, and Lambda.

    A layer's regulariser is refused too, for its loss is not trained by. At every build, for which layers there are
    may depend on the hyperparameters.
    """
    import keras

    for layer in model._flatten_layers(include_self=False, recursive=True):
        kind = type(layer)
        # A layer inside another comes by itself.
        held = {each: value for each, value in vars(layer).items() if not isinstance(value, keras.layers.Layer)}
        of_file = [each for each, value in held.items() if getattr(value, "__module__", None) == module.__name__]
        regularisers = [each for each, value in held.items() if each.endswith("_regularizer") and value is not None]
        if regularisers:
            raise ExperimentFileError(
                f"system {name!r}: layer {layer.name!r} of its model has the {regularisers[0]}, which no training here "
                "reads; expected none: weight_decay is a hyperparameter of every network"
            )
        is_known = kind.__module__.split(".")[0] == "keras" or kind.__module__ == _LAYERS_MODULE
        if not is_known or isinstance(layer, keras.layers.Lambda):
            found = f"is a {kind.__name__}"
        elif of_file:
            found = f"has its {of_file[0]!r} from the file itself"
        else:
            continue
        raise ExperimentFileError(
            f"system {name!r}: layer {layer.name!r} of its model {found}, whose code a saved model does not hold; "
            f"expected layers of keras.layers and {_LAYERS_MODULE} alone: no layers, functions or Lambda of its own"
        )


def _check_answers(name: str, file_name: str, model: keras.Model, shapes: InputShapes) -> None:
    """Let a model answer random utterances: the answers must be probabilities."""
    import keras
    import numpy as np

    generator = np.random.default_rng(0)
    given, inputs = _given_shapes(shapes), {}
    for each in (tensor.name for tensor in model.inputs):
        modality = each.removesuffix("_lengths")
        num_steps = given[modality][1] or (_TRIED_WORDS if modality == "text" else shapes.speech_frames)
        size: tuple[Any, ...] = (_TRIED_UTTERANCES, num_steps, *given[modality][2:])
        if each != modality:
            inputs[each] = np.array([num_steps, 1], np.int32)
        elif len(size) == 2:
            inputs[each] = generator.integers(shapes.num_word_ids, size=size).astype(np.int32)
        else:
            inputs[each] = generator.normal(size=size).astype(np.float32)
    answers = _call(name, file_name, lambda: keras.ops.convert_to_numpy(model(inputs, training=False)))
    is_right = (answers >= 0).all(axis=-1) & np.isclose(answers.sum(axis=-1), 1.0, atol=_TOLERANCE)
    if not is_right.all():
        wrong = answers[~is_right][0].astype(float)
        remedy = "let a layer with activation='softmax' answer"
        if not np.isfinite(wrong).all():
            remedy = "look for a logarithm, a root or a quotient that is no number"
        raise ExperimentFileError(
            f"system {name!r}: the answers of its model to an utterance are {np.round(wrong, 3).tolist()}; "
            f"expected {len(CLASSES)} probabilities of sum 1: {remedy}"
        )


def _check_loading(name: str, module: ModuleType, model: keras.Model) -> None:
    """Save a model and load it as ``load_network`` does, where nothing of the user's file is known."""
    import keras

    known = keras.saving.get_custom_objects()
    of_file = [each for each, found in known.items() if getattr(found, "__module__", None) == module.__name__]
    for each in of_file:
        del known[each]
    sys.modules.pop(module.__name__, None)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.keras")
            model.save(path, include_optimizer=False)
            keras.saving.load_model(path, compile=False, safe_mode=True)
    # The exceptions of Keras for what it cannot load are no closed list.
    except Exception as error:
        raise ExperimentFileError(
            f"system {name!r}: its model cannot be loaded without the code of its file ({describe_failure(error)}); "
            f"expected layers of keras.layers and {_LAYERS_MODULE} alone: no layers, functions or Lambda of its own"
        ) from None


def describe_failure(error: Exception) -> str:
    """Say in at most 200 characters why Keras cannot save or load a network.

    Its errors hold each other, and the innermost names the layer.

    Example:
        >>> describe_failure(TypeError("config={}.\\n\\nException encountered: Could not locate class 'Twice'."))
        "Could not locate class 'Twice'."
    """
    # A TypeError of Keras's speaks of a layer, not of a record.
    said = str(error).rpartition("Exception encountered: ")[2] if isinstance(error, TypeError) else error
    return f"{one_line(said) or type(error).__name__:.200}"
