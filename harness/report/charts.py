"""The charts of a search's trials, of its best trial (its confusion matrix too), of its cost, and of the test set."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import altair as alt
import numpy as np

from harness.corpus.utterances import CLASSES, parse_utterance_id
from harness.models.systems import NO_CONTEXT
from harness.report.chart_style import (
    FIGURE_HEIGHT,
    MANY_TRIALS,
    PANEL_Y_AXIS,
    RINGS,
    SHARES,
    WHOLE_LABELS,
    Figure,
    Look,
    count_axis,
    draw_baseline,
    failures_height,
    failures_place,
    mark_crosses,
    mark_rings,
    place_panels,
    rounded,
    score_axis,
    shorten,
    tooltips,
)
from harness.report.findings import Findings, trial_seconds
from harness.report.statements import describe_expected_best, name_class, write_score
from harness.report.tables import Table, tabulate_causes, tabulate_costs, tabulate_expected_best
from harness.report.test_set import name_opening
from harness.scoring.calibration import average_probabilities
from harness.scoring.metrics import confusion_matrix, predicted_classes
from harness.scoring.scenes import MODEL, SceneScore, explain_scenes
from harness.store.records import ScoreKind, TrialStatus
from harness.wording import write_bytes, write_duration

#: Pixels of a cause's bar, and of a reader's two scores, with the gap to the next.
_BAR_HEIGHT, _PAIR_HEIGHT = 40, 70
#: The rows of the strip of a dialogue, the pixels of one, and the least of a turn that has room for a letter.
_STRIP, _ROW_HEIGHT, _LETTER_WIDTH = ("raters", "turn alone", "in context"), 26, 11
_NOT_SCORED = "not scored"
#: The two ways to train, as the picture of the scenes names them.
_WAYS = ("scenes shared", "scored scene left out")


class _Measure(NamedTuple):
    """One measure of an attempt: the field of its number, the field of its text, and its units.

    A unit has its name, its size in seconds or bytes, and the least that is shown in it.
    """

    field: str
    shown: str
    title: str
    units: tuple[tuple[str, int, int], ...]


_MEASURES = (
    _Measure("seconds", "took", "time of a trial", (("hours", 3600, 7200), ("minutes", 60, 120), ("seconds", 1, 0))),
    _Measure("bytes", "memory", "peak memory", (("GB", 10**9, 10**9), ("MB", 10**6, 0))),
)


def draw_history(findings: Findings, look: Look) -> Figure:
    """Draw each trial's score by its index, the best so far, the failures and the baseline."""
    best = findings.best
    figure = Figure(
        "history",
        "Optimisation history",
        f"Each trial's score (dots), the best so far (line), and failed trials (crosses {failures_place(findings)})."
        + (f" {RINGS}" if findings.num_pruned else ""),
        () if best is None else (f"The best is trial {best.trial_index}: {write_score(findings, best.score)}.",),
    )
    if all(trial.ended_at is None for trial in findings.trials):
        return figure
    best_so_far = math.nan
    better = max if findings.experiment.target == "max" else min
    rows: list[dict[str, Any]] = []
    for trial in findings.trials:
        if trial.score is not None:
            best_so_far = trial.score if math.isnan(best_so_far) else better(best_so_far, trial.score)
        rows.append(
            {
                "trial": trial.trial_index,
                "score": trial.score,
                "best": None if math.isnan(best_so_far) else best_so_far,
                "shown": write_score(findings, trial.score) or str(trial.status),
                "status": str(trial.status),
                **({"pruned": trial.best_validation_accuracy} if trial.status is TrialStatus.PRUNED else {}),
            }
        )
    base = alt.Chart(alt.NamedData(name="trials")).encode(x=count_axis("trial", "trial"))
    y_axis = score_axis(findings)
    tooltip = tooltips(("trial:Q", "trial"), ("shown:N", "score"))
    failures = [str(status) for status in TrialStatus if status.is_failure]
    line = base.transform_filter("isValid(datum.best)").mark_line(
        interpolate="step-after", color=look.accent, strokeWidth=2
    )
    dot, cross = (45, 55) if len(rows) <= MANY_TRIALS else (14, 25)
    points = base.transform_filter("isValid(datum.score)").mark_circle(size=dot, color=look.quiet, opacity=0.9)
    failed = base.transform_filter(alt.FieldOneOfPredicate(field="status", oneOf=failures))
    layers: list[alt.Chart] = [
        *draw_baseline(findings, look),
        line.encode(y=alt.Y("best:Q", **y_axis)),
        points.encode(y=alt.Y("score:Q", **y_axis), tooltip=tooltip),
        mark_crosses(failed, look, cross).encode(
            y=alt.value(failures_height(findings, FIGURE_HEIGHT)), tooltip=tooltip
        ),
    ]
    if findings.num_pruned:
        pruned = mark_rings(base.transform_filter("isValid(datum.pruned)"), look, dot)
        reached = ("pruned:Q", "best accuracy", ".1%")
        ring_tooltip = tooltips(("trial:Q", "trial"), ("shown:N", "score"), reached)
        layers.append(pruned.encode(y=alt.Y("pruned:Q", **y_axis), tooltip=ring_tooltip))
    return figure.show(alt.layer(*layers).properties(width=look.width, height=FIGURE_HEIGHT), trials=rows)


