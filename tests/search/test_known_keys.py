"""A key that nothing reads is refused, or kept where Auptimizer keeps it; and the schema says what the reader says."""

import copy
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.errors import ExperimentFileError, HarnessError
from harness.search.dask.settings import JOB_QUEUES
from harness.search.experiment_file import read_experiment_file
from harness.search.key_types import Either, Names, Section
from harness.search.keys import check_keys
from harness.search.known_keys import EXPERIMENT, SEARCH_SPACE, schema_of
from harness.search.proposer import PROPOSERS
from harness.search.space import PARAMETER

KNOWN = ("name", "n_samples", "n_parallel", "random_seed")
ORIGIN = "experiment file 'e.json'"


def test_a_misspelt_key_is_refused_everywhere() -> None:
    with pytest.raises(ExperimentFileError) as caught:
        check_keys(["n_sample"], KNOWN, ORIGIN, allows_others=True)
    assert (
        str(caught.value) == f"{ORIGIN}: unknown key 'n_sample'; expected 'n_samples', or a name that is less like it"
    )


def test_unknown_keys_unlike_any_known_one_are_kept() -> None:
    check_keys(["n_samples", "remark"], KNOWN, ORIGIN, allows_others=True)


OURS: dict[str, Any] = {
    "name": "fusion",
    "system": "fusion",
    "script": "jobs/trial.py",
    "resource": "cpu",
    "target": "max",
    "proposer": "random",
    "parameter_config": [{"name": "dropout", "range": [0, 0.5], "type": "float"}],
    "n_samples": 3,
}
SPACE_OF_OURS = {"parameter_config": OURS["parameter_config"]}
#: A file of a script that knows nothing of this package.
OF_A_SCRIPT = {key: value for key, value in OURS.items() if key != "system"} | {"script": "jobs/other.py"}
OF_DIALOGUES = {"system": "chain", "parameter_config": [{"name": "context", "range": ["past"], "type": "choice"}]}
KINDS = ("scheduler", "local", *JOB_QUEUES)
#: A file in which each section of a dotted key is valid.
BASES: dict[str, dict[str, Any]] = {
    "turn_model": {**OF_DIALOGUES, "turn_model": {"system": "text2"}},
    "early_stopping": {"early_stopping": {"rule": "asha"}},
    "cluster": {"resource": "dask", "cluster": {"local": 2}},
    "engine": {"proposer": "hyperopt"},
    **dict.fromkeys(
        ("auxiliary_corpora", "auxiliary_training", "auxiliary_epochs"),
        {**OURS, "system": "text2", "auxiliary_corpora": ["jobs"], "auxiliary_training": "first"},
    ),
}
#: Where the schema is stricter: the reader makes a text of any name, and knows no largest number there.
STRICTER = ("protocol.name", "protocol.max_words", "n")
VALUES = [
    *(None, True, False, -1, 0, 1, 5, 2.5, 1e300, 2**53, 2**63, "", " ", "a", "a\0", "none", "Random", "0 GB", "4 GB"),
    *("max", "min", "cpu", "dask", "sequence", "paper", "chain", "text2", "median", "asha", "mel", "tcp://host:8786"),
    *(100, 101, "a" * 200, "a" * 201, "own.npz", "own.npz ", ".npz\0", "tpe"),
    *([], [1], ["a"], [0, 1], [1, 0.5, "a"], [{}], [{"a": 1}], {}, {"a": 1}, {"a": "b"}, {"jobs": 0}),
    {"early_stop": 1},
]
#: What is refused for other reasons than a value's type, its bounds or the keys beside it.
ONLY_THE_READER_KNOWS = re.compile(
    r"not found in|a folder that exists|cannot be read in|word2vec text file|a folder in the corpus's layout"
    r"|is above high|expected exactly the searched|reads (?:text|single|motion|the dialogue itself)|an address such as"
    r"|is '.*a PEM file|unknown hyperparameter|hyperparameter '\w+' is|needs future and|not installed|prunes no trial"
    r"|is given with|which system '\w+' reads|beside which no motion is prepared|a list of corpora there"
    r"|is given, and auxiliary_training|speech is scaled by speaker|is given together with|cluster\.\w+: unknown key"
    r"|reads probabilities alone|which is not there|neither Python nor executable"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    (folder / "jobs").mkdir()
    (folder / "jobs" / "trial.py").write_text("from harness.training.trial import main\n")
    (folder / "jobs" / "other.py").write_text("print('epoch')\n")
    (folder / "own.npz").touch()
    return folder


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft7Validator:
    schema = schema_of(EXPERIMENT, "experiment.json")
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def refusal(folder: Path, values: dict[str, Any]) -> str:
    """Return the sentence by which a file is refused, empty where it is accepted."""
    (folder / "experiment.json").write_text(json.dumps(values))
    try:
        read_experiment_file(folder / "experiment.json")
    except HarnessError as error:
        return str(error)
    return ""


def leaves(section: Section, prefix: str = "") -> Iterator[str]:
    """Every key of a section, and of the sections in it, dotted."""
    for name, key in section.keys.items():
        yield prefix + name
        for each in key.type.types if isinstance(key.type, Either) else (key.type,):
            if isinstance(each, Section):
                yield from leaves(each, f"{prefix}{name}.")


def change(dotted: str, value: object) -> dict[str, Any]:
    """Return a file that is right but for the value of one key."""
    top, *inner = dotted.split(".")
    values = copy.deepcopy({**OURS, **BASES.get(top, {})})
    section = values
    for name in (top, *inner)[:-1]:
        section = section.setdefault(name, {})
    if dotted.startswith("cluster.") and inner[0] in KINDS:
        del section["local"]
    section[(top, *inner)[-1]] = value
    return values


def names(key: str) -> list[str]:
    """Return the names of a key's closed list, none where it has no list."""
    with suppress(KeyError):
        return list(EXPERIMENT.find(key, Names)[1].allowed)
    return []


KEYS = [key for key in leaves(EXPERIMENT) if key.count(".") < 2]


@pytest.mark.parametrize("key", KEYS)
def test_the_schema_refuses_what_the_reader_refuses_and_accepts_what_it_accepts(
    key: str, folder: Path, schema: jsonschema.Draft7Validator
) -> None:
    for value in (*VALUES, *names(key)):
        values = change(key, value)
        said = refusal(folder, values)
        if said and ONLY_THE_READER_KNOWS.search(said):
            continue
        if said or key not in STRICTER:
            assert schema.is_valid(values) is not bool(said), f"{key} = {value!r}: {said or 'accepted'}"


@pytest.mark.parametrize("key", list(PARAMETER.keys))
def test_so_it_is_with_the_keys_of_a_hyperparameter(
    key: str, folder: Path, schema: jsonschema.Draft7Validator
) -> None:
    for value in VALUES:
        entry = {"name": "dropout", "range": [0.1, 0.5], "type": "float"}
        values = {**OURS, "proposer": "sequence" if key in ("interval", "n") else "random"}
        values["parameter_config"] = [{**entry, key: value}]
        said = refusal(folder, values)
        if said and ONLY_THE_READER_KNOWS.search(said) and f"{key} is" not in said:
            continue
        if said or key not in STRICTER:
            assert schema.is_valid(values) is not bool(said), f"{key} = {value!r}: {said or 'accepted'}"


@pytest.mark.parametrize(
    ("choices", "is_right"),
    [
        (["a", "b"], True),
        (["a", "a"], False),
        ([1, 1.0], False),
        ([0, -0.0], False),
        ([1, True, "1", [1]], True),
        ([[1, {"a": 2}], [1.0, {"a": 2.0}]], False),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], False),
        ([{"a": 1}, {"a": True}], True),
    ],
)
def test_a_choice_that_is_given_twice_is_refused_by_both(
    choices: list[Any], is_right: bool, folder: Path, schema: jsonschema.Draft7Validator
) -> None:
    values = {**OF_A_SCRIPT, "parameter_config": [{"name": "x", "type": "choice", "range": choices}]}
    said = refusal(folder, values)
    assert (said == "") is is_right and schema.is_valid(values) is is_right
    assert is_right or said.endswith("expected each choice once")


