"""The folds of an experiment in the report: one table, one pooled score, and what must be known beside it."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.report.findings import Findings, read_findings
from harness.report.folds import describe_folds, tabulate_folds, tabulate_pooled
from harness.report.page import render_page
from harness.report.statements import describe_search
from harness.report.terminal import print_folds
from harness.splits.folds import Folds
from harness.splits.protocol import read_protocol
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
from tests.folded import RIGHT, score_fold, write_folds

SYNTHETIC = "This corpus is synthetic: no score on it is a score on IEMOCAP."


def read(path: Path, eid: int | None = None) -> Findings:
    with ResultsStore.open_readonly(path) as store:
        return read_findings(store, eid)


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    path = tmp_path_factory.mktemp("tested") / "results.db"
    with ResultsStore.open(path) as store:
        write_folds(store)
        for session in RIGHT:
            probes = {ScoreKind.PROBE_WORDS_SHARED: 3, ScoreKind.PROBE_WORDS_LEFT_OUT: 1}
            score_fold(store, session, session, probes=probes)
    return read(path)


@pytest.fixture
def half_way(tmp_path: Path) -> Findings:
    with ResultsStore.open(tmp_path / "results.db") as store:
        write_folds(store, num_searched=3)
        score_fold(store, 1, 1)
    return read(tmp_path / "results.db")


def printed(findings: Findings) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_folds(console, findings, Path("my results"))
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


def test_each_fold_has_a_row_and_below_them_stand_their_mean_and_the_pooled_score(tested: Findings) -> None:
    assert tested.folds is not None
    table = tabulate_folds(tested.folds)
    cells = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["fold"] for row in cells] == [*(f"Session {n}" for n in RIGHT), "mean of the folds", "pooled"]
    assert [row["validation, %"] for row in cells[:5]] == ["75.0"] * 5
    assert [row["weighted, %"].split()[0] for row in cells] == ["100.0", "75.0", "50.0", "25.0", "0.0", "50.0", "50.0"]
    assert cells[5]["weighted, %"] == "50.0 ± 39.5" and cells[6]["weighted, %"].startswith("50.0 [4")
    assert (cells[6]["utterances"], cells[6]["seeds"]) == ("240", "2")
    assert "no score on IEMOCAP" in table.note and table.highlighted_row == 6


def test_whose_numbers_are_pooled_is_said_with_every_table(tested: Findings) -> None:
    assert tested.folds is not None
    tables = tabulate_pooled(tested.folds)
    assert [table.title for table in tables][:3] == ["All folds: scores", "All folds: by class", "All folds: by group"]
    label = "All 5 folds pooled, test evaluations 1, 2, 3, 4, 5, validation-chosen epoch, 2 seeds, the synthetic"
    assert all(table.note.startswith(label) for table in tables)


def test_the_terminal_shows_the_folds_as_one_experiment(tested: Findings) -> None:
    text = printed(tested)
    assert text.startswith("Experiment 'fusion search', 5 folds (system fusion), synthetic corpus")
    assert "Pooled: 50.0 % weighted accuracy over all 240 utterances of 60 dialogues (95 % interval " in text
    assert "Scenes: On this synthetic corpus, words alone score 75.0 % unweighted where training has read" in text
    assert SYNTHETIC in text and "There have been 5 test evaluations" in text
    assert text.endswith("The report of one fold: harness report 'my results' --experiment 1")


def test_half_way_every_fold_is_named_and_nothing_is_pooled(half_way: Findings) -> None:
    text = printed(half_way)
    assert "Session 4 not begun" in text and "1 of 5 folds tested; the pooled score needs all of them." in text
    assert "All folds: scores" not in text and "mean of the folds" not in text


def test_the_page_has_the_folds_above_one_of_them(tested: Findings) -> None:
    page = render_page(tested)
    assert '<section class="card" id="folds">' in page and "All folds: scores" in page
    assert "<h1>fusion search, Session 5</h1>" in page and "One of the 5 folds of experiment" in page


def test_a_whole_experiment_has_no_folds_anywhere(searched: Path) -> None:
    findings = read(searched)
    assert findings.folds is None and 'id="folds"' not in render_page(findings)
    assert "Fold" not in {statement.heading for statement in describe_search(findings)}


def test_a_fold_of_one_speaker_says_what_training_knows(tmp_path: Path) -> None:
    with ResultsStore.open(tmp_path / "results.db") as store:
        write_folds(store, num_searched=6, folds=Folds.SPEAKERS)
    findings = read(tmp_path / "results.db")
    assert findings.folds is not None
    for statements in (describe_folds(findings.folds), describe_search(findings)):
        (partner,) = [found for found in statements if found.heading == "The partner's turns"]
        assert partner.is_warning and "the partner's turns of the same dialogues train or validate" in partner.text
    protocol = next(found.text for found in describe_search(findings) if found.heading == "Protocol")
    assert "Speaker Ses03M is the test set, and the search reads none of the speaker's turns." in protocol
    assert "3000 and 838" not in protocol and "Of the other utterances, sorted by id" in protocol


def test_folds_that_adapt_to_the_speakers_say_so(tmp_path: Path) -> None:
    protocol = read_protocol({"base": "paper", "speaker_scaling": "own"})
    with ResultsStore.open(tmp_path / "results.db") as store:
        write_folds(store, num_searched=5, protocol=protocol)
    findings = read(tmp_path / "results.db")
    assert findings.folds is not None
    for statements in (describe_folds(findings.folds), describe_search(findings)):
        assert any(found.heading == "Adapted" and found.is_warning for found in statements)


def test_a_repeated_evaluation_stays_visible(tmp_path: Path) -> None:
    with ResultsStore.open(tmp_path / "results.db") as store:
        write_folds(store)
        score_fold(store, 2, 2)
        score_fold(store, 2, 2)
    findings = read(tmp_path / "results.db")
    assert findings.folds is not None
    note = tabulate_folds(findings.folds).note
    assert "Session 2 has 2 test evaluations; the latest complete one of the best trial's models counts here." in note


def test_unweighted_accuracy_leads_in_the_folds_too_where_scenes_are_disjoint(tmp_path: Path) -> None:
    with ResultsStore.open(tmp_path / "results.db") as store:
        write_folds(store, protocol=read_protocol({"scenes": "disjoint"}))
        for session in RIGHT:
            score_fold(store, session, session)
        # Ten of twelve dialogues have no anger, so that both accuracies differ.
        store.database.execute(
            "UPDATE test_predictions SET emotion = 'sad', predicted = 'sad' WHERE emotion = 'ang' AND "
            "utterance_id NOT LIKE '%impro00%' AND utterance_id NOT LIKE '%impro01%'"
        )
    folds = read(tmp_path / "results.db").folds or pytest.fail("no folds")
    table = tabulate_folds(folds)
    assert table.columns[7:] == ("unweighted, %", "weighted, %", "macro F1, %")
    pooled = folds.pooled or pytest.fail("not pooled")
    assert [cell.split()[0] for cell in table.rows[-1][7:]] == [
        f"{100 * score.spread.mean:.1f}" for score in (pooled.scores[1], pooled.scores[0], pooled.scores[2])
    ]
    assert table.rows[-1][7] != table.rows[-1][8]