def draw_learning_curves(findings: Findings, look: Look) -> Figure:
    """Draw every trial's validation accuracy by epoch, and the best one in front with its training."""
    best = findings.best
    reading: tuple[str, ...] = ()
    if not findings.epochs and not findings.is_running:
        reading = ("No epoch has been recorded.",)
    elif findings.epochs and best is not None and best.best_epoch is not None:
        reading = (f"Validation chose epoch {best.best_epoch} of {best.num_epochs} for the best trial.",)
    figure = Figure(
        "learning-curves",
        "Learning curves",
        "Validation accuracy of every trial by epoch. The best trial is in front, with the epoch that validation "
        "chose; the dashed line is its accuracy on its training utterances.",
        reading,
    )
    if not findings.epochs:
        return figure
    by_id = {trial.trial_id: trial for trial in findings.trials}
    others = [
        {
            "trial": by_id[trial_id].trial_index,
            "accuracy": [rounded(epoch.validation_accuracy) for epoch in epochs],
        }
        for trial_id, epochs in findings.epochs.items()
        if trial_id in by_id and (best is None or trial_id != best.trial_id)
    ]
    x = count_axis("epoch", "epoch")
    y = alt.Y("accuracy:Q", title="accuracy", axis=alt.Axis(format="%"), scale=alt.Scale(zero=False))
    opacity = 0.45 if len(others) <= 100 else 0.2 if len(others) <= 300 else 0.08
    lines = (
        alt.Chart(alt.NamedData(name="curves"))
        .transform_flatten(["accuracy"])
        .transform_window(epoch="row_number()", groupby=["trial"])
        .mark_line(color=look.quiet, strokeWidth=1, opacity=opacity)
        .encode(x=x, y=y, detail="trial:N", tooltip=tooltips(("trial:N", "trial")))
    )
    layers: list[alt.Chart] = [*draw_baseline(findings, look), lines]
    if best is not None:
        layers += _draw_best_curves(findings, look, x, y)
    return figure.show(alt.layer(*layers).properties(width=look.width, height=FIGURE_HEIGHT), curves=others)


