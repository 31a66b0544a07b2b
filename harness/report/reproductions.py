"""The compared systems in a terminal and as a table of the page: what was published beside ours under each protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from harness.report.tables import Table, write_interval, write_precisely
from harness.scoring.statistics import TOO_NARROW
from harness.tables.compared import ComparedSystem
from harness.tables.reproductions import Cell, Column, Measured, ReproductionResult, describe_own
from harness.wording import plural

TITLE = "Compared systems: published, and the same system here"
#: Columns of a terminal that has room for a row a system; narrower ones get a block a system.
_WIDE = 119
_SHORT = {"weighted accuracy": "WA", "unweighted accuracy": "UA", "macro F1": "F1"}
NOTE = (
    "WA is weighted accuracy, UA unweighted accuracy, F1 macro F1, in %: of all test sets pooled, mean and sample "
    "standard deviation over the seeds, then the 95 % interval of the mean, a bootstrap over the dialogues scored. "
    "'strict' trains on Sessions 1-4, where Session 4 chooses the epoch, and tests on Session 5, of anger, excitement, "
    "neutral and sadness; with the scored scene left out, all classes weigh the same in training. The best test epoch "
    "stands where public code takes it. A published figure is comparable with the column of its own protocol alone, "
    "and there as far as that could be followed. Published figures of several folds are averages over the folds."
)
_HEADINGS = {
    Column.OWN: "its own protocol",
    Column.STRICT: "strict",
    Column.TEST_MAXIMUM: "strict, best\ntest epoch\n(optimistic)",
    Column.LEFT_OUT: "strict, scored\nscene left out,\nclasses\nbalanced",
}


def print_reproductions(console: Console, results: Sequence[ReproductionResult]) -> None:
    """Print the compared systems: a row a system, or a block a system where the terminal is narrow."""
    if console.width >= _WIDE:
        console.print(_tabulate_wide(results))
    else:
        console.print(Text(TITLE, style="bold"))
        for result in results:
            console.print()
            console.print(Text.assemble((result.compared.title, "bold"), (f"  {result.compared.system}", "italic")))
            console.print(_list_block(result))
    console.print()
    for note in list_notes(results):
        console.print(Text(note, style="dim"))


def list_notes(results: Sequence[ReproductionResult]) -> list[str]:
    """Return what one must know beside the table: sentences."""
    notes = [NOTE]
    found = [measured for result in results for cell in result.cells.values() for measured in cell.measures.values()]
    if any(measured.interval.is_too_narrow for measured in found):
        notes.append(TOO_NARROW)
    notes += [f"{result.compared.title}: {remark}" for result in results if (remark := result.compared.remark)]
    failures = [sentence for result in results for sentence in result.failures]
    # One training may stand behind two rows.
    return [*notes, *dict.fromkeys(failures)]


def _columns(results: Sequence[ReproductionResult]) -> list[Column]:
    """Return the columns; that of the best test epoch only where some system's public code takes it."""
    is_chosen = any(result.planned.has_test_maximum for result in results)
    return [column for column in Column if is_chosen or column is not Column.TEST_MAXIMUM]


def _tabulate_wide(results: Sequence[ReproductionResult]) -> RichTable:
    table = RichTable(
        title=TITLE, title_justify="left", title_style="bold", box=None, padding=(0, 2, 1, 0), pad_edge=False
    )
    # The widths of what a cell must hold in one line; together with the gaps they are _WIDE.
    table.add_column("system", overflow="fold", width=20)
    table.add_column("published", overflow="fold", width=22)
    columns = _columns(results)
    for column in columns:
        table.add_column(_HEADINGS[column], overflow="fold", width=22 if column is Column.OWN else 15)
    for result in results:
        compared = result.compared
        table.add_row(
            Text.assemble(compared.title, "\n", (compared.system, "italic")),
            Text("\n".join(describe_published(compared))),
            *(Text("\n".join(_write_cell(result, column))) for column in columns),
        )
    return table


def _list_block(result: ReproductionResult) -> RichTable:
    block = RichTable(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    block.add_column(min_width=16, max_width=22, overflow="fold")
    block.add_column(overflow="fold")
    block.add_row("published", "; ".join(describe_published(result.compared)))
    for column in _columns([result]):
        block.add_row(_HEADINGS[column].replace("\n", " "), Text(_write_line(result, column)))
    return block


def describe_published(compared: ComparedSystem) -> list[str]:
    """Return a published figure with its measure, its classes and its split, which it never stands without."""
    measure = compared.measure or "accuracy, not said which"
    seeds = [] if compared.num_seeds == 1 else [f"mean of {compared.num_seeds} seeds"]
    return [f"{compared.percent:.2f} % {measure}", f"classes: {compared.classes}", compared.split, *seeds]


def _write_line(result: ReproductionResult, column: Column) -> str:
    return "; ".join(_write_cell(result, column)).replace("\n", " ")


def _write_cell(result: ReproductionResult, column: Column) -> Iterator[str]:
    cell = result.cells[column]
    yield from write_scores(cell, result.compared)
    if cell.missing:
        yield cell.missing
    if column is Column.OWN and (words := describe_own(result)):
        yield words
    if column is Column.TEST_MAXIMUM and not result.planned.has_test_maximum:
        yield "–"


def write_scores(cell: Cell, compared: ComparedSystem) -> Iterator[str]:
    """Write the measure of the published figure with its interval, weighted or unweighted accuracy, and the seeds."""
    if not cell.measures:
        return
    shown = compared.shown_measure
    beside = "unweighted accuracy" if shown == "weighted accuracy" else "weighted accuracy"
    yield f"{_write_measured(shown, cell.measures[shown])}\n[{write_interval(cell.measures[shown].interval)}]"
    yield _write_measured(beside, cell.measures[beside])
    yield plural(len(cell.pooled), "seed")
    if (mean := cell.measures[shown].fold_mean) is not None:
        yield f"{_SHORT[shown]}, mean of {len(cell.pooled[0])} test sets: {100 * mean:.2f}"


def _write_measured(name: str, measured: Measured) -> str:
    return f"{_SHORT[name]} {write_precisely(measured.spread)}"


def tabulate_reproductions(results: Sequence[ReproductionResult]) -> Table:
    """List the compared systems for the page."""
    columns = _columns(results)
    rows = [
        (
            f"{result.compared.title} ({result.compared.system})",
            "; ".join(describe_published(result.compared)),
            *(_write_line(result, column) for column in columns),
        )
        for result in results
    ]
    headings = ["system", "published", *(_HEADINGS[column].replace("\n", " ") for column in columns)]
    return Table(TITLE, tuple(headings), tuple(rows), wide=frozenset(headings), note=" ".join(list_notes(results)))
