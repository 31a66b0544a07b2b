"""`harness report`: what a search found, in the terminal and as one page."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import DATABASE, results_argument, search_option


@click.command("report")
@results_argument
@search_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the page; an existing file is overwritten.  [default: report.html in RESULTS]",
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the same pictures as SVG and PNG; without this option none are written.",
)
@click.option(
    "--top",
    "num_trials",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Best trials that the terminal lists; the page lists 20.",
)
@click.option(
    "--pruned",
    "counts_pruned",
    is_flag=True,
    help="Pruned trials too among the best trials and in what mattered, marked as pruned; the best validation accuracy "
    "that one came to stands for its score. Without this option they have none.",
)
def report(
    results: Path,
    eid: int | None,
    output: Path | None,
    figures: Path | None,
    num_trials: int,
    counts_pruned: bool,
) -> None:
    """Show what a search found, as tables in the terminal and as one self-contained HTML page.

    RESULTS is the folder of a search, running or ended. The page opens from disk and needs no network. Every test
    evaluation of the folder is shown, of whichever experiment. The folds of one experiment are shown together; on the
    page they stand above the fold that --experiment names, or else the latest.

    \b
    Example:
      harness report results/
    """
    from harness.report.findings import read_findings
    from harness.store.store import ResultsStore

    with ResultsStore.open_readonly(results / DATABASE) as store:
        findings = read_findings(store, eid, counts_pruned)

    from harness.report.page import start_bundling

    # Before the other large imports, which take as long.
    start_bundling()

    from rich.console import Console

    from harness.report.page import write_figures, write_page
    from harness.report.terminal import print_folds, print_report

    console = Console(markup=False, emoji=False)
    if eid is None and findings.folds is not None:
        print_folds(console, findings, results)
    else:
        print_report(console, findings, num_trials)
    page_path = output or results / "report.html"
    write_page(page_path, findings)
    written = [page_path] if figures is None else [page_path, *write_figures(figures, findings)]
    console.print()
    for path in written:
        console.print(f"Written: {path}", soft_wrap=True, highlight=False, markup=False)