def _draw_best_curves(findings: Findings, look: Look, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    assert findings.best is not None
    names = ["best: validation", "best: training"]
    rows = [
        {"epoch": epoch.epoch, "accuracy": rounded(accuracy), "of": of}
        for epoch in findings.epochs.get(findings.best.trial_id, [])
        for of, accuracy in zip(names, (epoch.validation_accuracy, epoch.train_accuracy), strict=True)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, y=y)
    colors = alt.Scale(domain=names, range=[look.accent, look.second])
    legend = alt.Legend(orient="top", title=None, symbolType="stroke", symbolStrokeWidth=3, labelLimit=220)
    curves = base.mark_line(strokeWidth=2.5).encode(
        color=alt.Color("of:N", scale=colors, legend=legend),
        strokeDash=alt.StrokeDash("of:N", scale=alt.Scale(domain=names, range=[[1, 0], [5, 3]]), legend=None),
        tooltip=tooltips(("of:N", "curve"), ("epoch:Q",), ("accuracy:Q", "", ".1%")),
    )
    chosen = base.transform_filter(f"datum.epoch === {findings.best.best_epoch or 0} && datum.of === '{names[0]}'")
    point = chosen.mark_point(
        size=110, filled=True, color=look.accent, stroke=look.surface, strokeWidth=2, opacity=1
    )
    return [curves, point.encode(tooltip=tooltips(("epoch:Q", "chosen epoch"), ("accuracy:Q", "", ".1%")))]


def draw_confusion(findings: Findings, look: Look) -> Figure:
    """Draw what the best trial took each validation utterance for, shaded by share of the class."""
    figure = Figure(
        "confusion",
        "Validation confusion of the best trial",
        "Rows are the raters' emotions, columns the model's answers; cells have counts of utterances and their share "
        "of the row.",
        () if findings.predictions or findings.is_running else ("No predictions have been recorded.",),
    )
    if not findings.predictions:
        return figure
    counts = confusion_matrix(*predicted_classes(findings.predictions))
    totals = np.maximum(counts.sum(axis=1), 1)
    names = [name_class(emotion) for emotion in CLASSES]
    rows = [
        {
            "said": said,
            "predicted": predicted,
            "count": int(counts[row, column]),
            "share": rounded(counts[row, column] / totals[row]),
        }
        for row, said in enumerate(names)
        for column, predicted in enumerate(names)
    ]
    x_axis = alt.Axis(orient="top", labelAngle=0, ticks=False, labelFontSize=11, labelOverlap=False)
    base = alt.Chart(alt.NamedData(name="cells")).encode(
        x=alt.X("predicted:N", sort=names, title="the model's answer (rows: the raters')", axis=x_axis),
        y=alt.Y("said:N", sort=names, title=None, axis=alt.Axis(ticks=False)),
        tooltip=tooltips(
            ("said:N", "raters said"),
            ("predicted:N", "model said"),
            ("count:Q", "utterances"),
            ("share:Q", "share of the class", ".1%"),
        ),
    )
    cells = base.mark_rect(color=look.accent, stroke=look.surface, strokeWidth=2).encode(
        opacity=alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.04, 1]), legend=None)
    )
    ink = alt.when("datum.share > 0.5").then(alt.value(look.surface)).otherwise(alt.value(look.ink))
    large = base.mark_text(fontSize=15, fontWeight=600, dy=-8).encode(text="count:Q", color=ink)
    small = base.mark_text(fontSize=11, dy=9).encode(text=alt.Text("share:Q", format=".0%"), color=ink)
    chart = alt.layer(cells, large, small).properties(width=look.width, height=FIGURE_HEIGHT)
    return figure.show(chart, cells=rows)


