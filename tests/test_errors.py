"""Every refusal of the package, read from its source: one text that names the thing and says what was expected."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import harness

PACKAGE = Path(harness.__file__).parent

#: What comes after a semicolon where a message says what to do in place of what was expected.
REMEDIES = (
    "run|name|choose|give|make|use|free|fetch|train|restore|move|search|prepare|resume|start|fix|end|install|upgrade"
    "|delete|correct|omit|report|put|write|to resume it|recorded trials are safe|the others were"
    "|a lower learning rate|the same command|\\{remedy\\}"
)
SAYS_WHAT_TO_DO = re.compile(rf"expected|; (?:{REMEDIES})|; `")
#: Python's own names of types and values, which a reader of messages need not know.
PYTHONS_WORDS = re.compile(r"(?<!=)\b(?:None|NoneType|True|False|dict|tuple|str|codec|bool|traceback)\b")
DOUBLED = re.compile(r"\b([A-Za-z]+) \1\b", re.IGNORECASE)
#: A thing before a colon, or as the subject of a verb.
NAMES_A_THING = re.compile(
    r"unknown |[^;]*?(?:: | (?:is|are|has|have|holds?|needs?|was|were|ends?|failed|could not)\b)"
)
#: Messages that are the cause of a failed training, and stand after its name.
CAUSES = ("ChildFailed",)

#: Messages that are whole sentences from elsewhere, by file and expression.
FROM_ELSEWHERE = {
    ("models/own.py", "answer['error']"): "a sentence of the process that runs a user's file",
    ("search/lock.py", "describe_holder(what, _read_holder(descriptor))"): "a sentence that watch shows too",
    ("store/connection.py", "_describe(path, error)"): "a sentence for each family of SQLite's errors",
    ("training/early_stopping.py", "pruning.sentence"): "no refusal: a trial that ends early, and the rivals",
}
#: Foreign words that stand in a message as they came, by file, with the reason.
AS_THEY_CAME = {
    "store/connection.py": "SQLite's words are short, and in English",
    "files.py": "of numpy, zipfile and of this file itself; every caller shows them by one_line",
}


@dataclass(frozen=True)
class Refusal:
    """A call of an error's class: its place, and the text with ``{}`` for each value; None where it is no text."""

    place: str
    file: str
    arguments: tuple[str, ...]
    texts: tuple[str, ...] | None


def name_of(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]


