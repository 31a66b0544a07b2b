"""What an installation, a citation and a contributor are told agrees with the package."""

import configparser
import re
import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

import harness

REPOSITORY = Path(__file__).parents[1]


def requirements() -> list[Requirement]:
    """What setup.cfg requires here, with all extras but that of the benchmarks, which the checks do not install."""
    settings = configparser.ConfigParser()
    settings.read(REPOSITORY / "setup.cfg", "utf-8")
    of_extras = settings["options.extras_require"]
    texts = [settings["options"]["install_requires"], *(of_extras[name] for name in of_extras if name != "benchmarks")]
    lines = [line for text in texts for line in text.splitlines() if line and not line.startswith("#")]
    found = [Requirement(line) for line in lines]
    return [each for each in found if each.marker is None or each.marker.evaluate()]


def constraints() -> dict[str, str]:
    lines = (REPOSITORY / "constraints.txt").read_text("utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {name.lower().replace("_", "-"): found for name, found in pairs}


def test_constraints_name_a_version_that_is_allowed_of_everything_that_is_installed() -> None:
    pinned = constraints()
    for needed in requirements():
        assert needed.specifier.contains(pinned[needed.name.lower().replace("_", "-")]), needed


def test_one_version_and_one_date_are_named_everywhere() -> None:
    citation = (REPOSITORY / "CITATION.cff").read_text("utf-8")
    (date,) = re.findall(r"^date-released: (\S+)$", citation, re.MULTILINE)
    assert f"\nversion: {harness.__version__}\n" in citation
    first = re.findall(r"^## (.+)$", (REPOSITORY / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert f"{harness.__version__} ({date})" in first
    assert f"harness_iemocap-{harness.__version__}-" in (REPOSITORY / "docs" / "slurm.md").read_text("utf-8")


def test_pyproject_says_only_what_builds_the_package() -> None:
    assert set(tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))) == {"build-system"}


def test_the_workflow_names_parts_that_the_script_has() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text("utf-8")
    workflow = (REPOSITORY / ".github" / "workflows" / "checks.yml").read_text("utf-8")
    parts = re.findall(r"^(\w+)\(\) \{", script, re.MULTILINE)
    (named,) = re.findall(r"^all=\((.*)\)$", script, re.MULTILINE)
    assert set(named.split()) == set(parts) - {"say", "find_python"}
    (asked,) = re.findall(r"part: \[(.*)\]", workflow)
    assert set(asked.split(", ")) <= set(named.split())


def test_the_parts_run_in_the_order_of_the_script_however_they_are_named() -> None:
    """The wheel's part takes the environment of the others away."""
    script = (REPOSITORY / ".ci" / "run").read_text("utf-8")
    reads_names, _, rest = script.partition('cd "$(dirname "$0")/.."')
    stubs = "".join(f"{part}() {{ echo {part}; }}\n" for part in re.findall(r"^(\w+)\(\) \{", script, re.MULTILINE))
    code = f"{reads_names}{stubs}{rest[rest.rindex('for part in '):]}"
    done = subprocess.run(["bash", "-c", code, "run", "wheel", "lint"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["lint", "wheel", "say"]


def test_pre_commit_runs_the_linters_of_the_script() -> None:
    hooks = (REPOSITORY / ".pre-commit-config.yaml").read_text("utf-8")
    script = (REPOSITORY / ".ci" / "run").read_text("utf-8")
    for entry in re.findall(r"entry: (.+)", hooks):
        assert f"\n  {entry}" in script, entry
