"""Imports go one way along the line, and TensorFlow stays where models are."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.main import COMMANDS

HARNESS = Path(__file__).parents[1] / "harness"

#: The line: a module imports what stands before it, or in its own place.
LINE = [
    {"errors", "files", "codec", "wording", "provenance"},
    {"corpus"},
    {"splits"},
    {"features"},
    {"models"},
    # The package itself gives scripts what they report with.
    {"store", "__init__"},
    {"scoring"},
    {"training"},
    {"search"},
    {"final"},
    {"tables"},
    {"report"},
    {"notebook"},
    {"cli"},
]
PLACE = {name: place for place, names in enumerate(LINE) for name in names}

#: What runs inside a trial or with a model, and so may import TensorFlow.
WITH_TENSORFLOW = {"models", "training", "final", "tables"}

#: A command's module imports the stops inside the command; only these may import TensorFlow on the way.
MODULES = sorted(HARNESS.rglob("*.py"))


def part_of(path):
    parts = path.relative_to(HARNESS).parts
    return parts[0].removesuffix(".py")


def imported_modules(path):
    """Yield every module that a file imports, but for what only a type checker reads."""
    tree = ast.parse(path.read_text("utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def ids(path):
    return str(path.relative_to(HARNESS))


def test_every_module_has_its_place_on_the_line():
    assert {part_of(path) for path in MODULES} <= set(PLACE)


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_imports_go_one_way(path):
    place = PLACE[part_of(path)]
    later = [
        name
        for name in imported_modules(path)
        if name.startswith("harness.") and PLACE[name.split(".")[1]] > place
    ]
    assert later == []


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_only_models_and_what_runs_them_import_tensorflow(path):
    imported = {name.split(".")[0] for name in imported_modules(path)} & {"tensorflow", "keras"}
    assert not imported or part_of(path) in WITH_TENSORFLOW


@pytest.mark.parametrize(
    ("package", "owner"),
    [
        *(("aup", "search"), ("sqlite3", "store"), ("sqlite_utils", "store")),
        *(("distributed", "search"), ("dask_jobqueue", "search")),
    ],
)
def test_a_package_is_known_in_one_place_only(package, owner):
    knowing = {
        part_of(path)
        for path in MODULES
        if package in {name.split(".")[0] for name in imported_modules(path)}
    }
    assert knowing <= {owner}


#: What a file may import of this package: beyond it, the file has more than one concept.
MAX_IMPORTS = 15


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "main.py"], ids=ids)
def test_a_file_imports_few_others(path):
    imported = {name for name in imported_modules(path) if name.startswith("harness.")}
    assert len(imported) <= MAX_IMPORTS, sorted(imported)


def test_no_files_import_each_other_in_a_circle():
    modules = {".".join(("harness", *path.relative_to(HARNESS).with_suffix("").parts)): path for path in MODULES}
    left = {module: set(imported_modules(path)) & set(modules) for module, path in modules.items()}
    while free := [module for module, imported in left.items() if not imported & set(left)]:
        for module in free:
            del left[module]
    assert left == {}


HEAVY = "tensorflow,keras,gensim,pandas,matplotlib,altair"
#: A command's help must not wait for these either.
SLOW_HELP = f"{HEAVY},numpy,scipy,sklearn,rich,sqlite3"
LIGHT_MODULES = [
    ("harness", f"{SLOW_HELP},click,rich"),
    *((module, SLOW_HELP) for module in sorted({command.module for command in COMMANDS.values()})),
    *((module, SLOW_HELP) for module in ("harness.cli.main", "harness.cli.aup", "harness.models.systems")),
    ("harness.search.controller", HEAVY),
]


@pytest.mark.parametrize(("module", "heavy"), LIGHT_MODULES)
def test_heavy_packages_are_not_behind_a_light_import(module, heavy):
    code = f"import sys, {module}; print([name for name in '{heavy}'.split(',') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["harness.features.fitted", "harness.report.terminal"])
def test_gensim_is_imported_only_where_word_vectors_are_read(module):
    code = f"import sys, {module}; print('gensim' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
