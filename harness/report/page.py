"""The page: one HTML file with charts, tables and Vega's scripts in it, that opens from disk without a network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert
from altair.utils.schemapi import debug_mode
from jinja2 import Environment, PackageLoader, StrictUndefined

from harness import __version__
from harness.errors import HarnessError, one_line
from harness.files import write_then_rename
from harness.report.chart_style import (
    AXIS_ROOM,
    LEAST_PANEL,
    MAX_COLUMNS,
    PAGE,
    PANEL_GAP,
    PAPER,
    Figure,
    Look,
    show_invisible,
)
from harness.report.charts import (
    draw_confusion,
    draw_costs,
    draw_dialogue,
    draw_expected_best,
    draw_failures,
    draw_history,
    draw_learning_curves,
    draw_reliability,
    draw_scenes,
)
from harness.report.charts_compared import draw_compared
from harness.report.charts_space import (
    AXIS_WIDTH,
    LABEL_ROOM,
    SEGMENT_PREFIX,
    draw_importance,
    draw_parallel_coordinates,
    draw_scatter,
)
from harness.report.evaluations import tabulate_evaluations
from harness.report.findings import Findings
from harness.report.folds import describe_folds, tabulate_folds, tabulate_pooled
from harness.report.follow_ups import (
    describe_leaks,
    describe_replication,
    tabulate_leaks,
    tabulate_replication,
)
from harness.report.importance import find_joint_importance, list_importances
from harness.report.statements import (
    describe_openings,
    describe_progress,
    describe_published,
    describe_search,
    percent,
    write_score,
)
from harness.report.tables import (
    tabulate_all_trials,
    tabulate_best_trials,
    tabulate_confusion,
    tabulate_failures,
    tabulate_notes,
    tabulate_search_space,
    tabulate_settings,
)
from harness.report.test_set import describe_scores, tabulate_opening, tabulate_test_scores
from harness.wording import write_time

#: Rows of the page's longer tables.
MAX_ROWS = 20

_SYNTHETIC_TITLE = {
    "text": "synthetic corpus: no score on IEMOCAP",
    "anchor": "start",
    "fontSize": 11,
    "fontWeight": "normal",
    "color": PAPER.warning,
}

#: The page's script must know these numbers to fit charts of several views into a width.
_LAYOUT = {
    "segment": SEGMENT_PREFIX,
    "axisWidth": AXIS_WIDTH,
    "labelRoom": LABEL_ROOM,
    "axisRoom": AXIS_ROOM,
    "panelGap": PANEL_GAP,
    "leastPanel": LEAST_PANEL,
    "maxColumns": MAX_COLUMNS,
}

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
    """Start a process that puts Vega's scripts together; ``bundle_library`` waits for it.

    That takes a second, whatever is drawn, and holds the interpreter all the while: in a process of its own it
    costs no time where there is a second core. The process ends by itself, read or not.
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
        # Once more in this process: it succeeds, or raises the error.
        script = vl_convert.javascript_bundle(_SNIPPET, vegalite_version())
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


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


def draw_figures(findings: Findings, look: Look) -> list[Figure]:
    """Draw every chart of the report.

    Args:
        look: ``PAGE`` for charts as wide as their column, ``PAPER`` for files
    """
    return [
        draw_history(findings, look),
        draw_learning_curves(findings, look),
        draw_expected_best(findings, look),
        draw_importance(findings, list_importances(findings), find_joint_importance(findings), look),
        draw_scatter(findings, look),
        draw_parallel_coordinates(findings, look),
        draw_confusion(findings, look),
        draw_costs(findings, look),
        draw_failures(findings, look),
        draw_dialogue(findings, look),
        draw_scenes(findings, look),
        draw_reliability(findings, look),
        draw_compared(findings, look),
    ]


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
    environment.filters["one_line"] = one_line
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\u00a0%")
    environment.filters["breakable"] = _let_break_before_interval
    start_bundling()
    # The charts have one shape whatever the trials are; altair would check each of their pieces for a second.
    with debug_mode(False):
        figures = draw_figures(findings, PAGE)
        specs = _specify(figures, PAGE)
    openings = describe_openings(findings)
    statements = describe_search(findings)
    if findings.replication is not None:
        statements.append(describe_replication(findings.replication))
    statements += [*map(describe_leaks, findings.leaks), openings[0]]
    scored, folds = findings.scored_opening, findings.folds
    return environment.get_template("page.html").render(
        experiment=findings.experiment,
        is_running=findings.is_running,
        progress=describe_progress(findings),
        tiles=_list_tiles(findings),
        statements=statements,
        fold_statements=[] if folds is None else describe_folds(folds),
        fold_tables=[] if folds is None else [tabulate_folds(folds), *tabulate_pooled(folds)],
        replication=None if findings.replication is None else tabulate_replication(findings.replication),
        leaks=[tabulate_leaks(leaks) for leaks in findings.leaks],
        figures={figure.name: figure for figure in figures},
        best_trials=tabulate_best_trials(findings, MAX_ROWS),
        all_trials=tabulate_all_trials(findings),
        notes=tabulate_notes(findings),
        search_space=tabulate_search_space(findings),
        confusion=replace(tabulate_confusion(findings), title="Utterances by class"),
        failures=tabulate_failures(findings, MAX_ROWS),
        openings=openings,
        test_scores=tabulate_test_scores(findings),
        test_statements=[] if scored is None else describe_scores(scored),
        evaluations=tabulate_evaluations(findings.evaluations, findings.evaluation_intervals),
        test_tables=[] if scored is None else tabulate_opening(scored),
        published=describe_published() if findings.experiment.is_on_iemocap else None,
        settings=tabulate_settings(findings),
        read_at=write_time(findings.read_at),
        version=__version__,
        specs=_embed_json(specs),
        layout=_embed_json(_LAYOUT),
        library=bundle_library(),
    )