def draw_reliability(findings: Findings, look: Look) -> Figure:
    """Draw accuracy against confidence on the test set, bin by bin, once it was scored."""
    scored = findings.scored_opening
    figure = Figure(
        "reliability",
        "Do the probabilities mean what they say?",
        "On the test set: how often answers with a given confidence are right, bin by bin; larger dots have more "
        "utterances. On the dashed line 70 % confidence is right in 70 % of the cases; below it, the model is "
        "overconfident.",
        () if scored is None else (name_opening(scored),),
    )
    if scored is None:
        return figure
    rows = [
        {
            "confidence": round(found.mean_confidence, 4),
            "right": round(found.accuracy, 4),
            "utterances": found.num_utterances,
        }
        for found in scored.assessment.calibrations[0].calibration.bins
        if found.num_utterances
    ]
    x = alt.X("confidence:Q", title="mean confidence", axis=alt.Axis(format="%"), scale=SHARES)
    y = alt.Y("right:Q", title="right", axis=alt.Axis(format="%"), scale=SHARES)
    ends = [{"confidence": 0, "right": 0}, {"confidence": 1, "right": 1}]
    diagonal = alt.Chart(alt.Data(values=ends)).encode(x=x, y=y)
    base = alt.Chart(alt.NamedData(name="reliability")).encode(x=x, y=y)
    dots = base.mark_circle(color=look.accent, stroke=look.surface, strokeWidth=1.5, opacity=1).encode(
        size=alt.Size("utterances:Q", scale=alt.Scale(range=[30, 500]), legend=None),
        tooltip=tooltips(("confidence:Q", "mean confidence", ".1%"), ("right:Q", "", ".1%"), ("utterances:Q",)),
    )
    chart = alt.layer(
        diagonal.mark_line(color=look.ink, strokeDash=[2, 3], opacity=0.7),
        base.mark_line(color=look.accent, strokeWidth=1.5),
        dots,
    )
    return figure.show(chart.properties(width=look.width, height=FIGURE_HEIGHT), reliability=rows)


def draw_scenes(findings: Findings, look: Look) -> Figure:
    """Draw what words, speech and the model score with scenes shared and with the scored scene left out."""
    scored = findings.scored_opening
    pairs = () if scored is None else scored.assessment.scenes
    figure = Figure(
        "scenes",
        "Scenes shared and left out, by modality",
        "On the test set: unweighted accuracy with its 95 % interval, where training has read the scored scene and "
        "where that scene was left out of training. The gap between them is recognition of the scene. The dotted line "
        "is chance.",
    )
    if scored is None or not pairs:
        return figure
    reading = (name_opening(scored), explain_scenes(pairs, bool(scored.opening.is_synthetic)))
    of_model = {score.name: score for score in scored.assessment.scores}["unweighted accuracy"]
    scores = [(pair.reader, way, score) for pair in pairs for way, score in zip(_WAYS, pair.scores, strict=True)]
    if pairs[-1].reader != MODEL:
        way = _WAYS[int(scored.assessment.has_disjoint_scenes)]
        scores.append((MODEL, way, SceneScore(of_model.spread, of_model.interval)))
    rows = [
        {
            "reader": reader,
            "scenes": way,
            "accuracy": rounded(score.spread.mean),
            "low": rounded(score.interval.low),
            "high": rounded(score.interval.high),
        }
        for reader, way, score in scores
        if score is not None
    ]
    return replace(figure, reading=reading).show(_place_scenes(rows, look), scenes=rows)


def _place_scenes(rows: Sequence[dict[str, Any]], look: Look) -> alt.LayerChart:
    readers = list(dict.fromkeys(row["reader"] for row in rows))
    most = max(row["high"] for row in rows)
    x_scale = alt.Scale(domain=[0, min(1.0, most + 0.08)], nice=False)
    colors = alt.Scale(domain=list(_WAYS), range=[look.accent, look.second])
    legend = alt.Legend(orient="top", title=None, symbolType="circle", symbolSize=90, symbolOpacity=1, labelLimit=260)
    base = alt.Chart(alt.NamedData(name="scenes")).encode(
        y=alt.Y("reader:N", sort=readers, title=None, axis=alt.Axis(ticks=False), scale=alt.Scale(paddingInner=0.3)),
        yOffset=alt.YOffset("scenes:N", sort=list(_WAYS)),
        color=alt.Color("scenes:N", scale=colors, legend=legend),
        tooltip=tooltips(
            ("reader:N", "read"),
            ("scenes:N", "scenes"),
            ("accuracy:Q", "unweighted accuracy", ".1%"),
            ("low:Q", "from", ".1%"),
            ("high:Q", "to", ".1%"),
        ),
    )
    x_axis = alt.Axis(format="%")
    accuracy = alt.X("accuracy:Q", title="unweighted accuracy", axis=x_axis, scale=x_scale)
    chance = alt.Chart(alt.Data(values=[{"accuracy": 1 / len(CLASSES), "label": "chance"}])).encode(x=accuracy)
    return alt.layer(
        chance.mark_rule(color=look.ink, strokeDash=[2, 3], opacity=0.7),
        chance.mark_text(align="left", dx=5, color=look.ink).encode(text="label:N", y=alt.value(8)),
        base.mark_rule(strokeWidth=3, opacity=0.45).encode(x=alt.X("low:Q", scale=x_scale), x2="high:Q"),
        base.mark_circle(size=110, opacity=1).encode(x=accuracy),
        base.mark_text(dy=-11, fontSize=11).encode(x=accuracy, text=alt.Text("accuracy:Q", format=".1%")),
    ).properties(width=look.width, height=_PAIR_HEIGHT * len(readers))