@pytest.mark.parametrize("key", [key for key in EXPERIMENT.keys if key in EXPERIMENT.required or key == "n_samples"])
def test_a_missing_key_is_refused_by_both(key: str, folder: Path, schema: jsonschema.Draft7Validator) -> None:
    values = {name: value for name, value in OURS.items() if name != key}
    assert "is missing" in refusal(folder, values) and not schema.is_valid(values)


@pytest.mark.parametrize("key", ["n_sample", "remark", "$schema"])
def test_an_unknown_key_is_refused_by_both_where_a_system_is_named(
    key: str, folder: Path, schema: jsonschema.Draft7Validator
) -> None:
    assert refusal(folder, {**OURS, key: 1}) and not schema.is_valid({**OURS, key: 1})


def test_every_key_has_a_description_and_a_readable_default(schema: jsonschema.Draft7Validator) -> None:
    described = schema.schema["properties"]
    assert set(described) == set(EXPERIMENT.keys)
    for name, of_key in described.items():
        assert of_key["description"].endswith("."), name
        if "default" in of_key:
            assert jsonschema.Draft7Validator(of_key).is_valid(of_key["default"]), name


def test_the_files_of_the_repository_are_accepted(schema: jsonschema.Draft7Validator) -> None:
    repository = Path(__file__).parents[2]
    schema.validate(json.loads((repository / "experiment.json").read_text()))
    spaces = jsonschema.Draft7Validator(schema_of(SEARCH_SPACE, "search space"))
    found = list((repository / "search_spaces").rglob("*.json"))
    assert len(found) > 20
    for path in found:
        spaces.validate(json.loads(path.read_text()))
    assert not spaces.is_valid({"system": "fusion", "parameter_config": [{"name": "dropout", "range": [0.5]}]})


