"""The report in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from harness.report.charts import describe_expected_best, expected_best_of
from harness.report.charts_space import tabulate_importance
from harness.report.findings import Findings, Leaks, Replication
from harness.report.follow_ups import (
    describe_leaks,
    describe_replication,
    tabulate_leaks,
    tabulate_replication,
)
from harness.report.importance import list_importances
from harness.report.statements import (
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
from harness.report.test_set import describe_test_session, tabulate_test_scores, tabulate_test_session

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
        enough = describe_expected_best(findings, expected_best_of(findings))
        print_statements(console, [Statement("Were there enough trials?", enough)])
        console.print()
    print_statements(console, describe_openings(findings))
    scores = tabulate_test_scores(findings)
    print_table(console, scores)
    if scores.rows and not findings.is_synthetic_only:
        console.print()
        print_statements(console, [describe_published()])
    if findings.scored_opening is not None:
        console.print()
        print_statements(console, describe_test_session(findings))
    for table in tabulate_test_session(findings):
        print_table(console, table)


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


def print_statements(console: Console, statements: Sequence[Statement]) -> None:
    """Print sentences under their headings, warnings in another colour."""
    for statement in statements:
        style = "bold yellow" if statement.is_warning else "bold"
        mark = "" if statement.heading.endswith("?") else ":"
        console.print(Text.assemble((f"{statement.heading}{mark} ", style), statement.text))


def print_table(console: Console, table: Table) -> None:
    """Print a table with its note; nothing where it has no row."""
    if not table.rows:
        return
    console.print()
    drawn = RichTable(title=table.title, box=None, padding=(0, 1, 0, 0), pad_edge=False)
    drawn.title_justify, drawn.title_style, drawn.header_style = "left", "bold", "dim"
    for column in table.columns:
        is_number = column in table.numbers
        drawn.add_column(Text(column), justify="right" if is_number else "left", overflow="fold")
    for number, row in enumerate(table.rows):
        drawn.add_row(*(Text(cell) for cell in row), style="bold" if number == table.highlighted_row else "")
    console.print(drawn)
    if table.note:
        console.print(Text(table.note, style="dim"))
