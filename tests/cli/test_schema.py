"""`harness schema` prints a schema that says no to a wrong file, of experiments and of search spaces."""

import json
from pathlib import Path

import jsonschema
import pytest

from tests.cli.commands import type_command


@pytest.mark.parametrize(
    ("words", "wrong"),
    [([], {"system": "fusion", "max_epoch": 3}), (["--search-space"], {"parameter_config": []})],
    ids=["experiment", "search space"],
)
def test_what_is_printed_is_a_schema_that_refuses_a_wrong_file(
    tmp_path: Path, words: list[str], wrong: dict[str, object]
) -> None:
    done = type_command(tmp_path, "schema", *words)
    assert (done.returncode, done.stderr) == (0, "")
    schema = json.loads(done.stdout)
    jsonschema.Draft7Validator.check_schema(schema)
    assert not jsonschema.Draft7Validator(schema).is_valid(wrong)