def parse_package() -> dict[str, ast.Module]:
    return {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def find_error_classes(trees: dict[str, ast.Module]) -> set[str]:
    """Find the subclasses of ``HarnessError``, wherever they are defined."""
    classes = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    known, num_before = {"HarnessError"}, 0
    while len(known) > num_before:
        num_before = len(known)
        known |= {node.name for node in classes if any(name_of(base) in known for base in node.bases)}
    return known


def write_texts(node: ast.expr) -> tuple[str, ...] | None:
    """Write the texts that an expression can be, with ``{}`` for each value in them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return (node.value,)
    if isinstance(node, ast.JoinedStr):
        return ("".join(map(_write_part, node.values)),)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        # Of a sum, a part that is no text in the source is a value.
        lefts, rights = write_texts(node.left) or ("{}",), write_texts(node.right) or ("{}",)
        return tuple(left + right for left in lefts for right in rights)
    if isinstance(node, ast.IfExp):
        first, second = write_texts(node.body), write_texts(node.orelse)
        return None if first is None or second is None else first + second
    return None


def _write_part(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    if not isinstance(part.value, ast.Name) or part.conversion != -1:
        return "{}"
    return "{remedy}" if part.value.id == "remedy" else CONSTANTS.get(part.value.id, "{}")


def find_refusals(trees: dict[str, ast.Module]) -> list[Refusal]:
    errors = find_error_classes(trees)
    found = []
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and name_of(node.func) in errors.difference(CAUSES):
                arguments = tuple(map(ast.unparse, [*node.args, *(each.value for each in node.keywords)]))
                texts = write_texts(node.args[0]) if len(arguments) == len(node.args) == 1 else None
                found.append(Refusal(f"{file}:{node.lineno}", file, arguments, texts))
    return found


TREES = parse_package()
#: The texts that modules have given a name, by that name.
CONSTANTS: dict[str, str] = {}
for node in (node for tree in TREES.values() for node in tree.body):
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant | ast.JoinedStr):
        CONSTANTS |= {ast.unparse(target): text for target in node.targets for text in write_texts(node.value) or ()}
REFUSALS = find_refusals(TREES)
#: Those that add the name of a file, or of a key, to another refusal.
PASSED_ON = re.compile(r"^(?:[^;]*: )?(?:\{\})+$")


def test_the_refusals_are_found() -> None:
    assert len(REFUSALS) > 350
    assert {"CodecError", "NoLocksError", "CorpusError", "Diverged"} <= find_error_classes(TREES)


def test_every_refusal_is_one_text() -> None:
    others = {(each.file, argument) for each in REFUSALS if each.texts is None for argument in each.arguments or ("",)}
    assert others == set(FROM_ELSEWHERE)


def complain(text: str) -> str | None:
    """Say what a message lacks."""
    if PASSED_ON.match(text):
        return None
    if not NAMES_A_THING.match(text):
        return "names no thing first"
    if not SAYS_WHAT_TO_DO.search(text):
        return "says neither what was expected nor what to do"
    if DOUBLED.search(text):
        return "has a word twice"
    if PYTHONS_WORDS.search(text):
        return "has Python's words"
    if text != text.strip() or text.endswith("."):
        return "is not one sentence without its full stop"
    return None


def test_every_refusal_names_the_thing_and_says_what_was_expected_or_what_to_do() -> None:
    complaints = [
        f"{each.place} {complaint}: {text}"
        for each in REFUSALS
        for text in each.texts or ()
        if (complaint := complain(text))
    ]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("no good; expected better", "names no thing first"),
        ("file '{}': is broken", "says neither what was expected nor what to do"),
        ("file '{}': is is broken; expected a whole one", "has a word twice"),
        ("file '{}': holds None; expected a number", "has Python's words"),
        ("file '{}': is broken; expected a whole one.", "is not one sentence without its full stop"),
        ("file '{}': is broken; expected a whole one", None),
        ("word vectors {}: cannot be read ({}); fetch the file again", None),
    ],
)
def test_what_makes_a_refusal_bad_is_found(text: str, complaint: str | None) -> None:
    assert complain(text) == complaint


def find_foreign_words(trees: dict[str, ast.Module]) -> Iterator[str]:
    """Find messages that show a foreign exception by ``{error}``, and so in Python's words, or over several lines."""
    errors = find_error_classes(trees)
    for file, tree in trees.items():
        for handler in (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name):
            assert handler.type is not None
            caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
            if {name_of(each) for each in caught} <= errors or file in AS_THEY_CAME:
                continue
            for value in (node for node in ast.walk(handler) if isinstance(node, ast.FormattedValue)):
                if isinstance(value.value, ast.Name) and value.value.id == handler.name:
                    yield f"{file}:{value.lineno} {{{handler.name}}} of {ast.unparse(handler.type)}"


#: Places where ``{error}`` of a wider type is this package's own sentence, by file and exception.
OWN_SENTENCES = {
    ("search/keys.py", "ValueError"): "of parse_json",
    ("store/reported.py", "ValueError"): "of parse_json",
    ("training/trial.py", "ValueError"): "of read_object",
}


def test_no_refusal_has_the_words_of_a_foreign_exception() -> None:
    found = [re.fullmatch(r"(\S+):\d+ \{\w+\} of (.+)", each) for each in find_foreign_words(TREES)]
    places = {(match[1], match[2]) for match in found if match}
    assert places <= set(OWN_SENTENCES), places - set(OWN_SENTENCES)


def test_foreign_words_are_found() -> None:
    source = "try:\n    f()\nexcept (OSError, HarnessError) as error:\n    raise X(f'file: {error}')"
    assert list(find_foreign_words({"a.py": ast.parse(source)})) == ["a.py:4 {error} of (OSError, HarnessError)"]
    assert not list(find_foreign_words({"a.py": ast.parse(source.replace("OSError, ", ""))}))


def test_no_console_takes_a_name_for_markup() -> None:
    """A folder called ``[/x]`` ended `harness retrain-best` with rich's MarkupError, and ``[red]`` vanished."""
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and name_of(node.func) in ("Console", "PatientConsole", "TextColumn"):
                given = {each.arg: ast.unparse(each.value) for each in node.keywords}
                assert given.get("markup") == "False" or given.get("quiet") == "True", f"{file}:{node.lineno}"