@pytest.mark.parametrize(("num_entries", "is_right"), [(1000, True), (1001, False)])
def test_both_have_the_same_most_hyperparameters(
    num_entries: int, is_right: bool, folder: Path, schema: jsonschema.Draft7Validator
) -> None:
    entries = [{"name": f"x{number}", "range": [0, 1]} for number in range(num_entries)]
    values = {**OF_A_SCRIPT, "parameter_config": entries}
    assert (not refusal(folder, values), schema.is_valid(values)) == (is_right, is_right)


@pytest.mark.parametrize(
    "of_epochs",
    [
        {"max_epochs": None},
        {"max_epochs": 9, "early_stopping": "median"},
        {"max_epochs": 9, "early_stopping": {"rule": "asha"}},
    ],
    ids=["null", "median", "asha"],
)
def test_a_script_that_prints_its_epochs_has_keys_for_them(
    of_epochs: dict[str, Any], folder: Path, schema: jsonschema.Draft7Validator
) -> None:
    values = {**OF_A_SCRIPT, **of_epochs}
    assert refusal(folder, values) == ""
    schema.validate(values)


@pytest.mark.parametrize("proposer", [name for name, needed in PROPOSERS.items() if not needed])
def test_only_hyperopt_has_an_engine(proposer: str, folder: Path, schema: jsonschema.Draft7Validator) -> None:
    values = {**OURS, "proposer": proposer, "engine": "tpe"}
    assert "engine is given" in refusal(folder, values) and not schema.is_valid(values)
    del values["engine"]
    assert refusal(folder, values) == ""
    schema.validate(values)


@pytest.mark.parametrize("key", ["speech_features", "text_features"])
def test_a_file_of_features_is_accepted_by_both(key: str, folder: Path, schema: jsonschema.Draft7Validator) -> None:
    values = {**OURS, "system": "speech_text", key: "own.npz"}
    assert refusal(folder, values) == ""
    schema.validate(values)
    schema.validate({**values, key: "OWN.Parquet"})


def test_a_function_of_a_file_is_a_system(folder: Path, schema: jsonschema.Draft7Validator) -> None:
    spaces = jsonschema.Draft7Validator(schema_of(SEARCH_SPACE, "search space"))
    for text, is_function in (("models/mine.py:b", True), ("mine.py", False), ("mine.py:", False), ("mine:b", False)):
        values = {**OURS, "system": text}
        assert schema.is_valid(values) is spaces.is_valid({**SPACE_OF_OURS, "system": text}) is is_function
        said = "its file '" if is_function else "names no function of a file" if ".py" in text else "unknown system"
        assert said in refusal(folder, values)


def test_auptimizers_own_file_is_accepted_with_a_key_of_its_own(schema: jsonschema.Draft7Validator) -> None:
    values = {key: value for key, value in OURS.items() if key != "system"} | {"target": "min", "email": "me"}
    schema.validate(values)
