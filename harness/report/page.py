"""The page: one file with everything in it, that opens from disk without a network.

Every picture of the report, each with what it shows in words and where its numbers stand.

Vega's scripts, which draw the pictures of a page.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert
from altair.utils.schemapi import debug_mode
from jinja2 import Environment, PackageLoader, StrictUndefined

from harness import __version__
from harness.errors import HarnessError
from harness.files import write_then_rename
from harness.report.chart_style import PAGE, PAPER, STATIC_WIDTH, Palette, Picture, failures_place, style
from harness.report.charts import (
    describe_expected_best,
    draw_confusion,
    draw_costs,
    draw_expected_best,
    draw_failures,
    draw_history,
    draw_learning_curves,
    draw_reliability,
    expected_best_of,
    tabulate_costs,
    tabulate_expected_best,
)
from harness.report.charts_space import (
    AXIS_ROOM,
    AXIS_WIDTH,
    LABEL_ROOM,
    LEAST_PANEL,
    MAX_COLUMNS,
    MAX_LINES,
    MAX_TRIALS,
    PANEL_GAP,
    SEGMENT_PREFIX,
    describe_importance,
    draw_importance,
    draw_parallel_coordinates,
    draw_scatter,
    list_drawn,
    tabulate_importance,
)
from harness.report.findings import Findings
from harness.report.follow_ups import (
    describe_leaks,
    describe_replication,
    tabulate_leaks,
    tabulate_replication,
)
from harness.report.importance import find_joint_importance, list_importances
from harness.report.statements import (
    Statement,
    describe_openings,
    describe_progress,
    describe_published,
    describe_search,
    percent,
)
from harness.report.tables import (
    Table,
    tabulate_all_trials,
    tabulate_best_trials,
    tabulate_causes,
    tabulate_confusion,
    tabulate_failures,
    tabulate_search_space,
    tabulate_settings,
    write_score,
)
from harness.report.test_set import (
    describe_test_session,
    name_opening,
    tabulate_test_scores,
    tabulate_test_session,
)
from harness.wording import write_time


@dataclass(frozen=True)
class Figure:
    """One picture.

    Attributes:
        name: of its element and its files
        caption: what it shows, also for those who do not see it
        picture: None where there is nothing to draw yet
        reading: what is to be read from it, in sentences; also where nothing can be drawn, and why
        table: its numbers, where no other table of the page has them
    """

    name: str
    title: str
    caption: str
    picture: Picture | None
    reading: tuple[str, ...] = ()
    table: Table | None = None


def draw_figures(findings: Findings, palette: Palette) -> list[Figure]:
    """Draw every picture of the report.

    Args:
        palette: ``PAGE`` for pictures as wide as their column, ``PAPER`` for files
    """
    width = "container" if palette is PAGE else STATIC_WIDTH
    return [
        _show_history(findings, palette, width),
        _show_learning_curves(findings, palette, width),
        _show_expected_best(findings, palette, width),
        _show_importance(findings, palette, width),
        _show_scatter(findings, palette),
        _show_parallel_coordinates(findings, palette),
        Figure(
            "confusion",
            "Validation confusion of the best trial",
            "Rows are what the raters said, columns what the model said; counts of utterances, and shares of "
            "their row.",
            draw_confusion(findings, palette, width) if findings.predictions else None,
            () if findings.predictions or findings.is_running else ("No predictions have been recorded.",),
        ),
        Figure(
            "costs",
            "Time and memory",
            "How long each attempt took, and the most memory that it held; crosses failed.",
            draw_costs(findings, palette, STATIC_WIDTH),
            table=tabulate_costs(findings),
        ),
        Figure(
            "failures",
            "Failures by cause",
            "Attempts that ended without a score, by what ended them.",
            draw_failures(findings, palette, width),
            () if findings.failures else ("No attempt has failed.",),
            tabulate_causes(findings),
        ),
        _show_reliability(findings, palette, width),
    ]


def _show_history(findings: Findings, palette: Palette, width: int | str) -> Figure:
    has_ended = any(trial.ended_at is not None for trial in findings.trials)
    best = findings.best
    reading = (
        ()
        if best is None
        else (f"The best is trial {best.trial_index}: {write_score(findings, best.score)}.",)
    )
    return Figure(
        "history",
        "Optimisation history",
        f"Each trial's score (dots), the best so far (line) and failed trials (crosses {failures_place(findings)}).",
        draw_history(findings, palette, width) if has_ended else None,
        reading,
    )


def _show_learning_curves(findings: Findings, palette: Palette, width: int | str) -> Figure:
    best = findings.best
    reading: tuple[str, ...] = ()
    if not findings.epochs and not findings.is_running:
        reading = ("No epoch has been recorded.",)
    elif findings.epochs and best is not None and best.best_epoch is not None:
        reading = (f"Validation chose epoch {best.best_epoch} of {best.num_epochs} for the best trial.",)
    return Figure(
        "learning-curves",
        "Learning curves",
        "Validation accuracy of every trial by epoch, the best trial in front with the epoch that validation "
        "chose; dashed, its accuracy on what it trained on.",
        draw_learning_curves(findings, palette, width) if findings.epochs else None,
        reading,
    )


def _show_expected_best(findings: Findings, palette: Palette, width: int | str) -> Figure:
    found = expected_best_of(findings)
    return Figure(
        "expected-best",
        "Were there enough trials?",
        "The best score to expect of a search of so many trials (line): the mean over all ways to choose so many "
        "of the finished ones, each once. Shaded: a 95 % interval (jackknife over trials), up to a quarter of them: "
        "beyond, too few trials decide the best for an interval that holds. The line cannot rise above the best "
        "score seen, and says nothing of trials that were not run.",
        None if found is None else draw_expected_best(findings, found, palette, width),
        (describe_expected_best(findings, found),),
        tabulate_expected_best(findings, found),
    )


def _show_importance(findings: Findings, palette: Palette, width: int | str) -> Figure:
    importances = list_importances(findings)
    num_trials = max((one.num_trials for one in importances), default=0)
    return Figure(
        "importance",
        "Importance of hyperparameters",
        "How much of the variation of the scores' ranks each hyperparameter explains by itself (dot), less what "
        f"chance would; n = {num_trials} finished trials in groups of neighbouring values. The bar is a 95 % "
        "interval; one that begins at 0 says nothing.",
        draw_importance(importances, palette, width),
        tuple(describe_importance(findings, importances, find_joint_importance(findings))),
        tabulate_importance(importances),
    )


def _show_scatter(findings: Findings, palette: Palette) -> Figure:
    drawn, ended = len(list_drawn(findings)), sum(trial.ended_at is not None for trial in findings.trials)
    which = (
        "" if drawn == ended else f" Only {MAX_TRIALS} of {ended} trials, evenly over the search, are drawn."
    )
    return Figure(
        "hyperparameters",
        "Each hyperparameter against the score",
        f"One dot a finished trial, the large one the best; crosses {failures_place(findings)} failed. The short "
        f"lines are medians of trials with neighbouring values, or with the same choice.{which}",
        draw_scatter(findings, palette, STATIC_WIDTH),
    )


def _show_parallel_coordinates(findings: Findings, palette: Palette) -> Figure:
    num_axes = len(findings.search_space) + 1
    segment_width = (STATIC_WIDTH - num_axes * AXIS_WIDTH - 2 * LABEL_ROOM) // max(1, num_axes - 1)
    drawn = min(len(findings.finished), MAX_LINES)
    which = "" if drawn == len(findings.finished) else f" Only the best {drawn} are drawn."
    return Figure(
        "parallel-coordinates",
        "Parallel coordinates",
        "One line a finished trial; the stronger its colour, the better. Drag along an axis to keep the lines "
        f"that pass there; click beside the mark to let go. That needs a mouse or a finger: for the keyboard, the "
        f"table of all trials has the same numbers.{which}",
        draw_parallel_coordinates(findings, palette, segment_width),
    )


def _show_reliability(findings: Findings, palette: Palette, width: int | str) -> Figure:
    scored = findings.scored_opening
    return Figure(
        "reliability",
        "Do the probabilities mean what they say?",
        "On the test set: how often answers of a confidence are right, bin by bin; larger dots have more "
        "utterances. On the dashed line 70 % confidence is right in 70 % of the cases; below it, the model "
        "promises too much.",
        draw_reliability(findings, palette, width),
        () if scored is None else (name_opening(scored),),
    )


_SNIPPET = "window.vegaEmbed = vegaEmbed;"
_PROGRAM = """
import sys, vl_convert
sys.stdout.buffer.write(vl_convert.javascript_bundle(sys.argv[1], sys.argv[2]).encode())
"""


def vegalite_version() -> str:
    """Return the version of Vega-Lite that altair writes, as vl-convert names it: ``"v6.4"``."""
    return str(alt.SCHEMA_VERSION).rsplit(".", 1)[0]


@cache
def start_bundling() -> subprocess.Popen[bytes]:
    """Begin to put the scripts together in a process of its own; ``bundle_library`` waits for it.

    It takes a second, whatever is drawn, and holds the interpreter all the while: beside reading and drawing
    it costs no time where there is a second core. The process ends by itself, read or not.
    """
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, _SNIPPET, vegalite_version()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


@cache
def bundle_library() -> str:
    """Return the scripts, for inside a script element: they set ``window.vegaEmbed``."""
    process = start_bundling()
    output, _ = process.communicate()
    if process.returncode == 0:
        script = output.decode()
    else:
        # What went wrong there is said here, unless it goes well.
        script = vl_convert.javascript_bundle(_SNIPPET, vegalite_version())
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


#: Rows of the page's longer tables.
MAX_ROWS = 20

_SYNTHETIC_TITLE = {
    "text": "synthetic corpus: no score on IEMOCAP",
    "anchor": "start",
    "fontSize": 11,
    "fontWeight": "normal",
    "color": PAPER.warning,
}


def write_page(path: Path, findings: Findings) -> None:
    """Write the report as one HTML file, whole or not at all.

    Raises:
        HarnessError: the file cannot be written
    """
    html = render_page(findings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_then_rename(path) as stream:
            stream.write(html.encode("utf-8"))
    except OSError as error:
        raise HarnessError(
            f"report '{path}': cannot be written ({error.strerror}); name another file with --output"
        ) from error


def render_page(findings: Findings) -> str:
    """Return the page's HTML."""
    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # A number and its per cent sign stay on one line.
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\u00a0%")
    start_bundling()
    # The charts have one shape whatever the trials are; altair would check each of their pieces for a second.
    with debug_mode(False):
        figures = draw_figures(findings, PAGE)
        specs = _specify(figures, PAGE)
    openings = describe_openings(findings)
    return environment.get_template("page.html").render(
        experiment=findings.experiment,
        is_running=findings.is_running,
        progress=describe_progress(findings),
        tiles=_list_tiles(findings),
        statements=[*describe_search(findings), *_describe_follow_ups(findings), openings[0]],
        replication=None if findings.replication is None else tabulate_replication(findings.replication),
        leaks=[tabulate_leaks(leaks) for leaks in findings.leaks],
        figures={figure.name: figure for figure in figures},
        best_trials=tabulate_best_trials(findings, MAX_ROWS),
        all_trials=tabulate_all_trials(findings),
        search_space=tabulate_search_space(findings),
        confusion=replace(tabulate_confusion(findings), title="Utterances by class"),
        failures=tabulate_failures(findings, MAX_ROWS),
        openings=openings,
        test_scores=tabulate_test_scores(findings),
        test_statements=describe_test_session(findings),
        test_tables=tabulate_test_session(findings),
        published=None if findings.is_synthetic_only else describe_published(),
        settings=tabulate_settings(findings),
        read_at=write_time(findings.read_at),
        version=__version__,
        specs=_embed_json(specs),
        layout=_embed_json(_describe_layout()),
        library=bundle_library(),
    )


