"""Names, values, ids and paths are only ever data; what is secret is stored nowhere."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.store.records import TrialStatus
from tests.search.promises import check_database, run_aup
from tests.search.searches import SCORES_X, environment, trials_of, write_experiment

#: What a shell, SQL, a format, a URL or a terminal would make something of.
HOSTILE = "-a \n\"b\"; 'c' $(touch pwned) `touch pwned` & | > pwned %s %(x)s {x} \\ ? # * [d] ~ \t ☃ \u202e"
#: The same but for what no file can be called.
HOSTILE_NAME = HOSTILE.replace("/", "")

ECHOES = """
import json, os, sys
point = json.load(open(sys.argv[1]))
with open("seen", "a") as stream:
    print(json.dumps([os.path.basename(sys.argv[0]), len(sys.argv), point]), file=stream)
print("#Auptimizer:0.5")
"""

NAMES = [
    HOSTILE,
    'x"; DROP TABLE trials; --',
    "x'); DROP TABLE trials; --",
    "[x]",
    "`x`",
    "a.b",
    "status",
    "score",
    "rowid",
    "name",
    "script",
    "?",
    ":x",
    "ключ",
    " ",
]
VALUES = [
    HOSTILE,
    "",
    "\0",
    "'; DROP TABLE trials; --",
    "#Auptimizer:0.9",
    "\x1b[2J",
    None,
    True,
    [1, "a"],
    {"k": "v"},
    2**53,
]


def nothing_was_done(folder: Path) -> bool:
    return not [path for path in folder.rglob("*") if path.name == "pwned"]


def test_hyperparameters_of_any_name_and_value_reach_the_trial_and_the_store_as_they_are(folder: Path) -> None:
    entries = [{"name": name, "range": VALUES, "type": "choice"} for name in NAMES]
    path = write_experiment(
        folder, ECHOES, name=HOSTILE, parameter_config=entries, n_samples=8, n_parallel=4, remark=HOSTILE
    )
    code, lines, errors = run_aup(path)
    assert (code, errors) == (0, "")
    assert len([line for line in lines if line.startswith("trial ")]) == 2 * 8, "a value broke a line"
    assert "\x1b" not in "".join(lines) and "\0" not in "".join(lines)
    seen = [json.loads(line) for line in (folder / "seen").read_text().splitlines()]
    assert {(name, count) for name, count, _ in seen} == {("trial's script.py", 2)}
    trials = trials_of(path)
    assert {trial.status for trial in trials} == {TrialStatus.FINISHED}
    told = {json.dumps(point, sort_keys=True) for _, _, point in seen}
    stored = {json.dumps(trial.hyperparameters, sort_keys=True) for trial in trials}
    assert told == stored
    assert len(stored) == 8
    assert all(value in VALUES for trial in trials for value in trial.hyperparameters.values())
    check_database(folder)
    assert nothing_was_done(folder)
    with closing(sqlite3.connect(folder / "results" / "results.db")) as connection:
        for (view,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall():
            connection.execute(f"SELECT * FROM {view}").fetchall()
        (kept,) = connection.execute("SELECT name FROM experiments").fetchone()
    assert kept == HOSTILE
    assert run_aup(path)[0] == 0
    assert len(trials_of(path)) == 8, "its own experiment was not found again"


@pytest.mark.parametrize("name", [HOSTILE_NAME, "x" * 150, "~", "--fresh"], ids=["hostile", "long", "tilde", "option"])
def test_folders_and_scripts_of_any_name_are_found(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / name
    folder.mkdir(parents=True)
    script = f"{name[:200]}.py"
    path = write_experiment(folder, "", script=script, workingdir=f"../{name}")
    (folder / script).write_text(ECHOES)
    file = path.rename(path.with_name(f"{name[:200]}.json"))
    code, lines, errors = run_aup(Path("--"), file.name, cwd=folder)
    assert (code, errors) == (0, "")
    assert {tuple(json.loads(line)[:2]) for line in (folder / "seen").read_text().splitlines()} == {(script, 2)}
    check_database(folder)
    assert nothing_was_done(tmp_path)
    if name != HOSTILE_NAME:
        return
    report = subprocess.run(
        [sys.executable, "-c", "from harness.cli.main import main; main()", "report", "results"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert (report.returncode, report.stderr) == (0, "")
    assert nothing_was_done(tmp_path)


@pytest.mark.skipif(sys.platform == "darwin", reason="its files have names in UTF-8")
def test_a_folder_whose_name_is_no_text_is_used_or_refused_in_one_sentence(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe folder"))
    path = write_experiment(folder, SCORES_X)
    code, _, errors = run_aup(path)
    assert (code, errors) == (0, "")
    check_database(folder)
    assert len(trials_of(path)) == 3


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_lacks_a_letter_ends_no_search(folder: Path, encoding: str) -> None:
    entries = [{"name": "gates ☃", "range": ["☃", "é"], "type": "choice"}]
    path = write_experiment(folder, "print('#Auptimizer:1')\n", parameter_config=entries, name="☃", n_samples=2)
    code, lines, errors = run_aup(path, env={**environment(), "PYTHONIOENCODING": encoding}, errors="replace")
    assert (code, errors) == (0, "")
    assert any(line.endswith(r"gates \u2603=\u2603") for line in lines)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a seed that no column holds": (
        {"random_seed": 2**63},
        f"random_seed is {2**63}; expected a whole number from 0 to {2**63 - 1}",
    ),
    "more trials than memory": (
        {"n_samples": 10**15},
        "n_samples is 1000000000000000; expected a whole number from 1 to 1000000",
    ),
    "half a letter in a name": ({"name": "\ud800"}, "a lone surrogate"),
    "half a letter in a choice": (
        {"parameter_config": [{"name": "x", "range": ["\udfff"], "type": "choice"}]},
        "a lone surrogate",
    ),
    "a choice beyond every column": (
        {"parameter_config": [{"name": "x", "range": [1, 2**63], "type": "choice"}]},
        f"parameter 'x': choice {2**63}; expected an integer of at most",
    ),
    "more memory than there can be": ({"memory_limit": "9" * 400 + " GB"}, "memory_limit is '9999"),
    "nobody's home": ({"script": "~nobody at all/trial.py"}, "script '~nobody at all/trial.py': not found in"),
    "nobody's folder": ({"workingdir": "~nobody-at-all"}, "workingdir is '"),
    "a script's name that is too long": ({"script": "x" * 5000}, "not found in"),
    "a folder's name that is too long": ({"workingdir": "x" * 5000}, "workingdir is '"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_hostile_value_gets_one_sentence_and_nothing_is_begun(folder: Path, case: str) -> None:
    changes, words = WRONG[case]
    path = write_experiment(folder, SCORES_X, **changes)
    code, lines, errors = run_aup(path)
    assert (code, lines) == (2, []), errors
    assert errors.startswith("error: experiment file 'experiment.json': ")
    assert words in errors
    assert errors.count("\n") == 1
    assert not (folder / "results").exists()


def test_an_infinity_in_disguise_is_refused(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X)
    text = path.read_text()
    path.write_text(text.replace('[0.0, 1.0], "type": "float"', '[1e999], "type": "choice"'))
    code, _, errors = run_aup(path)
    assert code == 2
    assert errors == "error: experiment file 'experiment.json': found 1e999; expected only finite numbers\n"


def test_a_script_whose_name_begins_with_a_tilde_is_no_home(folder: Path) -> None:
    path = write_experiment(folder, "", script="~trial.py", n_samples=1)
    (folder / "~trial.py").write_text(SCORES_X)
    code, _, errors = run_aup(path)
    assert (code, errors) == (0, "")


SECRET = "s3cr3t-'\"; of the job"


def test_no_byte_of_a_jobs_environment_is_stored_however_the_search_ends(folder: Path) -> None:
    script = """
