"""The page: one file with everything in it, that opens from disk without a network."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import vl_convert
from altair.utils.schemapi import debug_mode
from jinja2 import Environment, PackageLoader, StrictUndefined

from harness import __version__
from harness.errors import HarnessError
from harness.files import write_then_rename
from harness.report.figures import PAGE, PAPER, Palette, style
from harness.report.findings import Findings
from harness.report.gallery import Figure, draw_figures
from harness.report.leaks import describe_leaks, tabulate_leaks
from harness.report.library import bundle_library, start_bundling, vegalite_version
from harness.report.openings import tabulate_test_scores
from harness.report.parallel import AXIS_WIDTH, LABEL_ROOM, SEGMENT_PREFIX
from harness.report.replication import describe_replication, tabulate_replication
from harness.report.scatter import AXIS_ROOM, LEAST_PANEL, MAX_COLUMNS, PANEL_GAP
from harness.report.sentences import (
    Statement,
    describe_openings,
    describe_progress,
    describe_published,
    describe_search,
    percent,
)
from harness.report.tables import (
    tabulate_all_trials,
    tabulate_best_trials,
    tabulate_confusion,
    tabulate_failures,
    tabulate_search_space,
    tabulate_settings,
    write_score,
)
from harness.report.test_session import tabulate_test_session
from harness.report.test_statements import describe_test_session

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
        read_at=findings.read_at[:19].replace("T", " "),
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
