"""README and guide say what the commands do: what they type parses, links lead somewhere, sentences are ours."""

import ast
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.cli.main import COMMANDS
from harness.final.recorded import read_dialogue
from harness.search.known_keys import EXPERIMENT
from harness.splits.protocol import read_protocol
from tests.cli.typed import check_parses

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
CHAPTERS = sorted(DOCS.glob("*.md"))
PAGES = [*(REPOSITORY / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")), *CHAPTERS]
MAX_PICTURE_BYTES = 300_000

_BLOCK = re.compile(r"^ *```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?P<is_picture>!?)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_SHELLS = ("sh", "bash", "console", "")
#: What a page writes where a reader's own word stands.
_PLACEHOLDER = re.compile(r"\b[A-Z]{2,}\b|\.\.\.")
_INLINE = re.compile(r"`harness ([a-z][\w-]*)")


def blocks(*languages: str, pages: Sequence[Path]) -> list[tuple[str, str]]:
    """Every fenced block of some languages, with its page."""
    return [
        (page.name, block["text"])
        for page in pages
        for block in _BLOCK.finditer(page.read_text("utf-8"))
        if block["language"] in languages
    ]


def lines_with_commands(page: Path) -> list[str]:
    """Every line of a page's code, in a block or in a sentence, that may type one of the two programs."""
    text = page.read_text("utf-8")
    lines = [line for _, block in blocks(*_SHELLS, pages=[page]) for line in block.splitlines()]
    lines += re.findall(r"^ {4}((?:harness|aup) .*)$", text, re.MULTILINE)
    lines += re.findall(r"`((?:harness|aup) [^`\n]* [^`\n]*)`", _BLOCK.sub("", text))
    return [line for line in lines if not _PLACEHOLDER.search(line) and "\\" not in line]


def without_code(chapter: Path) -> str:
    return _BLOCK.sub("", chapter.read_text("utf-8"))


def headings(path: Path) -> set[str]:
    """The anchors that GitHub gives a file's headings."""
    titles = re.findall(r"^#+ (.*)$", _BLOCK.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def name(value: object) -> str:
    return value.name if isinstance(value, Path) else str(value)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_that_a_page_types_parses(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for line in lines_with_commands(page):
        check_parses(line)


def test_commands_are_found_in_blocks_and_in_sentences() -> None:
    assert any(line.startswith("aup ") for line in lines_with_commands(DOCS / "search.md"))
    assert sum(len(lines_with_commands(page)) for page in PAGES) > 50


@pytest.mark.parametrize("chapter", PAGES, ids=name)
def test_every_command_that_is_named_exists(chapter: Path) -> None:
    assert {command for command in _INLINE.findall(without_code(chapter)) if command not in COMMANDS} == set()


def test_what_is_typed_in_the_guide_is_known_here() -> None:
    """A line with any other program would be tested by nobody."""
    words = {line.split()[0] for _, text in blocks("sh", pages=CHAPTERS) for line in text.splitlines() if line.strip()}
    assert {word for word in words if "=" not in word} <= {"harness", "aup", "cd", "eval"}


@pytest.mark.parametrize("chapter", PAGES, ids=name)
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


@pytest.mark.parametrize("text", [text for _, text in blocks("json", pages=CHAPTERS)])
def test_json_of_the_guide_is_what_an_experiment_file_takes(text: str) -> None:
    values = json.loads(text)
    assert set(values) <= set(EXPERIMENT.keys)
    if "protocol" in values:
        read_protocol(values["protocol"])


@pytest.mark.parametrize("text", [text for _, text in blocks("csv", pages=CHAPTERS)])
def test_csv_of_the_guide_is_a_dialogue_that_predict_takes(text: str, tmp_path: Path) -> None:
    (tmp_path / "talk.csv").write_text(text, "utf-8")
    dialogue = read_dialogue(tmp_path / "talk.csv")
    assert len(dialogue.turns) == 3 and not dialogue.unread


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
    _, _, section = text.partition("## By message")
    quoted = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert len(quoted) >= 8
    said = "\n".join(sentences_of_the_code())
    parts = {part.strip(" ;:") for sentence in quoted for part in sentence.split("...")}
    assert {part for part in parts if part not in said} == set()


def test_the_architecture_lists_every_file_with_the_first_line_of_its_docstring() -> None:
    text = (DOCS / "architecture.md").read_text("utf-8")
    listed = dict(re.findall(r"^\| `([\w/]+\.py)` \| (.+) \|$", text, re.MULTILINE))
    package = REPOSITORY / "harness"
    first_lines = {}
    for path in package.rglob("*.py"):
        if path.name != "__init__.py":
            docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
            first_lines[str(path.relative_to(package))] = docstring.splitlines()[0].rstrip(".").replace("``", "`")
    assert listed == first_lines
