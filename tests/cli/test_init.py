"""`harness init` writes what the repository has, and nothing over anything."""

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.init import PATTERNS, init
from harness.errors import HarnessError
from harness.models.systems import SYSTEMS
from harness.search.experiment_file import read_experiment_file
from harness.search.space import read_search_space

REPOSITORY = Path(__file__).parents[2]


def run(folder: Path) -> str:
    result = CliRunner().invoke(init, [str(folder)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_new_folder_holds_what_the_repository_holds(tmp_path: Path) -> None:
    folder = tmp_path / "a new; 'folder'" / "inside"
    assert (
        run(folder)
        == f"Wrote {len(list(folder.rglob('*.*')))} files to {folder}. Next:  cd {shlex.quote(str(folder))}  and  aup"
        " experiment.json\n"
    )
    for pattern in PATTERNS:
        sources = list(REPOSITORY.glob(pattern))
        assert sources
        for source in sources:
            assert (folder / source.relative_to(REPOSITORY)).read_bytes() == source.read_bytes()


def test_the_written_experiment_can_be_run(tmp_path: Path) -> None:
    run(tmp_path / "new")
    settings = read_experiment_file(tmp_path / "new" / "experiment.json")
    assert settings.training is not None
    assert (settings.training.system.name, settings.num_samples, settings.target) == ("fusion", 30, "max")
    assert settings.training.corpus is None


def test_the_authors_bounds_are_searched() -> None:
    settings = read_experiment_file(REPOSITORY / "experiment.json")
    assert {entry["name"]: (entry["range"], entry["type"]) for entry in settings.searched} == {
        "adamlr": ([0.0001, 0.001], "float"),
        "dropout": ([0.0, 0.4], "float"),
        "textlstm": ([150, 300], "int"),
        "speechlstm": ([100, 150], "int"),
        "finalfc": ([150, 350], "int"),
    }


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "search_spaces").rglob("*.json")), ids=lambda path: path.stem
)
def test_every_search_space_is_one_of_its_system(path: Path) -> None:
    held = json.loads(path.read_text())
    assert held["system"] == path.stem
    space = read_search_space(held["parameter_config"], path.name, SYSTEMS[path.stem])
    # A chain has no number to search.
    assert space.num_points == (2 if path.stem == "chain" else None)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "trial.py").write_text("mine")
    with pytest.raises(HarnessError) as caught:
        CliRunner().invoke(init, [str(tmp_path)], catch_exceptions=False)
    assert str(caught.value) == f"'{tmp_path}': holds 'jobs/trial.py' already; expected a folder without it"
    assert [path.name for path in tmp_path.rglob("*.*")] == ["trial.py"]
    assert (tmp_path / "jobs" / "trial.py").read_text() == "mine"