import json, os, signal, sys
assert os.environ["TOKEN NAME"].startswith("s3cr3t")
x = json.load(open(sys.argv[1]))["x"]
if x < 0.3: raise ValueError(x)
if x < 0.6: os.kill(os.getpid(), signal.SIGKILL)
print("#Auptimizer:%r" % x)
"""
    path = write_experiment(
        folder, script, n_samples=8, max_failures=8, runtime_args={"env": {"TOKEN NAME": SECRET}}
    )
    outside = {**environment(), "OTHER_TOKEN": "an0ther-s3cr3t"}
    code, lines, errors = run_aup(path, env=outside)
    code, more_lines, more_errors = run_aup(path, env=outside)
    shown = "\n".join([*lines, *more_lines, errors, more_errors]).encode()
    assert {trial.status for trial in trials_of(path)} == {
        TrialStatus.FINISHED,
        TrialStatus.CRASHED,
        TrialStatus.KILLED,
    }
    stored = [file.read_bytes() for file in (folder / "results").rglob("*") if file.is_file()]
    assert len(stored) > 10
    for told in (shown, *stored):
        assert b"s3cr3t" not in told
        assert b"TOKEN NAME" not in told


@pytest.mark.parametrize(
    "arguments",
    [
        {"env": {"TOKEN": ["s3cr3t"]}},
        {"env": "TOKEN=s3cr3t"},
        {"environment": {"TOKEN": "s3cr3t"}},
        "TOKEN=s3cr3t",
        {"env": {"TOKEN": "s3cr3t\0"}},
    ],
    ids=["a list", "a text", "another key", "no object", "a null byte"],
)
def test_a_secret_in_the_wrong_place_is_not_shown_either(folder: Path, arguments: object) -> None:
    code, lines, errors = run_aup(write_experiment(folder, SCORES_X, runtime_args=arguments))
    assert (code, lines) == (2, [])
    assert errors.startswith("error: experiment file 'experiment.json': runtime_args")
    assert "s3cr3t" not in errors