def draw_dialogue(findings: Findings, look: Look) -> Figure:
    """Draw one dialogue of the test set turn by turn: the raters, the answer of the turn alone, and that in context."""
    figure = Figure(
        "dialogue",
        "One dialogue of the test set, with and without context",
        "Each column is a turn of one of the two speakers, F or M, in the order of that speaker's turns; how the two "
        "take turns is not in results.db. Rows are what the raters said, what the same system says of the turn alone, "
        "and what it says in context, unless it reads none. Pale turns are not scored: the raters gave them another "
        "class, or none. "
        "The dialogue is chosen by a rule, not by what the model has right in it: of the test set's dialogues it has "
        "the most scored turns, and is the first by id of those that have as many.",
    )
    scored = findings.scored_opening
    if scored is None:
        return figure
    kinds = (ScoreKind.BASELINE_OWN_TURN, scored.assessment.kind)
    answers = [findings.test_predictions.get((scored.opening.opening_id, kind)) for kind in kinds]
    if not answers[0] or not answers[1]:
        return figure
    alone, in_context = average_probabilities(answers[0]), average_probabilities(answers[1])
    turns = [
        (parse_utterance_id(one.utterance_id), one.emotion, one.predicted, other.predicted)
        for one, other in zip(alone, in_context, strict=True)
    ]
    counts = Counter(name.dialogue_id for name, *_ in turns)
    chosen = min(counts, key=lambda dialogue_id: (-counts[dialogue_id], dialogue_id))
    strip = [turn for turn in turns if turn[0].dialogue_id == chosen]
    right = [sum(turn[place] == turn[1] for turn in strip) for place in (2, 3)]
    # Without context both answers are the same one.
    said = _STRIP[:-1] if NO_CONTEXT in scored.system else _STRIP
    compared = f" and {right[1]} in context" if said == _STRIP else ""
    reading = (
        name_opening(scored),
        f"Of the {len(strip)} scored turns of {chosen}, {right[0]} are right alone{compared}.",
    )
    cells = [(name.utterance_id, *map(name_class, classes[: len(said)])) for name, *classes in strip]
    table = Table("The turns of one dialogue", ("turn", *said), tuple(cells))
    rows = _lay_out_strip(cells, said)
    return replace(figure, reading=reading, table=table).show(_place_strip(rows, said, look), dialogue=rows)


def _lay_out_strip(cells: Sequence[Sequence[str]], said: Sequence[str]) -> list[dict[str, Any]]:
    """Return a cell for each row of each turn, also of the turns between scored ones."""
    classes = {(name[-4], int(name[-3:])): found for name, *found in cells}
    last: dict[str, int] = {}
    for speaker, number in sorted(classes):
        last[speaker] = number
    return [
        {"turn": number, "row": f"{speaker}: {row}", "emotion": emotion, "letter": emotion[0] if is_scored else ""}
        for speaker, end in last.items()
        for number in range(end + 1)
        for is_scored in [(speaker, number) in classes]
        for row, emotion in zip(said, classes.get((speaker, number), [_NOT_SCORED] * len(said)), strict=True)
    ]