def write_figures(folder: Path, findings: Findings) -> list[Path]:
    """Write the pictures as SVG and PNG, on white, into ``folder``.

    Raises:
        HarnessError: the folder cannot be written
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, spec in _specify(draw_figures(findings, PAPER), PAPER).items():
            if findings.experiment.is_synthetic:
                # Away from the page nothing else says so.
                spec["title"] = _SYNTHETIC_TITLE
            svg = vl_convert.vegalite_to_svg(spec, vl_version=vegalite_version())
            png = vl_convert.vegalite_to_png(spec, vl_version=vegalite_version(), scale=2)
            for suffix, content in ((".svg", svg.encode("utf-8")), (".png", png)):
                path = folder / f"{name}{suffix}"
                with write_then_rename(path) as stream:
                    stream.write(content)
                written.append(path)
    except OSError as error:
        raise HarnessError(
            f"figures '{folder}': cannot be written ({error.strerror}); name another folder with --figures"
        ) from error
    return written


def _describe_follow_ups(findings: Findings) -> list[Statement]:
    replicated = [] if findings.replication is None else [describe_replication(findings.replication)]
    return [*replicated, *(describe_leaks(leaks) for leaks in findings.leaks)]


def _describe_layout() -> dict[str, object]:
    """Return what the page's script must know to fit pictures of several views into a width."""
    return {
        "segment": SEGMENT_PREFIX,
        "axisWidth": AXIS_WIDTH,
        "labelRoom": LABEL_ROOM,
        "axisRoom": AXIS_ROOM,
        "panelGap": PANEL_GAP,
        "leastPanel": LEAST_PANEL,
        "maxColumns": MAX_COLUMNS,
    }


