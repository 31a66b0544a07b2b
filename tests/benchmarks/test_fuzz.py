"""Parsers meet what no writer wrote: the findings of earlier fuzzing, changed seeds, and a short run of the script."""

import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import fuzz
from benchmarks.fuzz_features import PARSERS
from benchmarks.fuzz_parsers import make_seeds
from benchmarks.fuzz_process import change_json, place_of, run_one

FINDINGS = Path(__file__).parent / "findings"
FOUND = sorted(FINDINGS.glob("*/*.input"))
REPOSITORY = Path(__file__).parents[2]

with_atheris = pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is for Linux alone")


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """What reads an input of a parser, and its seeds; made once for each parser."""
    made = {}

    def make(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            seeds = make_seeds(PARSERS[name], folder)
            made[name] = (PARSERS[name].load(), folder / PARSERS[name].file_name, seeds)
        return made[name]

    return make


@pytest.mark.parametrize("name", PARSERS)
def test_every_parser_reads_its_first_seed(ready, name):
    check, path, seeds = ready(name)
    assert run_one(check, path, seeds[0]) is None
    path.write_bytes(seeds[0])
    # The saved network itself is not there, and only that is missed.
    if name != "model-record":
        check(path)


@pytest.mark.parametrize("input_path", FOUND, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_was_found_is_a_value_or_one_sentence(ready, input_path):
    check, path, _ = ready(input_path.parent.name)
    assert run_one(check, path, input_path.read_bytes()) is None


CHANGES = st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=6), st.integers(0, 8)), min_size=1, max_size=3)


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 2**16), changes=CHANGES, seed=st.integers(0, 2**32), cut=st.booleans())
def test_a_changed_file_is_a_value_or_one_sentence(ready, name, place, changes, seed, cut):
    check, path, seeds = ready(name)
    data = seeds[place % len(seeds)]
    if PARSERS[name].is_json:
        data = change_json(data, random.Random(seed)) or data
    else:
        for where, new, num_replaced in changes:
            where %= len(data) + 1
            data = data[:where] + new + data[where + num_replaced :]
        data = data[: place % (len(data) + 1)] if cut else data
    assert run_one(check, path, data) is None


def test_json_is_changed_in_one_place_and_the_same_way_for_the_same_seed():
    value = {"a": [1, {"b": "x"}], "c": None}
    data = json.dumps(value).encode()
    changed = {change_json(data, random.Random(seed)) for seed in range(50)}
    assert len(changed) > 20
    assert change_json(data, random.Random(3)) == change_json(data, random.Random(3))
    assert change_json(b"no JSON", random.Random(3)) is None


def test_two_failures_at_one_place_are_one_finding(tmp_path):
    def check(path):
        return json.loads(path.read_bytes())["x"]

    reports = [run_one(check, tmp_path / "it", data) for data in (b"{}", b"[]", b"{ }")]
    places = [place_of(report) for report in reports]
    assert places[0] == places[2] != places[1]


def test_a_refusal_of_two_lines_is_a_finding(tmp_path):
    from harness.errors import CorpusError

    def check(path):
        raise CorpusError("line 3: expected\nmore")

    assert "not one sentence" in run_one(check, tmp_path / "it", b"")


def test_without_atheris_it_says_so_in_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert fuzz.main(["--inputs", "1"]) == 2
    assert capsys.readouterr().err == (
        "error: atheris is not here; expected it for fuzzing: pip install atheris (Linux, Python 3.11 to 3.13)\n"
    )


def test_an_input_is_read_again(tmp_path, capsys):
    path = tmp_path / "it's.input"
    path.write_bytes(b"Ses01F_impro01_M003")
    assert fuzz.main(["--replay", "ids", str(path)]) == 0
    assert capsys.readouterr().out == "ids reads it, or refuses it in one sentence\n"


@with_atheris
def test_a_short_run_counts_its_inputs_and_finds_nothing(tmp_path, capfd):
    assert fuzz.main(["--inputs", "300", "--parsers", "ids", "transcripts", "--findings", str(tmp_path)]) == 0
    out = capfd.readouterr().out
    assert "600 inputs of 2 parsers, 0 findings" in out
    assert list(tmp_path.iterdir()) == []


FAULTY = """
import sys, time
from benchmarks import fuzz_features, fuzz_process
from benchmarks.fuzz_parsers import Parser

reads = []

def check(path):
    data = path.read_bytes()
    reads.append(data)
    if data[:1] == b"x":
        raise KeyError("planted")
    if data[:1] == b"y":
        bytearray(2**31)
    if data[:1] == b"z" and len(reads) > 2:  # the seeds are read once before the clock runs
        time.sleep(60)

fuzz_process.HANG_SECONDS = 1
fuzz_features.PARSERS = {"faulty": Parser("it", lambda folder: [], lambda: check)}
fuzz_process.main(["faulty", sys.argv[1], "1000", "256", "1"])
"""


@pytest.mark.long
@with_atheris
@pytest.mark.parametrize(("seed", "expected"), [(b"x", "planted"), (b"y", "MemoryError"), (b"z", None)])
def test_a_fault_a_hunger_for_memory_and_a_hang_are_found_and_kept(tmp_path, seed, expected):
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "0").write_bytes(b"a")
    (tmp_path / "seeds" / "1").write_bytes(seed + b"1")
    command = [sys.executable, "-c", FAULTY, str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False, timeout=50)
    kept = sorted(path for path in (tmp_path / "findings").iterdir())
    inputs = [path for path in kept if path.suffix != ".txt"]
    if expected is None:
        assert any(path.name.startswith("timeout-") for path in inputs)
        assert all(path.read_bytes()[:1] == b"z" for path in inputs if path.name.startswith("timeout-"))
    else:
        described = "".join(path.read_text() for path in kept if path.suffix == ".txt")
        assert expected in described
        assert any(path.read_bytes()[:1] == seed for path in inputs)
