"""The report in a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table as RichTable
from rich.text import Text

from harness.report.findings import Findings, Leaks, Replication
from harness.report.follow_ups import (
    describe_leaks,
    describe_replication,
    tabulate_leaks,
    tabulate_replication,
)
from harness.report.importance import list_importances, tabulate_importance
from harness.report.statements import (
    Statement,
    describe_expected_best,
    describe_openings,
    describe_progress,
    describe_published,
    describe_search,
)
from harness.report.tables import (
    Table,
    tabulate_best_trials,
    tabulate_causes,
    tabulate_confusion,
    tabulate_failures,
    tabulate_search_space,
)
from harness.report.test_set import describe_scores, tabulate_opening, tabulate_test_scores
from harness.scoring.assessment import ScoredOpening

#: Failed attempts that are listed; the page lists more, and results.db all.
MAX_FAILURES = 5


def print_report(console: Console, findings: Findings, num_trials: int) -> None:
    """Print what the search found: tables, and what must be known to read them.

    Args:
        num_trials: of the best trials, how many are listed
    """
    experiment = findings.experiment
    title = f"Experiment {experiment.eid}: {experiment.name}"
    title += f" (system {experiment.system})" if experiment.system else ""
    title += ", synthetic corpus" if experiment.is_synthetic else ""
    console.print(Text(title, style="bold"))
    console.print(Text(describe_progress(findings)))
    console.print()
    print_statements(console, describe_search(findings))
    for table in (
        tabulate_best_trials(findings, num_trials, is_brief=True),
        tabulate_search_space(findings),
        tabulate_importance(list_importances(findings)),
        tabulate_confusion(findings),
        tabulate_causes(findings),
        tabulate_failures(findings, MAX_FAILURES),
    ):
        print_table(console, table)
    if findings.replication is not None:
        print_replication(console, findings.replication)
    for leaks in findings.leaks:
        print_leaks(console, leaks)
    console.print()
    if findings.finished:
        print_statements(console, [Statement("Were there enough trials?", describe_expected_best(findings))])
        console.print()
    print_statements(console, describe_openings(findings))
    scores = tabulate_test_scores(findings)
    print_table(console, scores)
    if scores.rows and not findings.is_synthetic_only:
        console.print()
        print_statements(console, [describe_published()])
    if findings.scored_opening is not None:
        console.print()
        print_scored_opening(console, findings.scored_opening)


def print_replication(console: Console, replication: Replication) -> None:
    """Print what new seeds of the best trial's point scored, and what that says of its score."""
    print_table(console, tabulate_replication(replication))
    console.print()
    print_statements(console, [describe_replication(replication)])


def print_leaks(console: Console, leaks: Leaks) -> None:
    """Print what the best trial's point scored under each leaking split, and what each leak buys."""
    print_table(console, tabulate_leaks(leaks))
    console.print()
    print_statements(console, [describe_leaks(leaks)])


def print_scored_opening(console: Console, scored: ScoredOpening) -> None:
    """Print what one opening of the test set scored, part by part."""
    print_statements(console, describe_scores(scored))
    for table in tabulate_opening(scored):
        print_table(console, table)


def print_statements(console: Console, statements: Sequence[Statement]) -> None:
    """Print sentences under their headings, warnings in another colour."""
    for statement in statements:
        style = "bold yellow" if statement.is_warning else "bold"
        mark = "" if statement.heading.endswith("?") else ":"
        console.print(Text.assemble((f"{statement.heading}{mark} ", style), statement.text))


def print_table(console: Console, table: Table) -> None:
    """Print a table with its note; nothing where it has no row.

    Where the terminal is too narrow, intervals stand below their numbers, cells are folded between words, and at last
    columns go below the others, each time beside the first one.
    """
    if not table.rows:
        return
    console.print()
    if table.title:
        console.print(Text(table.title, style="bold"))
    columns = list(zip(table.columns, *table.rows, strict=True))
    names = dict(enumerate(table.columns))
    if sum(_widest(column, _LINES) + 1 for column in columns) - 1 > console.width:
        columns = [
            column if names[number] in table.wide else tuple(text.replace(" [", "\n[") for text in column)
            for number, column in enumerate(columns)
        ]
    for place, part in enumerate(_divide(columns, console.width)):
        drawn = RichTable(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
        chosen = [columns[number] for number in part]
        for number, width in zip(part, _fit(chosen, console.width), strict=True):
            justify: JustifyMethod = "right" if names[number] in table.numbers else "left"
            drawn.add_column(Text(columns[number][0]), justify=justify, overflow="fold", width=width)
        for number, row in enumerate(list(zip(*chosen, strict=True))[1:]):
            drawn.add_row(*map(Text, row), style="bold" if number == table.highlighted_row else "")
        if place:
            console.print()
        console.print(drawn)
    if table.note:
        console.print(Text(table.note, style="dim"))


_LINES, _WORDS = re.compile(r"\n"), re.compile(r"\s")


def _widest(texts: Sequence[str], separator: re.Pattern[str]) -> int:
    """Return the room of the widest line, or word, of a column's texts."""
    return max(cell_len(part) for text in texts for part in separator.split(text))


def _divide(columns: Sequence[Sequence[str]], room: int) -> list[list[int]]:
    """Put the columns' numbers into parts that fit without a word being cut, each with the first column."""
    least = [_widest(column, _WORDS) for column in columns]
    parts = [[0]]
    for number in range(1, len(columns)):
        if len(parts[-1]) > 1 and sum(least[known] + 1 for known in parts[-1]) + least[number] > room:
            parts.append([0])
        parts[-1].append(number)
    return parts


def _fit(columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """Return each column's width: the widest are folded, between words if these fit."""
    whole = [_widest(column, _LINES) for column in columns]
    words = [_widest(column, _WORDS) for column in columns]
    for least in (words, [1] * len(columns)):
        for most in range(max(whole), 0, -1):
            widths = [max(low, min(high, most)) for low, high in zip(least, whole, strict=True)]
            if sum(widths) + len(widths) - 1 <= room:
                return widths
    return whole
