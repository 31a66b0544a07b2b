"""`harness systems`: the list, and one system."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.models.systems import SYSTEMS
from tests.cli.commands import type_command


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_list_fits_the_terminal_and_cuts_no_name(tmp_path: Path, columns: int) -> None:
    done = type_command(tmp_path, "systems", columns=columns)
    assert (done.returncode, done.stderr) == (0, "")
    *table, hint = done.stdout.splitlines()
    assert max(map(len, table)) <= columns
    assert hint == "One system's hyperparameters and search space:  harness systems NAME"
    assert "…" not in done.stdout
    if columns >= 80:
        assert [line.split()[0] for line in table if line[1:2].isalpha()] == ["system", *SYSTEMS]
        # A long source is folded between its words.
        words = {word for system in SYSTEMS.values() for word in system.published_name.split()}
        assert not {word for word in words if word not in done.stdout}


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_one_system_shows_its_hyperparameters_their_defaults_and_its_search_space(
    tmp_path: Path, columns: int
) -> None:
    done = type_command(tmp_path, "systems", "speech4", columns=columns)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        "speech4 (Speech_Model4 in the paper, section 4.1)",
        "Reads speech. It is: as speech3, in both directions.",
    ]
    if columns >= 80:
        rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith(" ") and line.strip()}
        assert rows["gates"] == ["sigmoid", "hard_sigmoid"]
        assert rows["learning_rate"] == ["1.0", "0.0001", "to", "0.003,", "log", "scale"]
        assert rows["attention"] == ["decoder", "decoder", "or", "pooling"]
        assert max(len(line) for line in lines if line.startswith(" ")) <= 80


def test_the_search_space_is_that_of_the_folder_where_it_has_one(tmp_path: Path) -> None:
    (tmp_path / "search_spaces").mkdir()
    entries = [{"name": "textlstm", "range": [10, 20], "step": 5}]
    (tmp_path / "search_spaces" / "text2.json").write_text(json.dumps({"parameter_config": entries}))
    printed = type_command(tmp_path, "systems", "text2").stdout
    assert "10 to 20, step 5" in printed and "Searched, as in search_spaces/text2.json" in printed


def test_a_system_that_reads_other_speech_features_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.cli.main import run
    from harness.cli.systems import systems

    monkeypatch.setitem(SYSTEMS, "speech4", replace(SYSTEMS["speech4"], speech_features="frames"))
    for name, says_so in (("speech4", True), ("speech3", False)):
        assert run(lambda **more: systems.main([name], **more), "harness systems") == 0
        assert ("Speech features: frames, and no other\n" in capsys.readouterr().out) is says_so


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_every_system_can_be_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from harness.cli.main import run
    from harness.cli.systems import systems

    assert run(lambda **more: systems.main([name], **more), "harness systems") == 0
    assert capsys.readouterr().out.startswith(name)


def test_an_unknown_system_is_one_sentence(tmp_path: Path) -> None:
    done = type_command(tmp_path, "systems", "fussion")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: unknown system 'fussion'; expected one of {sorted(SYSTEMS)}\n"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("speech1", "The paper has no dropout in this system: the default is ours, and 0 is as its text."),
        ("fusion", "The default branches are the published code's"),
        ("text1", None),
        ("ctc", None),
    ],
)
def test_a_default_that_the_paper_does_not_have_is_named(tmp_path: Path, name: str, said: str | None) -> None:
    last = type_command(tmp_path, "systems", name).stdout.splitlines()[-1]
    assert last.startswith(said) if said else "The " not in last


@pytest.mark.parametrize("name", ["speech_text", "fusion"])
def test_a_fusion_names_its_dropout_among_them(name: str) -> None:
    assert SYSTEMS[name].departures.endswith(
        " The dropout of 0.2 in the branches of words and speech is ours: section 4 has it in convolutions alone."
    )
