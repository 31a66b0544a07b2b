"""What an installation, a citation and a contributor are told agrees with the package."""

import configparser
import re
import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

import harness

REPOSITORY = Path(__file__).parents[1]


def read_settings() -> configparser.ConfigParser:
    settings = configparser.ConfigParser()
    settings.read(REPOSITORY / "setup.cfg", "utf-8")
    return settings


def requirements() -> list[Requirement]:
    """What setup.cfg requires here, with all extras but that of the benchmarks, which the checks do not install."""
    settings = read_settings()
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


def test_the_readme_names_every_extra_of_users() -> None:
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    (named,) = re.findall(r"^The extras (.+) add what each needs", readme, re.MULTILINE)
    extras = set(read_settings()["options.extras_require"]) - {"test", "benchmarks"}
    assert re.findall(r"`(\w+)`", named) and set(re.findall(r"`(\w+)`", named)) == extras


def test_the_package_links_to_the_paper_that_is_cited_and_to_the_page_of_the_corpus() -> None:
    lines = read_settings()["metadata"]["project_urls"].strip().splitlines()
    urls = dict(line.split(" = ") for line in lines)
    (number,) = re.findall(r"value: arXiv:(\S+)", (REPOSITORY / "CITATION.cff").read_text("utf-8"))
    assert urls["Paper"] == f"https://arxiv.org/abs/{number}"
    assert f"({urls['Corpus']})" in (REPOSITORY / "docs" / "corpus.md").read_text("utf-8")


def test_the_image_is_built_of_the_wheel_of_this_version_and_of_files_that_are_there() -> None:
    definition = (REPOSITORY / "docs" / "harness.def").read_text("utf-8")
    (files,) = re.findall(r"^%files\n(.+?)^$", definition, re.DOTALL | re.MULTILINE)
    copied = [line.split() for line in files.splitlines()]
    wheel = f"harness_iemocap-{harness.__version__}-py3-none-any.whl"
    assert [name for name, _ in copied] == [wheel, "constraints.txt"] and (REPOSITORY / "constraints.txt").is_file()
    (installed,) = re.findall(r'pip install .*-c (\S+) "(\S+)\[(\w+)\]"', definition)
    assert installed == (copied[1][1], copied[0][1], "cluster")
    assert "cluster" in read_settings()["options.extras_require"]
    assert f"    rm {copied[0][1]}\n" in definition
    (python,) = re.findall(r"^From: python:(\S+)-slim$", definition, re.MULTILINE)
    assert f"Python {python}" in (REPOSITORY / "constraints.txt").read_text("utf-8")
    chapter = (REPOSITORY / "docs" / "slurm.md").read_text("utf-8")
    assert "(harness.def)" in chapter and "\napptainer build harness.sif docs/harness.def\n" in chapter


def test_pyproject_says_only_what_builds_the_package() -> None:
    assert set(tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))) == {"build-system"}


def test_the_workflow_runs_every_part_of_the_script_once_and_installs_slurm_before_the_long_tests() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text("utf-8")
    workflow = (REPOSITORY / ".github" / "workflows" / "checks.yml").read_text("utf-8")
    parts = re.findall(r"^(\w+)\(\) \{", script, re.MULTILINE)
    (named,) = re.findall(r"^all=\((.*)\)$", script, re.MULTILINE)
    assert set(named.split()) == set(parts) - {"say", "find_python"}
    (asked,) = re.findall(r"parts: \[(.*)\]", workflow)
    machines = [machine.split() for machine in asked.split(", ")]
    assert sorted(part for machine in machines for part in machine) == sorted(named.split())
    assert ["slurm", "long"] in machines
    step = "- if: contains(matrix.parts, 'slurm')\n        run: sudo tests/slurm_node install "
    assert step in workflow and workflow.index(step) < workflow.index("- run: .ci/run ${{ matrix.parts }}\n")


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
    (lint,) = re.findall(r"^lint\(\) \{\n(.+?)^\}", script, re.DOTALL | re.MULTILINE)
    linters = [line.replace(" --quiet", "") for line in lint.splitlines() if line.split()[0] not in ("say", "pip")]
    without_folders = [line.partition(" harness ")[0].strip() for line in linters]
    assert re.findall(r"entry: (.+)", hooks) == without_folders