@dataclass(frozen=True)
class Picture:
    """A chart as files hold it, on white.

    Attributes:
        text: what it shows, and what follows from it, in sentences
        svg, png: empty where there is nothing to draw yet
    """

    name: str
    text: str
    svg: str = ""
    png: bytes = b""


def render_pictures(findings: Findings) -> Iterator[Picture]:
    """Render the charts of the report, each as it is asked for; one of a synthetic corpus says so in its title."""
    figures = draw_figures(findings, PAPER)
    specs = _specify(figures, PAPER)
    for figure in figures:
        if (spec := specs.get(figure.name)) is None:
            yield Picture(figure.name, figure.text)
            continue
        if findings.experiment.is_synthetic if figure.is_synthetic is None else figure.is_synthetic:
            # Away from the page nothing else says so.
            spec["title"] = _SYNTHETIC_TITLE
        svg = vl_convert.vegalite_to_svg(spec, vl_version=vegalite_version())
        png = vl_convert.vegalite_to_png(spec, vl_version=vegalite_version(), scale=2)
        yield Picture(figure.name, figure.text, svg, png)


def write_figures(folder: Path, findings: Findings) -> list[Path]:
    """Write the charts as SVG and PNG, on white, into ``folder``.

    Raises:
        HarnessError: the folder cannot be written
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for picture in render_pictures(findings):
            if not picture.svg:
                continue
            for suffix, content in ((".svg", picture.svg.encode("utf-8")), (".png", picture.png)):
                path = folder / f"{picture.name}{suffix}"
                with write_then_rename(path) as stream:
                    stream.write(content)
                written.append(path)
    except OSError as error:
        raise HarnessError(
            f"figures '{folder}': cannot be written ({error.strerror}); name another folder with --figures"
        ) from error
    return written


def _let_break_before_interval(text: str) -> str:
    """Let a cell break before the bracket of an interval, and nowhere else.

    Example:
        >>> _let_break_before_interval("50.0 ± 1.2 [48.1 to 52.3]").split(" ")
        ['50.0\xa0±\xa01.2', '[48.1\xa0to\xa052.3]']
    """
    return text.replace(" ", "\u00a0").replace("\u00a0[", " [")


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
        tiles.append(("largest class", percent(baseline.share), "score of a constant answer"))
    num_finished = len(findings.finished)
    pruned = f", {findings.num_pruned} pruned" if findings.num_pruned else ""
    tiles.append(("trials", f"{num_finished} / {findings.experiment.num_samples}", f"finished / planned{pruned}"))
    if findings.failures:
        causes = Counter(str(trial.status) for trial in findings.failures)
        said = ", ".join(f"{count} {cause}" for cause, count in causes.most_common())
        tiles.append(("failed attempts", str(len(findings.failures)), said))
    openings = len(findings.openings)
    tiles.append(("test set", f"{openings}x", "opened") if openings else ("test set", "sealed", "never opened"))
    return tiles


def _specify(figures: Sequence[Figure], look: Look) -> dict[str, dict[str, Any]]:
    """Return Vega-Lite's specification of each chart that there is, by name."""
    specs = {}
    for figure in figures:
        if figure.chart is not None:
            # A screen reader reads the description.
            spec = {**figure.to_dict(validate=False), "config": look.config(), "description": figure.text}
            specs[figure.name] = show_invisible(spec)
    return specs


def _embed_json(value: Any) -> str:
    """Return JSON that nothing inside can end the script element of."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
