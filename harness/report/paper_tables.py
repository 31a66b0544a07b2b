"""The paper's Tables 1 to 5 in a terminal: each row's published figure beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.models.baselines import BASELINES
from harness.models.systems import SYSTEMS
from harness.report.reproductions import print_reproductions
from harness.report.tables import write_interval, write_precisely
from harness.scoring.breakdown import TEXT_GROUPS, Group, GroupScore
from harness.scoring.scenes import ScenePair, explain_scenes
from harness.tables.notes import describe_run, describe_table
from harness.tables.published import TITLES
from harness.tables.reproductions import ReproductionResult
from harness.tables.results import RowResult
from harness.tables.settings import CorpusFacts, TablesSettings

NOTHING = "–"
#: Columns below which an interval stands under its score and headings are shorter, so that no name is cut.
_WIDE = 100


def print_tables(
    console: Console,
    settings: TablesSettings,
    corpus: CorpusFacts,
    results: Sequence[RowResult],
    scenes: Sequence[ScenePair],
    compared: Sequence[ReproductionResult] = (),
) -> None:
    """Print the tables, each with its notes below it.

    Below them stand the compared systems, and what the scores by session owe to the scenes.
    """
    for sentence in describe_run(settings, corpus):
        console.print(Text(sentence))
    console.print(
        Text(
            "Ours: mean and sample standard deviation over the seeds; the interval of the mean is a bootstrap over the "
            "dialogues scored."
        )
    )
    printed: set[str] = set()
    for table, group in groupby(results, key=lambda result: result.row.table):
        of_table = list(group)
        console.print()
        console.print(_score_table(table, of_table, settings, corpus, is_narrow=console.width < _WIDE))
        # A note on several tables is printed below the first of them.
        notes = [note for note in describe_table(settings, table, of_table) if note not in printed]
        printed |= set(notes)
        for note in notes:
            console.print(Text(note, style="dim"))
        if any(result.text for result in of_table):
            console.print()
            console.print(_text_table(table, of_table))
    if compared:
        console.print()
        print_reproductions(console, compared)
    if scenes:
        console.print()
        console.print(Text.assemble(("Scenes: ", "bold"), explain_scenes(scenes, corpus.is_synthetic)))


def _new_table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), pad_edge=False)


def _score_table(
    number: int, results: Sequence[RowResult], settings: TablesSettings, corpus: CorpusFacts, *, is_narrow: bool
) -> Table:
    table = _new_table(f"Table {number}. {TITLES[number]}")
    if is_narrow:
        table.padding = (0, 1, 0, 0)
    table.add_column("row", overflow="fold", min_width=13)
    table.add_column("name here", overflow="fold", no_wrap=is_narrow)
    table.add_column("published\n%", justify="right")
    chosen_on = "(validation's\nepoch)" if is_narrow else "(epoch chosen\non validation)"
    table.add_column(f"weighted\naccuracy, %\n{chosen_on}", overflow="fold", min_width=13)
    if not is_narrow:
        table.add_column("95 %\ninterval", overflow="fold")
    table.add_column("unweighted\naccuracy, %", overflow="fold")
    if settings.leaves_each_session_out:
        table.add_column("mean over\nsessions, %", justify="right")
    rule = "published code's\nrule: maximum\nover test epochs\n(optimistic), %"
    table.add_column("best test\nepoch, %\n(optimistic)" if is_narrow else rule, overflow="fold")
    style = "" if corpus.is_published_one else "dim"
    for before, result in zip([None, *results], results, strict=False):
        published, chosen = result.row.published, result.chosen
        if before is not None and before.row.published is not None and published is None:
            table.add_row(Text("baselines", style="dim"))
        interval = NOTHING if chosen is None else write_interval(chosen.interval)
        under = f"\n{interval}" if is_narrow and chosen is not None else ""
        cells = [
            Text(result.row.title),
            _write_name(result),
            Text("" if published is None else f"{published.percent:.2f}", style=style),
            Text(_write_ours(result) + under),
            *([] if is_narrow else [Text(interval)]),
            Text(NOTHING if chosen is None else write_precisely(chosen.unweighted_accuracy)),
        ]
        if settings.leaves_each_session_out:
            fold_mean = None if chosen is None else chosen.fold_mean
            cells.append(Text(NOTHING if fold_mean is None else f"{100 * fold_mean:.2f}"))
        cells.append(Text(_write_maximum(result)))
        table.add_row(*(cells if result.row.name else [*cells[:3], *(Text("") for _ in cells[3:])]))
    return table


def _write_name(result: RowResult) -> Text:
    """Write what is trained; of others' work that is not, what could be."""
    published = result.row.published
    if result.row.name is None and published is not None and published.system in {*SYSTEMS, *BASELINES}:
        return Text(published.system or "", style="dim italic")
    return Text(result.row.name or "", style="italic")


def _write_ours(result: RowResult) -> str:
    if result.chosen is not None:
        return write_precisely(result.chosen.weighted_accuracy) + (" (not all)" if result.failures else "")
    if result.lacking:
        return f"no {', '.join(result.lacking)} in the corpus"
    return "failed, see below" if result.failures else NOTHING


def _write_maximum(result: RowResult) -> str:
    if result.maximum is None:
        return NOTHING
    written = write_precisely(result.maximum.weighted_accuracy)
    # Where no other score stands in the row, its interval stands here.
    return written if result.chosen is not None else f"{written} [{write_interval(result.maximum.interval)}]"


def _text_table(number: int, results: Sequence[RowResult]) -> Table:
    table = _new_table(f"Table {number}, text scores by group: weighted accuracy, %")
    table.add_column("name here", style="italic")
    of_text = [result for result in results if result.text]
    groups = [group for group in TEXT_GROUPS if any(_find(result.text, group) for result in of_text)]
    for group in groups:
        counts = {found.num_utterances for result in of_text if (found := _find(result.text, group))}
        table.add_column(f"{group}\nn = {' or '.join(map(str, sorted(counts)))}")
    for result in of_text:
        scores = [_find(result.text, group) for group in groups]
        table.add_row(
            (result.row.name or "") + ("" if result.chosen else " (best test epoch)"),
            *(NOTHING if score is None else write_precisely(score.weighted_accuracy) for score in scores),
        )
    return table


def _find(scores: Sequence[GroupScore], group: Group) -> GroupScore | None:
    return next((score for score in scores if score.group is group), None)
