"""The single changes that `benchmarks.mutants` makes in a file's code, and how loaded functions get changed code."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

#: Operator -> what replaces it: its neighbour, and its opposite. A choice: replacements by something unrelated, such as
#: + by >>, fail in nearly every test and would only flatter the share.
COMPARISONS = {
    "Lt": ("LtE", "GtE"),
    "LtE": ("Lt", "Gt"),
    "Gt": ("GtE", "LtE"),
    "GtE": ("Gt", "Lt"),
    "Eq": ("NotEq",),
    "NotEq": ("Eq",),
    "Is": ("IsNot",),
    "IsNot": ("Is",),
}
ARITHMETIC = {
    "Add": "Sub",
    "Sub": "Add",
    "Mul": "Div",
    "Div": "Mul",
    "FloorDiv": "Mul",
    "Mod": "FloorDiv",
    "Pow": "Mul",
    "BitOr": "BitAnd",
    "BitAnd": "BitOr",
    "LShift": "RShift",
    "RShift": "LShift",
}
#: cosmic-ray's names of the operators that are used.
OPERATORS = (
    *(f"ReplaceComparisonOperator_{old}_{new}" for old, news in COMPARISONS.items() for new in news),
    *(f"ReplaceBinaryOperator_{old}_{new}" for old, new in ARITHMETIC.items()),
    *("ReplaceUnaryOperator_Delete_USub", "ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_Delete_Invert"),
    *("ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "AddNot"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "NumberReplacer"),
)

#: Names on which logging is called.
LOGGERS = ("log", "logger", "logging", "warnings")
#: Arguments that are checks which never fire in right code, or guards against a writer of code.
IGNORED_ARGUMENTS = ("strict", "frozen", "slots", "kw_only", "stacklevel")


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        path: the file, from the repository's root
        occurrence: index, from 0, among the places in the file where ``operator`` can change something
        line: where the change begins, from 1
    """

    path: str
    operator: str
    occurrence: int
    line: int


@dataclass(frozen=True)
class Statement:
    """The first and last line of a statement, of a compound one without its body; and whether an import runs it."""

    first: int
    last: int
    runs_at_import: bool

    def isdisjoint(self, lines: Iterable[int]) -> bool:
        return not any(self.first <= line <= self.last for line in lines)


def list_mutants(path: str, source: str) -> list[Mutant]:
    """List every change of a file, without those that no test should notice.

    Some of these may not compile; ``mutate`` refuses them.
    """
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator

    ignored = _ignored_ranges(ast.parse(source))
    nodes = list(ast_nodes(get_ast(source)))
    found = []
    for name in OPERATORS:
        operator, occurrence = get_operator(f"core/{name}")(), 0
        for node in nodes:
            for begin, _ in operator.mutation_positions(node):
                is_ignored = any(first <= tuple(begin) < last for first, last in ignored)
                if not is_ignored and not _doubles(name, node) and not _is_marker(node):
                    found.append(Mutant(path, name, occurrence, begin[0]))
                occurrence += 1
    return found


def mutate(source: str, mutant: Mutant) -> str | None:
    """Return the changed source; None where it does not compile, or means the same."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    changed = mutate_code(source, get_operator(f"core/{mutant.operator}")(), mutant.occurrence)
    if changed is None:
        return None
    try:
        tree = ast.parse(changed)
        compile(tree, mutant.path, "exec")
    except SyntaxError:
        return None
    return None if ast.dump(tree) == ast.dump(ast.parse(source)) else str(changed)


def _doubles(operator: str, node: Any) -> bool:
    """Return whether another operator makes the same change: a negated comparison is the opposite comparison."""
    if operator != "AddNot":
        return False
    condition = node.children[2 if node.type == "test" else 1]
    opposites = ("<", "<=", ">", ">=", "==", "!=", "is", "is not")
    is_single = condition.type == "comparison" and len(condition.children) == 3
    return condition.type == "not_test" or (is_single and condition.children[1].get_code().strip() in opposites)


def _is_marker(node: Any) -> bool:
    """Return whether an operator's sign is none, like the ``*`` before arguments that need their names."""
    kinds = ("arith_expr", "term", "expr", "and_expr", "xor_expr", "shift_expr", "power", "comparison")
    return node.type == "operator" and node.parent.type not in kinds


