import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.report.figures import PAPER
from harness.report.findings import Findings
from harness.report.page import draw_figures, render_page, write_figures, write_page
from harness.store.records import EpochRecord, ScoreKind, TrialStatus
from harness.store.results import ResultsStore
from tests.report.searches import (
    begin_search,
    begin_trial,
    findings_of,
    point,
    run_search,
    run_trial,
    score_test,
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Reader(HTMLParser):
    """Collects what a page loads, its ids, and its text outside of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.texts: list[str] = []
        self._inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.loaded += [str(values[name]) for name in ("src", "href") if values.get(name)]
        self.ids += [str(values["id"])] if "id" in values else []
        if tag in ("script", "style"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))


def specs_in(html: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="specs">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    specs: dict[str, object] = json.loads(found[1])
    return specs


def test_page_loads_nothing_and_holds_all_pictures(searched: Path) -> None:
    html = render_page(findings_of(searched))
    reader = Reader(html)
    assert reader.loaded == ["data:,"]
    assert list(specs_in(html)) == ["history", "learning-curves", "parallel-coordinates", "confusion"]
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
        "The test set has been opened once",
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
    assert "No trial has finished yet." in text and text.count("Nothing to draw yet.") == 4


def test_page_of_a_running_search_shows_the_curves_of_unfinished_trials(
    store: ResultsStore, results_path: Path
) -> None:
    eid = begin_search(store)
    begin_trial(store, eid, 0, 3, num_epochs=2)
    begin_trial(store, eid, 1, 3)
    html = render_page(findings_of(results_path))
    assert list(specs_in(html)) == ["learning-curves"]
    assert "0 of 30 trials finished, 2 running" in Reader(html).text


def test_page_of_one_trial_has_every_picture(store: ResultsStore, results_path: Path) -> None:
    run_trial(store, begin_search(store), 0, 1, 0.6, num_epochs=1)
    assert len(specs_in(render_page(findings_of(results_path)))) == 4


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
    names = [figure.name for figure in draw_figures(findings, PAPER)]
    assert [path.name for path in written] == [
        f"{name}{suffix}" for name in names for suffix in (".svg", ".png")
    ]
    for path in written:
        content = path.read_bytes()
        assert content.startswith(b"<svg" if path.suffix == ".svg" else b"\x89PNG\r\n")
        assert b"var(--" not in content


def test_figures_that_cannot_be_written_give_one_sentence(searched: Path, tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("")
    with pytest.raises(HarnessError) as caught:
        write_figures(tmp_path / "figures", findings_of(searched))
    assert str(caught.value) == (
        f"figures '{tmp_path}/figures': cannot be written (File exists); name another folder with --figures"
    )


#: Inside a frame a page can be narrower than the 500 pixels that Chromium gives a window at least.
FRAME = """<!DOCTYPE html><body style="margin: 0">
<script>addEventListener("message", (event) => { document.title = event.data; });</script>
<iframe src="page.html" style="width: WIDTHpx; height: 900px; border: 0"></iframe></body>"""
MEASURE = """<script>
setTimeout(() => {
  const page = document.documentElement;
  const drawn = [...document.querySelectorAll(".picture svg")].map((svg) => svg.parentElement.id);
  parent.postMessage([page.clientWidth, page.scrollWidth, ...drawn].join(" "), "*");
}, 3000);
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [390, 900, 1400])
def test_browser_draws_every_picture_and_the_page_fits_its_width(
    searched: Path, tmp_path: Path, width: int
) -> None:
    before, _, after = render_page(findings_of(searched)).rpartition("</body>")
    (tmp_path / "page.html").write_text(before + MEASURE + after, encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    assert CHROMIUM is not None
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=10000",
        f"--window-size={width + 20},1000",
        "--dump-dom",
        frame.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    (title,) = re.findall("<title>(.*)</title>", done.stdout)
    page_width, content_width, *drawn = title.split()
    assert drawn == ["history", "learning-curves", "parallel-coordinates", "confusion"]
    assert int(content_width) == int(page_width) <= width