def _list_tiles(findings: Findings) -> list[tuple[str, str, str]]:
    """Return the numbers at the top of the page: what, how much, and beside what to read it."""
    best, baseline = findings.best, findings.baseline
    tiles = []
    if best is not None:
        name = "best validation accuracy" if findings.scores_are_accuracies else "best score"
        where = f"trial {best.trial_index}" + (f", epoch {best.best_epoch}" if best.best_epoch else "")
        # Whoever sees no more of the page than this must see it.
        where += ", synthetic corpus" if findings.experiment.is_synthetic else ""
        tiles.append((name, write_score(findings, best.score), where))
    if baseline is not None:
        tiles.append(("largest class", percent(baseline.share), "what a constant answer scores"))
    num_finished = len(findings.finished)
    tiles.append(("trials", f"{num_finished} / {findings.experiment.num_samples}", "finished of planned"))
    if findings.failures:
        causes = Counter(str(trial.status) for trial in findings.failures)
        said = ", ".join(f"{count} {cause}" for cause, count in causes.most_common())
        tiles.append(("failed attempts", str(len(findings.failures)), said))
    openings = len(findings.openings)
    tiles.append(
        ("test set", f"{openings}x" if openings else "sealed", "opened" if openings else "never opened")
    )
    return tiles


def _specify(figures: Sequence[Figure], palette: Palette) -> dict[str, dict[str, Any]]:
    """Return Vega-Lite's specification of each picture that there is, by name."""
    specs = {}
    for figure in figures:
        if figure.picture is None:
            continue
        spec = figure.picture.to_dict(validate=False)
        # A reader of screens reads the description.
        description = " ".join([f"{figure.title}.", figure.caption, *figure.reading])
        specs[figure.name] = {**spec, "config": style(palette), "description": description}
    return specs


def _embed_json(value: Any) -> str:
    """Return JSON that nothing inside can end the script element of."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
