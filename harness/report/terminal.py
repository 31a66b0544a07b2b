"""The report in a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table as RichTable
from rich.text import Text

from harness.errors import one_line, visible_lines
from harness.report.comparison import (
    Comparison,
    describe_comparability,
    tabulate_differences,
    tabulate_experiments,
    tabulate_settings_that_differ,
)
from harness.report.evaluations import tabulate_evaluations
from harness.report.findings import Findings, Leaks, Replication
from harness.report.folds import describe_folds, tabulate_folds, tabulate_pooled
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
    tabulate_notes,
    tabulate_search_space,
)
from harness.report.test_set import describe_scores, tabulate_opening, tabulate_test_scores
from harness.scoring.assessment import ScoredOpening
from harness.wording import SYNTHETIC_SENTENCE

#: Failed attempts that are listed; the page lists more, and results.db all.
MAX_FAILURES = 5


def print_report(console: Console, findings: Findings, num_trials: int) -> None:
    """Print what the search found: tables, and what must be known to read them.

    Args:
        num_trials: of the best trials, how many are listed
    """
    experiment = findings.experiment
    title = f"Experiment {experiment.eid}: {experiment.name}"
    title += f" (system {experiment.named_system})" if experiment.system else ""
    title += ", synthetic corpus" if experiment.is_synthetic else ""
    console.print(Text(one_line(title), style="bold"))
    console.print(Text(describe_progress(findings)))
    console.print()
    print_statements(console, describe_search(findings))
    for table in (
        tabulate_best_trials(findings, num_trials, is_brief=True),
        tabulate_notes(findings),
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
    if scores.rows and experiment.is_on_iemocap:
        console.print()
        print_statements(console, [describe_published()])
    if findings.scored_opening is not None:
        console.print()
        print_scored_opening(console, findings.scored_opening)
    print_table(console, tabulate_evaluations(findings.evaluations, findings.evaluation_intervals))


def print_folds(console: Console, findings: Findings, results_dir: Path) -> None:
    """Print the folds of an experiment as one: each fold's search and score, and everything that was pooled.

    Args:
        results_dir: as the user named it, for the command of a fold's own report
    """
    assert findings.folds is not None
    experiment = findings.experiment
    title = f"Experiment {findings.folds.folded.name!r}, {len(findings.folds.folds)} folds"
    title += f" (system {experiment.named_system})"
    title += ", synthetic corpus" if findings.folds.is_synthetic else ""
    console.print(Text(one_line(title), style="bold"))
    console.print()
    print_statements(console, describe_folds(findings.folds))
    for table in (tabulate_folds(findings.folds), *tabulate_pooled(findings.folds)):
        print_table(console, table)
    console.print()
    print_statements(console, describe_openings(findings))
    if findings.folds.pooled is not None and experiment.is_on_iemocap:
        print_statements(console, [describe_published()])
    first = findings.folds.searches[0].eid
    command = f"harness report {shlex.quote(str(results_dir))} --experiment {first}"
    console.print(Text(f"The report of one fold: {one_line(command)}", style="dim"), soft_wrap=True)


def print_replication(console: Console, replication: Replication) -> None:
    """Print what new seeds of the best trial's hyperparameters scored, and what that says of its score."""
    print_table(console, tabulate_replication(replication))
    console.print()
    print_statements(console, [describe_replication(replication)])


def print_leaks(console: Console, leaks: Leaks) -> None:
    """Print what the best trial's hyperparameters scored under each leaking split, and what each leak buys."""
    print_table(console, tabulate_leaks(leaks))
    console.print()
    print_statements(console, [describe_leaks(leaks)])