def _ignored_ranges(tree: ast.Module) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the places that no test should notice, each from (line, column) to the one behind it."""
    found: list[ast.expr | ast.stmt | ast.keyword] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
            found += [each.annotation for each in every if each is not None and each.annotation is not None]
            found += [node.returns] if node.returns is not None else []
        elif isinstance(node, ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.Raise):
            found += [each for each in ast.walk(node) if isinstance(each, ast.JoinedStr)]
        elif isinstance(node, ast.keyword) and node.arg in IGNORED_ARGUMENTS:
            found.append(node.value)
        elif isinstance(node, ast.Call) and _is_logging(node):
            found.append(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "cast" and node.args:
            found.append(node.args[0])
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            found.append(node)
        elif isinstance(node, ast.Assign) and "__all__" in map(ast.unparse, node.targets):
            found.append(node)
        elif isinstance(node, ast.Assign) and node in tree.body and _is_type(node.value):
            found.append(node)
    return [((each.lineno, each.col_offset), (each.end_lineno or 0, each.end_col_offset or 0)) for each in found]


def _is_logging(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value).lower().strip("_") in LOGGERS


def _is_type(value: ast.expr) -> bool:
    """Return whether a module's variable is a name of a type, such as ``int | None``."""
    return isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr) and isinstance(value.left, ast.Name)


def find_statement(source: str, line: int) -> Statement:
    """Return the innermost statement at a line."""
    best: Statement | None = None

    def visit(body: Iterable[ast.AST], in_function: bool) -> None:
        nonlocal best
        for node in body:
            inside = in_function
            if isinstance(node, ast.stmt):
                last = node.end_lineno or node.lineno
                inner = getattr(node, "body", None)
                if isinstance(inner, list) and inner:
                    last = max(node.lineno, inner[0].lineno - 1)
                decorators = getattr(node, "decorator_list", [])
                first = min([node.lineno, *(each.lineno for each in decorators)])
                if first <= line <= last:
                    best = Statement(first, last, not in_function)
                inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            visit(ast.iter_child_nodes(node), inside)

    visit(ast.parse(source).body, False)
    return best or Statement(line, line, True)


def exchange_code(functions: Iterable[FunctionType], path: str, source: str, changed: str) -> bool:
    """Give loaded functions the code of a changed file.

    Returns:
        False where the change is in something that an import runs: then all functions are as before
    """
    found = _list_changed(compile(source, path, "exec"), compile(changed, path, "exec"))
    if not found:
        return False
    pairs = [
        (function, found[_key(function.__code__)])
        for function in functions
        if function.__code__.co_filename == path and _key(function.__code__) in found
    ]
    if any(function.__code__.co_freevars != code.co_freevars for function, code in pairs):
        return False
    for function, code in pairs:
        function.__code__ = code
    return bool(pairs)


def _key(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def _list_changed(old: CodeType, new: CodeType) -> dict[tuple[str, int], CodeType] | None:
    """Return the new code of functions that differ; None where the body of a class or of the module does."""
    inner = list(zip(_list_inner(old), _list_inner(new), strict=False))
    is_function = bool(old.co_flags & inspect.CO_OPTIMIZED)
    if not is_function and (_describe(old) != _describe(new) or len(inner) != len(_list_inner(new))):
        return None
    found = {_key(old): new} if is_function else {}
    for before, after in inner:
        if before != after:
            changed = _list_changed(before, after)
            if changed is None and not is_function:
                return None
            found |= changed or {}
    return found


def _list_inner(code: CodeType) -> list[CodeType]:
    return [each for each in code.co_consts if isinstance(each, CodeType)]


def _describe(code: CodeType) -> tuple[object, ...]:
    constants = [repr(each) for each in code.co_consts if not isinstance(each, CodeType)]
    return code.co_code, code.co_names, constants, code.co_exceptiontable