def _place_strip(rows: Sequence[dict[str, Any]], said: Sequence[str], look: Look) -> alt.LayerChart:
    speakers = sorted({row["row"][0] for row in rows})
    # An empty row parts the speakers.
    order = [row for speaker in speakers for row in (*(f"{speaker}: {name}" for name in said), " ")]
    colors = alt.Scale(
        domain=[*map(name_class, CLASSES), _NOT_SCORED],
        range=[look.warning, look.second, look.quiet, look.accent, look.grid],
    )
    # On a telephone there is no room for one row of classes, nor for every number.
    legend = alt.Legend(orient="top", title=None, symbolType="square", symbolOpacity=1, columns=3)
    axis = alt.Axis(labelAngle=0, ticks=False, labelOverlap=True, labelSeparation=4)
    base = alt.Chart(alt.NamedData(name="dialogue")).encode(
        x=alt.X("turn:O", title="number of the speaker's turn", axis=axis),
        y=alt.Y("row:N", title=None, axis=alt.Axis(ticks=False), scale=alt.Scale(domain=order[:-1], padding=0.08)),
        tooltip=tooltips(("row:N", "who says"), ("turn:O", "turn"), ("emotion:N", "class")),
    )
    has_room = f"width > {_LETTER_WIDTH * len({row['turn'] for row in rows})}"
    letters = base.mark_text(fontSize=11, color=look.surface, opacity=alt.ExprRef(f"{has_room} ? 1 : 0"))
    return alt.layer(
        base.mark_rect(opacity=1).encode(color=alt.Color("emotion:N", scale=colors, legend=legend)),
        letters.encode(text="letter:N"),
    ).properties(width=look.width, height=_ROW_HEIGHT * (len(order) - 1))


def draw_expected_best(findings: Findings, look: Look) -> Figure:
    """Draw the expected best by the number of trials, and its confidence band if the scores are accuracies."""
    found = findings.expected_best
    band = (
        "The shaded band holds the true line, all of it at once, in at least 95 of 100 searches whose trials are drawn "
        "independently; its upper edge nears 100 %, because a trial that was not run may score anything."
        if findings.scores_are_accuracies
        else "There is no confidence band, because this score is no accuracy and its bounds are not known."
    )
    figure = Figure(
        "expected-best",
        "Were there enough trials?",
        "The line is the best score to expect from a search with this number of trials: the mean over all ways to "
        f"choose that many of the finished trials, each once. {band} The line cannot rise above the best score seen, "
        "and says nothing about trials that were not run.",
        (describe_expected_best(findings),),
        tabulate_expected_best(findings),
    )
    if found is None:
        return figure
    rows: list[dict[str, Any]] = []
    for count, mean, low, high in zip(found.num_trials, found.expected, found.low, found.high, strict=True):
        row = {"trials": int(count), "expected": shorten(mean), "shown": write_score(findings, float(mean))}
        if not np.isnan(low):
            row |= {"low": shorten(low), "high": shorten(high)}
        rows.append(row)
    y = score_axis(findings)
    y["title"] = "expected best " + y["title"]
    if findings.scores_are_accuracies:
        y["scale"] = alt.Scale(zero=False, domainMax=1)
    base = alt.Chart(alt.NamedData(name="expected")).encode(x=count_axis("trials", "finished trials"))
    area = base.transform_filter("isValid(datum.low)").mark_area(color=look.accent, opacity=0.16)
    line = base.mark_line(color=look.accent, strokeWidth=2.5)
    points = base.mark_circle(color=look.accent, size=40 if len(rows) <= 40 else 10, opacity=1)
    tooltip = tooltips(("trials:Q", "trials"), ("shown:N", "expected best"))
    chart = alt.layer(
        area.encode(y=alt.Y("low:Q", **y), y2="high:Q"),
        line.encode(y=alt.Y("expected:Q", **y)),
        points.encode(y=alt.Y("expected:Q", **y), tooltip=tooltip),
    )
    return figure.show(chart.properties(width=look.width, height=FIGURE_HEIGHT), expected=rows)


