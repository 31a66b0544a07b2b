import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from harness.report.page import render_page
from harness.store.records import ScoreKind, TrialResult, TrialStatus
from harness.store.store import ResultsStore
from tests.report.reading import PICTURES, specs_in
from tests.report.scored import PROBED, score_whole_opening
from tests.report.searches import (
    begin_search,
    begin_trial,
    fail_trial,
    findings_of,
    run_trial,
    validation_predictions,
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

#: Inside a frame a page can be narrower than the 500 pixels that Chromium gives a window at least.
FRAME = """<!DOCTYPE html><body style="margin: 0">
<script>addEventListener("message", (event) => { document.title = event.data; });</script>
<iframe src="page.html" style="width: WIDTHpx; height: 900px; border: 0"></iframe></body>"""
ASK = """<script>
setTimeout(() => { parent.postMessage(JSON.stringify((() => {SCRIPT})()), "*"); }, 3000);
</script></body>"""
MEASURE = """
  const page = document.documentElement;
  const drawn = [...document.querySelectorAll(".picture svg")].map((svg) => svg.closest(".picture").id);
  const folded = document.querySelectorAll("details:not([open], .long)").length;
  window.dispatchEvent(new Event("beforeprint"));
  const hidden = document.querySelectorAll("details:not([open], .long)").length;
  return [page.clientWidth, page.scrollWidth, folded, hidden, drawn];
"""


def ask_browser(html: str, script: str, folder: Path, width: int) -> Any:
    """Load a page, and return what a script in it returns three seconds later."""
    before, _, after = html.rpartition("</body>")
    (folder / "page.html").write_text(before + ASK.replace("SCRIPT", script) + after, encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    assert CHROMIUM is not None
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=10000",
        f"--window-size={width + 20},1000",
        "--dump-dom",
        frame.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    (title,) = re.findall("<title>(.*)</title>", done.stdout)
    return json.loads(unescape(title))


def measure_in_browser(html: str, folder: Path, width: int) -> tuple[int, int, int, int, list[str]]:
    """Width of the page and of what is in it, closed details before and in print, and the pictures drawn."""
    page_width, content_width, folded, hidden, drawn = ask_browser(html, MEASURE, folder, width)
    return page_width, content_width, folded, hidden, drawn


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize(
    "width", [390, *(pytest.param(width, marks=pytest.mark.long) for width in (900, 1400))]
)
def test_browser_draws_every_picture_and_the_page_fits_its_width(
    searched: Path, tmp_path: Path, width: int
) -> None:
    html = render_page(findings_of(searched))
    page_width, content_width, folded, hidden, drawn = measure_in_browser(html, tmp_path, width)
    assert drawn == PICTURES
    assert content_width == page_width <= width
    assert folded > 0 and hidden == 0


HOSTILE_NAMES = ["</script><script>", 'it\'s "quoted"', "emoji 🎉", "back\\slash\ntwo lines", "x" * 150]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_browser_draws_hostile_names_and_the_test_session_on_a_phone(
    store: ResultsStore, results_path: Path, tmp_path: Path
) -> None:
    space = [
        *({"name": name, "range": [0.1, 1.0], "type": "float"} for name in HOSTILE_NAMES),
        {"name": "choice", "range": HOSTILE_NAMES, "type": "choice"},
    ]
    eid = begin_search(store, search_space=json.dumps(space), name=HOSTILE_NAMES[0])
    for number in range(15):
        chosen = {name: 0.1 + 0.06 * ((7 * number + place) % 15) for place, name in enumerate(HOSTILE_NAMES)}
        trial_id = begin_trial(store, eid, number, 15, num_epochs=2)
        store.finish_trial(trial_id, TrialStatus.CRASHED, message="</script>")
        trial_id = store.start_trial(eid, number, number, {**chosen, "choice": HOSTILE_NAMES[number % 5]})
        predictions = validation_predictions(number)
        store.record_result(trial_id, TrialResult(number / 20, 1, 1, predictions, 2**30, 95.0))
        store.finish_trial(trial_id, TrialStatus.FINISHED, score=number / 20)
    score_whole_opening(store, eid)
    html = render_page(findings_of(results_path))
    page_width, content_width, _, _, drawn = measure_in_browser(html, tmp_path, 390)
    assert sorted(drawn) == sorted(specs_in(html)) and len(drawn) == len(PICTURES) + 2
    assert content_width == page_width <= 390


OVERFLOWING = """
  return [...document.querySelectorAll("#test .scroll")].filter((part) => part.scrollWidth > part.clientWidth)
    .map((part) => part.getAttribute("aria-label"));
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_at_1400_pixels_no_table_of_the_test_set_is_cut(
    store: ResultsStore, results_path: Path, tmp_path: Path
) -> None:
    eid = begin_search(store, num_samples=1)
    run_trial(store, eid, 0, 1, 0.5)
    for kind in (ScoreKind.VALIDATION_CHOSEN, ScoreKind.BRANCH_REPLACED):
        score_whole_opening(store, eid, kind=kind, probes=PROBED)
    html = render_page(findings_of(results_path))
    assert "validation; a branch replaced, fusion layers retrained" in html
    assert ask_browser(html, OVERFLOWING, tmp_path, 1400) == []


SORT = """
  const table = document.querySelector("table.plain");
  table.closest("details").open = true;
  const headings = [...table.tHead.rows[0].cells];
  const rows = () => [...table.tBodies[0].rows].filter((row) => !row.hidden);
  const column = (name) => headings.findIndex((heading) => heading.textContent === name);
  const texts = (name) => rows().map((row) => row.cells[column(name)].textContent.trim());
  const sortBy = (name) => { headings[column(name)].querySelector("button").click(); };
  const sorted = {};
  for (const name of ["time", "peak memory", "best accuracy", "status", "adamlr"]) {
    sortBy(name);
    const ascending = texts(name);
    const said = headings.map((heading) => heading.getAttribute("aria-sort"));
    sortBy(name);
    const saidLast = headings[column(name)].getAttribute("aria-sort");
    sorted[name] = [ascending, texts(name), said.filter((each) => each !== null), saidLast];
  }
  const button = headings[0].querySelector("button");
  button.focus();
  const isReached = document.activeElement === button && button.tabIndex === 0;
  const line = table.closest(".scroll").previousElementSibling;
  const box = line.querySelector("input");
  const type = (text) => { box.value = text; box.dispatchEvent(new Event("input")); };
  type(" CRASH ");
  const found = [texts("status"), line.querySelector("[role=status]").textContent];
  const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]);
  const shown = () => [...table.tBodies[0].rows].filter((row) => getComputedStyle(row).display !== "none").length;
  const numShown = [shown()];
  const paper = rules.find((rule) => rule.media !== undefined && rule.media.mediaText === "print");
  paper.media.mediaText = "all";
  numShown.push(shown());
  paper.media.mediaText = "print";
  type("");
  return [sorted, isReached, found, numShown, rows().length, box.getAttribute("aria-label"),
    document.querySelectorAll("#test .filter, .settings button").length];
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_tables_are_sorted_by_their_headings_and_filtered_by_a_text(
    store: ResultsStore, results_path: Path, tmp_path: Path
) -> None:
    eid = begin_search(store, num_samples=7)
    seconds = [95.0, 8.0, 7300.0, 61.0, 600.0]
    memory = [950_000_000, 85_000_000, 13_200_000_000, 1_100_000_000, 2_000_000_000]
    for number, (took, peak) in enumerate(zip(seconds, memory, strict=True)):
        trial_id = begin_trial(store, eid, number, 7, num_epochs=1)
        score = [0.5, 0.25, 1.0, 0.095, 0.5][number]
        store.record_result(trial_id, TrialResult(score, 1, 1, validation_predictions(5), peak, took))
        store.finish_trial(trial_id, TrialStatus.FINISHED, score=score)
    fail_trial(store, eid, 5)
    begin_trial(store, eid, 6, 7)
    html = render_page(findings_of(results_path))
    assert "<button" not in html and 'type="search"' not in html
    sorted_by, is_reached, found, num_shown, num_rows, label, num_elsewhere = ask_browser(html, SORT, tmp_path, 1400)

    times = ["8 s", "1 min 1 s", "1 min 35 s", "10 min 0 s", "2 h 1 min"]
    ascending, descending, said, said_last = sorted_by["time"]
    # A failed and a running trial take no time that is the same each time the test runs.
    assert [each for each in ascending if each in times] == times
    assert [each for each in descending if each in times] == times[::-1]
    assert (said, said_last) == (["ascending"], "descending")
    sizes = ["85 MB", "950 MB", "1.1 GB", "2.0 GB", "13.2 GB"]
    assert sorted_by["peak memory"][:2] == [[*sizes, "", ""], [*sizes[::-1], "", ""]]
    shares = ["9.5 %", "25.0 %", "50.0 %", "50.0 %", "100.0 %"]
    assert sorted_by["best accuracy"][:2] == [[*shares, "", ""], [*shares[::-1], "", ""]]
    statuses = ["crashed", *["finished"] * 5, "running"]
    assert sorted_by["status"][:2] == [statuses, statuses[::-1]]
    rates = sorted_by["adamlr"][0]
    assert rates == sorted(rates, key=float) and len(set(rates)) == 7
    assert is_reached and found == [["crashed"], "1 of 7 rows"] and num_rows == 7
    # The filter counts on the screen; a printed page has every row.
    assert num_shown == [1, 7]
    assert label == "Rows with this text, table All trials" and num_elsewhere == 0
