"""What a watched search says to scripts."""

import json
from pathlib import Path
from typing import Any

from harness.search.snapshot import watch_search
from harness.search.view import Ending
from harness.store.store import ResultsStore
from tests.report.searches import run_search
from tests.search.watched_searches import running_search

GUIDE = Path(__file__).parents[2] / "docs" / "watch.md"


def names(value: Any, prefix: str = "") -> set[str]:
    """Every name in a JSON object, as ``running[].pid``; a point's own names are the user's."""
    if isinstance(value, list):
        return set().union(*(names(item, f"{prefix}[]") for item in value))
    if not isinstance(value, dict) or prefix.endswith("point"):
        return {prefix}
    return set().union(*(names(item, f"{prefix}.{name}".lstrip(".")) for name, item in value.items()))


def test_what_scripts_read_is_plain_json(folder: Path) -> None:
    with running_search(folder):
        found = json.loads(json.dumps(watch_search(folder, None).to_json(), allow_nan=False))
    assert found["trials"] == {"total": 10, "finished": 2, "running": 2, "failed": 1, "left": 5}
    assert found["best"] == {
        "trial_index": 0,
        "score": 0.75,
        "best_epoch": 4,
        "point": {"adamlr": 0.000125893, "textlstm": 150, "attention": "decoder"},
    }
    assert found["experiment"]["measure"] == "validation accuracy"
    assert [trial["num_epochs"] for trial in found["running"]] == [3, 4]
    assert found["failures"][0]["status"] == "diverged"


def test_every_name_that_scripts_read_is_in_the_guide(folder: Path) -> None:
    with running_search(folder):
        found = names(json.loads(json.dumps(watch_search(folder, None).to_json())))
    text = GUIDE.read_text("utf-8")
    assert {name for name in found if f"| `{name}` |" not in text} == set()


def test_an_ended_search_is_summed_up_as_aup_does(folder: Path) -> None:
    with ResultsStore.open(folder / "results.db") as store:
        run_search(store, 3)
    report = watch_search(folder, None).report()
    assert (report.ending, report.num_trials, report.best is not None) == (Ending.DONE, 4, True)
