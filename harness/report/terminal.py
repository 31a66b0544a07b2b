"""The report in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from harness.report.findings import Findings
from harness.report.openings import tabulate_test_scores
from harness.report.sentences import (
    Statement,
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
    console.print(Text(title, style="bold"))
    console.print(Text(describe_progress(findings)))
    console.print()
    _print_statements(console, describe_search(findings))
    for table in (
        tabulate_best_trials(findings, num_trials, is_brief=True),
        tabulate_search_space(findings),
        tabulate_confusion(findings),
        tabulate_causes(findings),
        tabulate_failures(findings, MAX_FAILURES),
    ):
        _print_table(console, table)
    console.print()
    _print_statements(console, describe_openings(findings))
    scores = tabulate_test_scores(findings)
    _print_table(console, scores)
    if scores.rows and not findings.is_synthetic_only:
        console.print()
        _print_statements(console, [describe_published()])


def _print_statements(console: Console, statements: Sequence[Statement]) -> None:
    for statement in statements:
        style = "bold yellow" if statement.is_warning else "bold"
        console.print(Text.assemble((f"{statement.heading}: ", style), statement.text))


def _print_table(console: Console, table: Table) -> None:
    if not table.rows:
        return
    console.print()
    drawn = RichTable(title=table.title, box=None, padding=(0, 1, 0, 0), pad_edge=False)
    drawn.title_justify, drawn.title_style, drawn.header_style = "left", "bold", "dim"
    for column in table.columns:
        is_number = column in table.numbers
        drawn.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for number, row in enumerate(table.rows):
        drawn.add_row(*(Text(cell) for cell in row), style="bold" if number == table.highlighted_row else "")
    console.print(drawn)
    if table.note:
        console.print(Text(table.note, style="dim"))