def print_scored_opening(console: Console, scored: ScoredOpening) -> None:
    """Print the scores of a test evaluation, part by part."""
    print_statements(console, describe_scores(scored))
    for table in tabulate_opening(scored):
        print_table(console, table)


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print whether the searches can be compared, and the tables that set them side by side."""
    verdict, *reasons = describe_comparability(comparison)
    console.print(Text(one_line(verdict), style="bold" if comparison.is_comparable else "bold yellow"))
    for reason in reasons:
        console.print(Text(one_line(f"  {reason}")))
    if comparison.has_synthetic:
        console.print(Text(SYNTHETIC_SENTENCE, style="bold yellow"))
    print_table(console, tabulate_experiments(comparison))
    print_table(console, tabulate_differences(comparison))
    print_table(console, tabulate_settings_that_differ(comparison))


def print_line(console: Console, text: str) -> None:
    """Print a text that may hold names, on a line of its own."""
    console.print(Text(one_line(text)))


def print_statements(console: Console, statements: Sequence[Statement]) -> None:
    """Print sentences under their headings, warnings in another colour."""
    for statement in statements:
        style = "bold yellow" if statement.is_warning else "bold"
        mark = "" if statement.heading.endswith("?") else ":"
        console.print(Text.assemble((f"{statement.heading}{mark} ", style), visible_lines(statement.text)))


def print_table(console: Console, table: Table) -> None:
    """Print a table with its note; nothing where it has no row.

    Where the terminal is too narrow, intervals stand below their numbers, then cells are folded between words, and at
    last columns go below the others, beside the first one again. Columns without a single text are left out.
    """
    if not table.rows:
        return
    columns = [
        _Column(name, texts, name in table.numbers)
        for name, *texts in zip(table.columns, *table.rows, strict=True)
        if any(texts)
    ]
    if sum(column.whole + 1 for column in columns) - 1 > console.width:
        for column in columns:
            if column.name not in table.wide:
                column.break_before_intervals()
    console.print()
    if table.title:
        console.print(Text(table.title, style="bold"))
    for place, part in enumerate(_divide(columns, console.width)):
        drawn = RichTable(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
        for column, width in zip(part, _fit(part, console.width), strict=True):
            justify: JustifyMethod = "right" if column.is_number else "left"
            drawn.add_column(Text(column.name), justify=justify, overflow="fold", width=width)
        for number, row in enumerate(zip(*(column.texts for column in part), strict=True)):
            drawn.add_row(*map(Text, row), style="bold" if number == table.highlighted_row else "")
        if place:
            console.print()
        console.print(drawn)
    if table.note:
        console.print(Text(table.note, style="dim"))


class _Column:
    """A column of a table, and the room that it needs."""

    def __init__(self, name: str, texts: list[str], is_number: bool) -> None:
        self.name, self.texts, self.is_number = name, texts, is_number

    def break_before_intervals(self) -> None:
        self.texts = [text.replace(" [", "\n[") for text in self.texts]

    @property
    def whole(self) -> int:
        """Room of the name and of every line."""
        return _widest([self.name, *self.texts], "\n")

    @property
    def words(self) -> int:
        """Room of the longest word."""
        return _widest([self.name, *self.texts], None)

    @property
    def solid(self) -> int:
        """Room in which no word is cut, and no number parted from its deviation or interval."""
        has_interval = any("\n[" in text for text in self.texts)
        lines = _widest(self.texts, "\n" if self.is_number or has_interval else None)
        return max(lines, _widest([self.name], None))


def _widest(texts: Sequence[str], separator: str | None) -> int:
    return max((cell_len(part) for text in texts for part in text.split(separator)), default=0)


def _divide(columns: Sequence[_Column], room: int) -> list[list[_Column]]:
    """Put the columns into parts that fit without a word being cut, each with the first column."""
    first, *others = columns
    parts = [[first]]
    for column in others:
        if len(parts[-1]) > 1 and sum(known.words + 1 for known in parts[-1]) + column.words > room:
            parts.append([first])
        parts[-1].append(column)
    return parts


def _fit(columns: Sequence[_Column], room: int) -> list[int]:
    """Return the widths that fit into the room: the widest columns are folded first."""
    whole = [column.whole for column in columns]
    for least in ([column.solid for column in columns], [column.words for column in columns], [1] * len(columns)):
        for most in range(max(whole), 0, -1):
            widths = [max(low, min(high, most)) for low, high in zip(least, whole, strict=True)]
            if sum(widths) + len(widths) - 1 <= room:
                return widths
    return whole
