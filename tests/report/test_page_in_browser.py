import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.report.page import render_page
from harness.store.records import TrialResult, TrialStatus
from harness.store.store import ResultsStore
from tests.report.reading import PICTURES, specs_in
from tests.report.scored import score_whole_opening
from tests.report.searches import begin_search, begin_trial, findings_of, validation_predictions

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

#: Inside a frame a page can be narrower than the 500 pixels that Chromium gives a window at least.
FRAME = """<!DOCTYPE html><body style="margin: 0">
<script>addEventListener("message", (event) => { document.title = event.data; });</script>
<iframe src="page.html" style="width: WIDTHpx; height: 900px; border: 0"></iframe></body>"""
MEASURE = """<script>
setTimeout(() => {
  const page = document.documentElement;
  const drawn = [...document.querySelectorAll(".picture svg")].map((svg) => svg.closest(".picture").id);
  const folded = document.querySelectorAll("details:not([open], .long)").length;
  window.dispatchEvent(new Event("beforeprint"));
  const hidden = document.querySelectorAll("details:not([open], .long)").length;
  parent.postMessage([page.clientWidth, page.scrollWidth, folded, hidden, ...drawn].join(" "), "*");
}, 3000);
</script></body>"""


def measure_in_browser(html: str, folder: Path, width: int) -> tuple[int, int, int, int, list[str]]:
    """Width of the page and of what is in it, closed details before and in print, and the pictures drawn."""
    before, _, after = html.rpartition("</body>")
    (folder / "page.html").write_text(before + MEASURE + after, encoding="utf-8")
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
    page_width, content_width, folded, hidden, *drawn = title.split()
    return int(page_width), int(content_width), int(folded), int(hidden), drawn


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
