"""The compared systems in a terminal, as a chart and on the page."""

import io

import pytest
from rich.console import Console

from harness.report.chart_style import PAGE, PAPER
from harness.report.charts_compared import draw_compared
from harness.report.findings import read_findings
from harness.report.page import render_page
from harness.report.reproductions import print_reproductions, tabulate_reproductions
from harness.store.store import ResultsStore
from harness.tables.compared import COMPARED
from harness.tables.experiments import compared_names
from harness.tables.reproductions import plan_reproductions, read_reproduction
from harness.tables.stored import find_trials
from tests.report.searches import run_search
from tests.tables.invented import CORPUS, SETTINGS, record_invented


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A results folder with a search, and with every score of two compared systems."""
    path = tmp_path_factory.mktemp("compared") / "results.db"
    with ResultsStore.open(path) as results:
        run_search(results)
        for reproduction in plan_reproductions(("ctc", "bc_lstm")):
            columns = (reproduction.own, reproduction.strict, reproduction.left_out)
            for experiments, share in zip(columns, (0.55, 0.5, 0.4), strict=True):
                for experiment in experiments:
                    record_invented(results, experiment, share)
    return path


@pytest.fixture(scope="module")
def found(folder):
    with ResultsStore.open_readonly(folder) as results:
        trials = find_trials(results, SETTINGS, CORPUS.corpus_hash)
        return [read_reproduction(trials, each) for each in plan_reproductions(("ctc", "bc_lstm"))]


@pytest.fixture(scope="module")
def findings(folder):
    with ResultsStore.open_readonly(folder) as results:
        return read_findings(results, None)


def printed(found, width):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_reproductions(console, found)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [160, 120, 119, 100, 80])
def test_no_cell_is_cut_in_any_terminal(found, width):
    text = printed(found, width)
    assert "…" not in text and all(len(line) <= width for line in text.splitlines())
    words = " ".join(text.split())
    for result in found:
        for cell in result.cells.values():
            for measured in cell.measures.values() if cell.pooled else ():
                score = f"{100 * measured.spread.mean:.2f} ± {100 * measured.spread.deviation:.2f}"
                assert score in words or measured is cell.measures["macro F1"]


def test_a_wide_terminal_has_a_row_a_system_and_a_narrow_one_a_block(found):
    wide, narrow = printed(found, 120), printed(found, 80)
    (heading,) = [line for line in wide.splitlines() if line.startswith("system ")]
    assert heading.split()[:2] == ["system", "published"] and "scene left out" in heading
    assert "Chernykh and Prikhodko 2018, CTC  ctc" in narrow.splitlines()
    assert [line.split("  ")[0] for line in narrow.splitlines() if line.startswith(("published", "strict"))][:2] == [
        "published",
        "strict",
    ]


def test_the_figure_never_stands_without_its_measure_its_classes_and_its_split(found):
    text = " ".join(printed(found, 80).split())
    assert (
        "54.00 % weighted accuracy; classes: anger, excitement, neutral, sadness; all 4936 utterances, 5 folds by "
        "session"
    ) in text
    table = tabulate_reproductions(found)
    assert all("classes: " in row[1] and " % " in row[1] for row in table.rows)


def test_the_column_of_the_best_test_epoch_is_there_where_some_public_code_takes_it(found):
    assert "(optimistic)" in printed(found, 120)
    assert "(optimistic)" not in printed([each for each in found if each.compared.system == "ctc"], 120)


@pytest.mark.parametrize("look", [PAGE, PAPER], ids=["page", "file"])
def test_the_chart_has_a_point_a_column_and_no_interval_for_the_published_one(findings, look):
    figure = draw_compared(findings, look)
    figure.to_dict()
    rows = [row for row in figure.datasets["compared"] if row["system"].endswith("CTC") and "score" in row]
    assert [row["slot"] for row in rows] == [
        "published",
        "ours, its own protocol",
        "ours, strict",
        "ours, strict, scored scene left out",
    ]
    assert rows[0]["score"] == 0.54 and "low" not in rows[0]
    assert all(row["low"] < row["score"] < row["high"] for row in rows[1:])
    assert figure.reading == (
        "This corpus is synthetic: no score on it is a score on IEMOCAP. The published points are of IEMOCAP, ours are "
        "not.",
    )
    words = [row["text"] for row in figure.datasets["compared"] if row["system"].endswith("CTC") and "text" in row]
    assert words[1:3] == ["published: 54.00 % weighted accuracy", "classes: anger, excitement, neutral, sadness"]


def test_a_system_without_a_protocol_of_its_own_has_no_point_for_it(store):
    run_search(store)
    titles = [each.title for each in COMPARED if isinstance(each.own, str)]
    planned = [each for each in plan_reproductions(compared_names()) if each.compared.title in titles]
    assert planned
    record_invented(store, planned[0].strict[0])
    figure = draw_compared(read_findings(store, None), PAPER)
    of_row = [row for row in figure.datasets["compared"] if row["system"] == planned[0].compared.title]
    assert [row["slot"] for row in of_row if "score" in row] == ["published", "ours, strict"]


def test_the_page_has_the_chart_only_where_there_are_such_scores(findings, searched):
    assert 'id="compared-systems"' in render_page(findings)
    with ResultsStore.open_readonly(searched) as results:
        without = render_page(read_findings(results, None))
    assert "compared-systems" not in without
