"""The page, its charts, and the files of the charts."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from harness.errors import HarnessError
from harness.report import charts_space
from harness.report.chart_style import PAPER, Figure
from harness.report.findings import Findings
from harness.report.page import draw_figures, render_page, write_figures, write_page
from harness.store.records import (
    EpochRecord,
    ExperimentKind,
    ExperimentStatus,
    ScoreKind,
    TrialResult,
    TrialStatus,
)
from harness.store.store import ResultsStore
from tests.report.reading import PICTURES, Reader, specs_in
from tests.report.scored import PROBED, score_whole_opening
from tests.report.searches import (
    begin_search,
    begin_trial,
    fail_trial,
    findings_of,
    point,
    run_search,
    run_trial,
    score_test,
    validation_predictions,
    with_trials,
)
from tests.store.experiments import an_experiment


def test_page_loads_nothing_and_holds_all_pictures(searched: Path) -> None:
    html = render_page(findings_of(searched))
    reader = Reader(html)
    assert reader.loaded == ["data:,"]
    assert list(specs_in(html)) == PICTURES
    assert set(specs_in(html)) <= set(reader.ids) and len(set(reader.ids)) == len(reader.ids)


def test_text_of_a_failed_job_cannot_become_markup(searched: Path) -> None:
    html = render_page(findings_of(searched))
    assert "the job exited with code 1; its last line was: </script> & 'more'" in Reader(html).text
    assert html.count("<script") == html.count("</script>") == 4


def test_page_says_in_words_what_must_be_known(store: ResultsStore, results_path: Path) -> None:
    score_test(store, run_search(store, num_trials=3, shortened="max_epochs is 4 in place of 30."))
    text = Reader(render_page(findings_of(results_path))).text
    for words in (
        "Protocol 'paper'",
        "Training and validation share speakers",
        "validation chooses each trial's epoch",
        "no score on it is a score on IEMOCAP",
        "max_epochs is 4 in place of 30.",
        "There has been 1 test evaluation from",
        "harness retrain-best --test",
        "Always answering 'neutral'",
        "3 of 4 trials finished, 1 failed; the search finished.",
    ):
        assert words in text.replace("\N{NO-BREAK SPACE}", " "), words
    assert "71.04" not in text


@pytest.mark.parametrize("kind", list(ScoreKind))
def test_published_number_never_stands_without_its_sentence(
    store: ResultsStore, results_path: Path, kind: ScoreKind
) -> None:
    score_test(store, run_search(store, num_trials=1, is_synthetic=False), kinds=(kind,))
    text = Reader(render_page(findings_of(results_path))).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "71.04 % is 780 of 1098 test utterances at the best of thirty epochs" in text
    assert ("test set, optimistic" in text) == (kind is ScoreKind.TEST_MAXIMUM)


def test_page_of_a_search_that_has_just_begun(store: ResultsStore, results_path: Path) -> None:
    begin_search(store)
    html = render_page(findings_of(results_path))
    text = Reader(html).text
    assert specs_in(html) == {}
    assert "0 of 30 trials finished; the search is still running." in text
    assert "No trial has finished yet." in text and text.count("Nothing to draw yet.") == 6
    for words in (
        "This needs 3 finished trials; 0 finished so far.",
        "This needs 12 finished trials; 0 finished so far.",
    ):
        assert words in text
    assert "No attempt has failed." in text


def test_page_of_a_running_search_shows_the_curves_of_unfinished_trials(
    store: ResultsStore, results_path: Path
) -> None:
    eid = begin_search(store)
    begin_trial(store, eid, 0, 3, num_epochs=2)
    begin_trial(store, eid, 1, 3)
    html = render_page(findings_of(results_path))
    assert list(specs_in(html)) == ["learning-curves"]
    assert "0 of 30 trials finished, 2 running" in Reader(html).text


def test_page_of_one_trial_has_every_picture_but_those_of_many(
    store: ResultsStore, results_path: Path
) -> None:
    run_trial(store, begin_search(store), 0, 1, 0.6, num_epochs=1)
    drawn = list(specs_in(render_page(findings_of(results_path))))
    assert drawn == [name for name in PICTURES if name not in ("expected-best", "failures")]


def test_page_of_failures_alone_shows_them(store: ResultsStore, results_path: Path) -> None:
    eid = begin_search(store)
    for trial_index in range(3):
        fail_trial(store, eid, trial_index, TrialStatus.OUT_OF_MEMORY)
    store.update_experiment(eid, ExperimentStatus.FAILED)
    html = render_page(findings_of(results_path))
    assert list(specs_in(html)) == ["history", "hyperparameters", "costs", "failures"]
    assert "No epoch has been recorded." in html and "No predictions have been recorded." in html


def test_page_of_a_foreign_script_that_seeks_the_least(store: ResultsStore, results_path: Path) -> None:
    space = [{"name": "x1", "range": [-5.0, 10.0], "type": "float"}]
    record = an_experiment(
        protocol="{}", protocol_name="", system="", target="min", search_space=json.dumps(space)
    )
    eid = store.create_experiment(record)
    for trial_index in range(20):
        x1 = -5 + 0.75 * trial_index
        trial_id = store.start_trial(eid, trial_index, trial_index, {"x1": x1})
        store.finish_trial(trial_id, TrialStatus.FINISHED, score=x1**2)
    html = render_page(findings_of(results_path))
    assert set(specs_in(html)) == {
        "history",
        "expected-best",
        "importance",
        "hyperparameters",
        "parallel-coordinates",
        "costs",
    }
    text = Reader(html).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "failed trials (crosses at the top)" in text and "More than chance: x1" in text and "points" not in text


def test_headings_go_down_one_level_at_a_time(searched: Path) -> None:
    headings = Reader(render_page(findings_of(searched))).headings
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(headings, headings[1:], strict=False))


def test_page_can_be_walked_without_a_mouse_and_without_eyes(store: ResultsStore, results_path: Path) -> None:
    score_whole_opening(store, run_search(store, num_trials=14), probes=PROBED)
    html = render_page(findings_of(results_path))
    reader = Reader(html)
    links = [str(values["href"])[1:] for tag, values in reader.tags if tag == "a"]
    assert links[0] == "content" and len(links) == 9 and set(links) <= set(reader.ids)
    names = [tag for tag, _ in reader.tags]
    assert names.count("table") == names.count("caption") > 10
    assert all("scope" in values for tag, values in reader.tags if tag == "th")
    described = [values for tag, values in reader.tags if tag == "figure"]
    assert len(described) == 11
    for values in described:
        assert {values["aria-labelledby"], values["aria-describedby"]} <= set(reader.ids)
    specs = specs_in(html)
    assert all(len(spec["description"]) > 60 for spec in specs.values())


def test_page_shows_what_was_scored_on_the_test_set(store: ResultsStore, results_path: Path) -> None:
    score_whole_opening(store, run_search(store, num_trials=3), probes=PROBED)
    html = render_page(findings_of(results_path))
    text = Reader(html).text
    for words in (
        "What this experiment's model scored there",
        "Test set: by class",
        "Test set: against baselines",
        "Test set: against baselines, unweighted accuracy",
        "Test set: scenes",
        "words alone score 75.0",
        "Scenes shared and left out, by modality",
    ):
        assert words in text
    assert {"reliability", "scenes"} <= set(specs_in(html)) and "`" not in text


def test_page_says_how_much_of_the_best_score_was_luck(store: ResultsStore, results_path: Path) -> None:
    eid = run_search(store, num_trials=3)
    settings = json.dumps({"searched_eid": eid, "searched_trial": 2})
    replicated = store.create_experiment(an_experiment(kind=ExperimentKind.REPLICATION, settings=settings))
    for number, score in enumerate((0.6, 0.65)):
        trial_id = store.start_trial(replicated, number, number, {})
        predictions = validation_predictions(round(20 * score))
        store.record_result(trial_id, TrialResult(score, 3, 4, predictions, None, 61.0))
        store.finish_trial(trial_id, TrialStatus.FINISHED, score=score)
    text = Reader(render_page(findings_of(results_path, eid))).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "The search's best of 3, trial 2, scored 75.0 % on validation; 2 new seeds" in text
    assert "mean of 2 new seeds" in text


def test_page_of_a_thousand_trials_of_thirty_epochs_stays_below_three_megabytes(searched: Path) -> None:
    findings = multiply(findings_of(searched), num_trials=1000, num_epochs=30)
    assert len(render_page(findings).encode()) < 3_000_000


def multiply(findings: Findings, num_trials: int, num_epochs: int) -> Findings:
    """The same search with many more trials: each with numbers of full length."""
    first = findings.finished[0]
    trials = tuple(
        replace(
            first,
            trial_id=number,
            trial_index=number,
            score=0.5 + 0.2 * (number * 0.61803398875 % 1),
            status=TrialStatus.FINISHED,
            hyperparameters=point(number, num_trials),
        )
        for number in range(num_trials)
    )
    epochs = {
        number: [
            EpochRecord(epoch, 1.0, 0.5, 0.5, 1.0, 0.3 + (number * epoch * 0.61803398875 % 1) / 2, 0.5, 1.0)
            for epoch in range(1, num_epochs + 1)
        ]
        for number in range(num_trials)
    }
    best = max(trials, key=lambda trial: trial.score or 0.0)
    return replace(findings, trials=trials, epochs=epochs, best=best)


def test_page_that_cannot_be_written_gives_one_sentence(searched: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(HarnessError) as caught:
        write_page(tmp_path / "report.html", findings_of(searched))
    assert str(caught.value) == (
        f"report '{tmp_path}/report.html': cannot be written (Is a directory); name another file with "
        "--output"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_same_pictures_are_written_as_svg_and_png(searched: Path, tmp_path: Path) -> None:
    findings = findings_of(searched)
    written = write_figures(tmp_path / "my figures", findings)
    names = [figure.name for figure in draw_figures(findings, PAPER) if figure.chart is not None]
    assert sorted(names) == sorted(PICTURES)
    assert [path.name for path in written] == [
        f"{name}{suffix}" for name in names for suffix in (".svg", ".png")
    ]
    for path in written:
        content = path.read_bytes()
        assert content.startswith(b"<svg" if path.suffix == ".svg" else b"\x89PNG\r\n")
        assert b"var(--" not in content
        assert path.suffix == ".png" or b"synthetic corpus: no score on IEMOCAP" in content


def test_pictures_of_real_recordings_have_no_such_title(
    store: ResultsStore, results_path: Path, tmp_path: Path
) -> None:
    run_trial(store, begin_search(store, is_synthetic=False), 0, 1, 0.6)
    written = write_figures(tmp_path / "figures", findings_of(results_path))
    drawings = [path.read_text(encoding="utf-8") for path in written if path.suffix == ".svg"]
    assert drawings and not any("synthetic" in drawing for drawing in drawings)


@pytest.mark.timeout(300)
def test_names_with_control_characters_are_drawn(store: ResultsStore, results_path: Path, tmp_path: Path) -> None:
    names = ["a\nb", "c\x01\x1b[31md", "\u202ee", "\ufffe", "x\x85y"]
    space: list[dict[str, Any]] = [{"name": name, "range": [1, 9], "type": "int"} for name in names]
    space.append({"name": "choice", "range": ["\x01", "\x02"], "type": "choice"})
    eid = store.create_experiment(an_experiment(search_space=json.dumps(space)))
    for trial_index in range(12):
        values = {name: (trial_index * (place + 3)) % 9 + 1 for place, name in enumerate(names)}
        point = {**values, "choice": ["\x01", "\x02"][trial_index % 2]}
        trial_id = store.start_trial(eid, trial_index, trial_index, point)
        store.finish_trial(trial_id, TrialStatus.FINISHED, score=0.05 * trial_index)
    # In a process of its own: what writes the PNG ends the process.
    draw = "import sys; from harness.cli.main import main; sys.argv[0] = 'harness'; main()"
    done = subprocess.run(
        [sys.executable, "-c", draw, "report", str(results_path.parent), "--figures", str(tmp_path / "figures")],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]
    drawings = {path.stem: path.read_text("utf-8") for path in (tmp_path / "figures").glob("*.svg")}
    for drawing in drawings.values():
        ElementTree.fromstring(drawing)
        assert not set(drawing) & set("\x01\x02\x1b\x85\u202e\ufffe")
    assert "c(U+0001)(U+001B)[31md" in drawings["hyperparameters"] and "(U+0002)" in drawings["hyperparameters"]


def test_figures_that_cannot_be_written_give_one_sentence(searched: Path, tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("")
    with pytest.raises(HarnessError) as caught:
        write_figures(tmp_path / "figures", findings_of(searched))
    assert str(caught.value) == (
        f"figures '{tmp_path}/figures': cannot be written (File exists); name another folder with --figures"
    )


@pytest.mark.parametrize("is_synthetic", [True, False])
def test_whoever_sees_only_the_top_sees_that_the_corpus_is_synthetic(
    store: ResultsStore, results_path: Path, is_synthetic: bool
) -> None:
    run_search(store, num_trials=2, is_synthetic=is_synthetic)
    html = render_page(findings_of(results_path))
    title, kicker, tile = (
        re.search(pattern, html, re.DOTALL)
        for pattern in (
            "<title>(.*?)</title>",
            'class="kicker">(.*?)</p>',
            'class="tiles">.*?class="beside">(.*?)</span>',
        )
    )
    assert title is not None and kicker is not None and tile is not None
    for found in (title, kicker, tile):
        assert ("synthetic corpus" in found[1]) == is_synthetic


def test_all_trials_have_their_numbers_in_a_collapsed_table(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=25)
    html = render_page(findings_of(results_path))
    (table,) = re.findall("<details[^>]*><summary>All trials as a table.*?</details>", html, re.DOTALL)
    assert table.count("<tr") == 27 and ">crashed<" in table


#: Pictures of single trials and of classes: where on the page the numbers of each stand.
TABLES_ELSEWHERE = {
    "history": "All trials",
    "learning-curves": "All trials",
    "hyperparameters": "All trials",
    "parallel-coordinates": "All trials",
    "confusion": "Utterances by class",
    "scenes": "Test set: scenes",
}


def test_every_picture_has_its_numbers_in_a_table_of_the_page(store: ResultsStore, results_path: Path) -> None:
    eid = run_search(store, num_trials=20)
    score_whole_opening(store, eid, baselines=(ScoreKind.BASELINE_OWN_TURN,), probes=PROBED)
    html = render_page(findings_of(results_path))
    captions = re.findall(r'<caption class="unseen">(.*?)</caption>', html)
    for figure in by_name(findings_of(results_path)).values():
        assert figure.chart is not None, figure.name
        if figure.name == "reliability":
            title = next(caption for caption in captions if "alibration" in caption or "onfidence" in caption)
        else:
            title = TABLES_ELSEWHERE.get(figure.name) or (figure.table.title if figure.table else "")
        assert title in captions, figure.name


def by_name(findings: Findings) -> dict[str, Figure]:
    """The pictures of a search by name; that of the compared systems is drawn from the trainings of the tables."""
    return {figure.name: figure for figure in draw_figures(findings, PAPER) if figure.name != "compared"}


def test_every_picture_of_a_whole_search_is_drawn_and_described(
    store: ResultsStore, results_path: Path
) -> None:
    eid = run_search(store, num_trials=14)
    score_whole_opening(store, eid, baselines=(ScoreKind.BASELINE_OWN_TURN,), probes=PROBED)
    figures = by_name(findings_of(results_path))
    assert all(figure.chart is not None for figure in figures.values())
    assert all(figure.title and figure.caption.endswith(".") for figure in figures.values())
    assert "n = 14 finished trials" in figures["importance"].caption
    assert figures["learning-curves"].reading == ("Validation chose epoch 4 of 4 for the best trial.",)
    assert figures["expected-best"].reading[0].startswith("Going from 7 to 14 trials")
    assert {name for name, figure in figures.items() if figure.table is not None} == {
        "expected-best",
        "importance",
        "dialogue",
        "costs",
        "failures",
    }


def test_what_is_left_out_of_a_picture_is_said(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_LINES", "MAX_TRIALS"):
        monkeypatch.setattr(charts_space, name, 3)
    findings = with_trials(findings_of(searched), [], [{}] * 9, [0.01 * number for number in range(9)])
    figures = by_name(findings)
    assert figures["parallel-coordinates"].caption.endswith("Only the best 3 are drawn.")
    assert figures["hyperparameters"].caption.endswith(
        "Only 3 of 9 trials are drawn, spread evenly over the search."
    )


def test_pictures_that_cannot_be_drawn_say_why(store: ResultsStore, results_path: Path) -> None:
    fail_trial(store, begin_search(store), 0)
    figures = by_name(findings_of(results_path))
    assert {name for name, figure in figures.items() if figure.chart is None} == {
        "learning-curves",
        "expected-best",
        "importance",
        "parallel-coordinates",
        "confusion",
        "dialogue",
        "scenes",
        "reliability",
    }
    assert figures["expected-best"].reading == ("This needs 3 finished trials; 0 finished so far.",)
    assert figures["importance"].reading == ("This needs 12 finished trials; 0 finished so far.",)