def draw_costs(findings: Findings, look: Look) -> Figure:
    """Draw each ended attempt's time and peak memory by its trial."""
    figure = Figure(
        "costs",
        "Time and memory",
        "How long each attempt took, and its peak memory; crosses are failed attempts.",
        table=tabulate_costs(findings),
    )
    rows: list[dict[str, Any]] = []
    for trial in findings.attempts:
        took = trial_seconds(trial)
        if took is None:
            continue
        row: dict[str, Any] = {"trial": trial.trial_index, "status": str(trial.status), "seconds": took}
        row["took"] = write_duration(took)
        if trial.peak_memory_bytes:
            row |= {"bytes": trial.peak_memory_bytes, "memory": write_bytes(trial.peak_memory_bytes)}
        rows.append(row)
    if not rows:
        return figure
    panels = [_draw_measure(look, rows, measure) for measure in _MEASURES if any(measure.field in row for row in rows)]
    return figure.show(place_panels(panels), attempts=rows)


def _draw_measure(look: Look, rows: Sequence[dict[str, Any]], measure: _Measure) -> alt.LayerChart:
    """Draw one measure of the attempts, and turn it in ``rows`` into the unit of its axis."""
    most = max(1.0, *(row.get(measure.field, 0) for row in rows))
    unit, unit_size = next((name, size) for name, size, least in measure.units if most >= least)
    for row in rows:
        if measure.field in row:
            row[measure.field] = shorten(row[measure.field] / unit_size)
    x_axis = alt.Axis(tickMinStep=1, tickCount=5, format="d", labelExpr=WHOLE_LABELS, grid=False)
    base = (
        alt.Chart(alt.NamedData(name="attempts"))
        .transform_filter(f"isValid(datum.{measure.field})")
        .encode(
            x=alt.X("trial:Q", title="trial", axis=x_axis, scale=alt.Scale(nice=False, zero=False, padding=8)),
            y=alt.Y(
                f"{measure.field}:Q",
                title=f"{measure.title}, {unit}",
                axis=alt.Axis(**PANEL_Y_AXIS, format=",.2~f"),
                scale=alt.Scale(domain=[0, most / unit_size], nice=True),
            ),
            tooltip=tooltips(
                ("trial:Q", "trial"), (f"{measure.shown}:N", measure.title), ("status:N", "how it ended")
            ),
        )
    )
    size, opacity = (14, 0.6) if len(rows) > MANY_TRIALS else (36, 0.9)
    whole = [TrialStatus.FINISHED.value, TrialStatus.PRUNED.value]
    finished = base.transform_filter(f"indexof({whole}, datum.status) >= 0")
    failed = base.transform_filter(f"indexof({whole}, datum.status) < 0")
    return alt.layer(
        finished.mark_circle(size=size, color=look.quiet, opacity=opacity), mark_crosses(failed, look, 45)
    )


def draw_failures(findings: Findings, look: Look) -> Figure:
    """Draw how many attempts ended by which cause."""
    counts = Counter(str(trial.status) for trial in findings.failures)
    figure = Figure(
        "failures",
        "Failures by cause",
        "Attempts that ended without a score, by cause.",
        () if counts else ("No attempt has failed.",),
        tabulate_causes(findings),
    )
    if not counts:
        return figure
    rows = [{"cause": cause, "attempts": count} for cause, count in counts.most_common()]
    # The numbers stand at the bars, in place of an axis.
    x_scale = alt.Scale(nice=False, domain=[0, 1.12 * counts.most_common(1)[0][1]])
    base = alt.Chart(alt.NamedData(name="causes")).encode(
        y=alt.Y("cause:N", sort=[str(row["cause"]) for row in rows], title=None, axis=alt.Axis(ticks=False)),
        x=alt.X("attempts:Q", axis=None, scale=x_scale),
        tooltip=tooltips(("cause:N", "cause"), ("attempts:Q", "attempts")),
    )
    bars = base.mark_bar(color=look.warning, opacity=0.85, height=20)
    numbers = base.mark_text(align="left", dx=6, fontSize=12, fontWeight=600, color=look.ink)
    chart = alt.layer(bars, numbers.encode(text="attempts:Q"))
    return figure.show(chart.properties(width=look.width, height=_BAR_HEIGHT * len(rows)), causes=rows)
