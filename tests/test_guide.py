"""The guide says what the commands do: its commands parse, its links lead somewhere, its sentences are ours."""

import ast
import json
import re
import shlex
from pathlib import Path

import click
import pytest

from harness.cli.aup import aup
from harness.cli.main import COMMANDS, harness
from harness.search.known_keys import EXPERIMENT_KEYS
from harness.splits import read_protocol

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
CHAPTERS = sorted(DOCS.glob("*.md"))
MAX_PICTURE_BYTES = 300_000

_BLOCK = re.compile(r"^ *```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?P<is_picture>!?)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_INLINE = re.compile(r"`harness ([a-z][\w-]*)")


def blocks(language: str) -> list[tuple[str, str]]:
    """Every fenced block of a language, with its chapter."""
    return [
        (chapter.name, block["text"])
        for chapter in CHAPTERS
        for block in _BLOCK.finditer(chapter.read_text("utf-8"))
        if block["language"] == language
    ]


def typed_commands() -> list[str]:
    """Every line of a fenced block in which one of the two programs is typed."""
    found = {}
    for _, text in [*blocks("sh"), *blocks("")]:
        for line in text.splitlines():
            words = [word for word in shlex.split(line, comments=True) if not re.match(r"\w+=", word)]
            if words and words[0] in ("harness", "aup") and "\\" not in line:
                found[shlex.join(words)] = None
    return list(found)


def without_code(chapter: Path) -> str:
    return _BLOCK.sub("", chapter.read_text("utf-8"))


def headings(path: Path) -> set[str]:
    """The anchors that GitHub gives a file's headings."""
    titles = re.findall(r"^#+ (.*)$", _BLOCK.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def name(value: object) -> str:
    return value.name if isinstance(value, Path) else str(value)


@pytest.mark.parametrize("line", typed_commands())
def test_every_command_of_the_guide_parses(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(line)
    command: click.Command = aup
    if program == "harness":
        if words == ["--version"]:
            return
        assert words[0] in COMMANDS, f"there is no command {words[0]!r}"
        group = harness.get_command(click.Context(harness), words[0])
        assert group is not None
        command, words = group, words[1:]
    # Reads and checks every argument, and calls nothing.
    command.make_context(program, words)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=name)
def test_every_command_that_is_named_exists(chapter: Path) -> None:
    assert {command for command in _INLINE.findall(without_code(chapter)) if command not in COMMANDS} == set()


def test_what_is_typed_in_the_guide_is_known_here() -> None:
    """A line with any other program would be tested by nobody."""
    words = {line.split()[0] for _, text in blocks("sh") for line in text.splitlines() if line.strip()}
    assert {word for word in words if "=" not in word} <= {"harness", "aup", "cd", "eval"}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=name)
def test_links_lead_somewhere(chapter: Path) -> None:
    broken = []
    for link in _LINK.finditer(without_code(chapter)):
        target, _, anchor = link["target"].partition("#")
        if target.startswith("https://"):
            continue
        path = chapter if not target else (chapter.parent / target).resolve()
        if not path.exists() or (anchor and anchor not in headings(path)):
            broken.append(link["target"])
    assert broken == []


def test_every_chapter_and_every_picture_is_linked() -> None:
    linked = {
        (chapter.parent / link["target"].partition("#")[0]).resolve()
        for chapter in CHAPTERS
        for link in _LINK.finditer(without_code(chapter))
    }
    there = {*CHAPTERS, *(DOCS / "pictures").iterdir()} - {DOCS / "README.md"}
    assert {path.name for path in there if path.resolve() not in linked} == set()


def test_pictures_are_small() -> None:
    assert sum(path.stat().st_size for path in (DOCS / "pictures").iterdir()) < MAX_PICTURE_BYTES


@pytest.mark.parametrize("chapter", CHAPTERS, ids=name)
def test_a_page_with_pictures_says_that_they_are_synthetic(chapter: Path) -> None:
    text = chapter.read_text("utf-8")
    has_pictures = any(link["is_picture"] for link in _LINK.finditer(text))
    assert not has_pictures or re.search(r"synthetic corpus: no\s+score in", text, re.IGNORECASE)


@pytest.mark.parametrize("text", [text for _, text in blocks("json")])
def test_json_of_the_guide_is_what_an_experiment_file_takes(text: str) -> None:
    values = json.loads(text)
    assert set(values) <= set(EXPERIMENT_KEYS)
    if "protocol" in values:
        read_protocol(values["protocol"])


def sentences_of_the_code() -> list[str]:
    """Every text in the package, with nothing in place of what a value fills."""
    found = []
    for path in (REPOSITORY / "harness").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "" for part in node.values]
                found.append("".join(str(part) for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_the_sentences_that_are_explained_are_those_that_are_said() -> None:
    text = (DOCS / "troubleshooting.md").read_text("utf-8")
    _, _, section = text.partition("## By sentence")
    quoted = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert len(quoted) >= 8
    said = "\n".join(sentences_of_the_code())
    parts = {part.strip(" ;:") for sentence in quoted for part in sentence.split("...")}
    assert {part for part in parts if part not in said} == set()
