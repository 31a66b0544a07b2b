"""The importance of hyperparameters: its picture, its table, and what may be read from it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from harness.report.figures import Palette, Picture, rounded
from harness.report.findings import Findings
from harness.report.importance import MIN_TRIALS, Importance, JointImportance
from harness.report.sentences import percent, plural
from harness.report.tables import Table

#: Pixels of a row.
_ROW_HEIGHT = 36
#: Auptimizer's proposers whose points follow from the scores before them.
_INDEPENDENT_PROPOSERS = ("random", "sequence", "passive")


def describe_importance(
    findings: Findings, importances: Sequence[Importance], joint: JointImportance | None
) -> list[str]:
    """Say which hyperparameters the score follows, what is left, and when the numbers say little."""
    if not importances:
        num_trials = plural(len(findings.finished), "trial")
        return [f"From {MIN_TRIALS} finished trials on; {num_trials} so far."]
    known = [importance for importance in importances if not math.isnan(importance.share)]
    if not known:
        return ["All finished trials have the same score: there is nothing to explain."]
    sentences = _describe_clear(known)
    rest = max(0.0, 1 - sum(importance.share for importance in known))
    sentences.append(f"Left to combinations of several, and to chance: {percent(rest)}.")
    if joint is not None:
        sentences.append(_describe_joint(joint))
    proposer = _proposer_of(findings)
    if proposer and proposer not in _INDEPENDENT_PROPOSERS:
        sentences.append(
            f"The proposer '{proposer}' may choose its points by earlier scores, so that hyperparameters move "
            "together: each share may belong to another one too."
        )
    return sentences


def _describe_clear(known: Sequence[Importance]) -> list[str]:
    clear = [importance for importance in known if importance.low > 0]
    num_unclear = len(known) - len(clear)
    if not clear:
        num_trials = plural(max(one.num_trials for one in known), "trial")
        return [f"Every interval holds 0: {num_trials} do not show that any of them matters."]
    named = ", ".join(f"{one.name} ({100 * one.low:.0f} to {100 * one.high:.0f} %)" for one in clear)
    sentences = [f"More than chance: {named}."]
    if num_unclear == 1:
        sentences.append("The interval of the other one holds 0: the trials do not show that it matters.")
    elif num_unclear:
        sentences.append(
            f"The intervals of the other {num_unclear} hold 0: the trials do not show that they matter."
        )
    return sentences


def _describe_joint(joint: JointImportance) -> str:
    one, other = joint.names
    if joint.is_seen:
        return (
            f"{one} and {other} explain {percent(joint.share)} more together than each by itself: the best "
            "value of one depends on the other."
        )
    return "No pair explains clearly more together than each of the two by itself."


def _proposer_of(findings: Findings) -> str:
    settings = json.loads(findings.experiment.settings)
    return str(settings.get("proposer", "")) if isinstance(settings, dict) else ""


def tabulate_importance(importances: Sequence[Importance]) -> Table:
    """List each hyperparameter's share of the score's variation with its interval."""
    rows = [
        (
            one.name,
            "all scores are equal" if math.isnan(one.share) else percent(one.share),
            "" if math.isnan(one.low) else f"{100 * one.low:.0f} to {100 * one.high:.0f} %",
            str(one.num_groups),
            str(one.num_trials),
        )
        for one in importances
    ]
    columns = ("hyperparameter", "share of variation", "95 % interval", "groups", "trials")
    return Table("Importance of hyperparameters", columns, tuple(rows), frozenset(columns[1:]))


def draw_importance(importances: Sequence[Importance], palette: Palette, width: int | str) -> Picture | None:
    """Draw each share with its interval, the greatest on top; None where there is none to draw."""
    rows: list[dict[str, Any]] = [
        {
            "name": one.name,
            "share": rounded(one.share),
            "low": rounded(one.low),
            "high": rounded(one.high),
            "shown": percent(one.share),
        }
        for one in importances
        if not math.isnan(one.share)
    ]
    if not rows:
        return None
    base = alt.Chart(alt.NamedData(name="importances")).encode(
        y=alt.Y(
            "name:N",
            sort=[row["name"] for row in rows],
            title=None,
            axis=alt.Axis(ticks=False, domain=False, labelLimit=130, labelPadding=8),
        ),
        tooltip=[
            alt.Tooltip("name:N", title="hyperparameter"),
            alt.Tooltip("shown:N", title="share"),
            alt.Tooltip("low:Q", title="at least", format=".0%"),
            alt.Tooltip("high:Q", title="at most", format=".0%"),
        ],
    )
    title = "share of the score's variation"
    axis = alt.Axis(format="%", tickCount=5, title=title)
    x = alt.X("share:Q", axis=axis, scale=alt.Scale(domain=[0, 1], nice=False))
    ranges = (
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=6, strokeCap="round", color=palette.accent, opacity=0.3)
        .encode(x=alt.X("low:Q", axis=axis, scale=alt.Scale(domain=[0, 1], nice=False)), x2="high:Q")
    )
    dots = base.mark_circle(size=110, color=palette.accent, opacity=1).encode(x=x)
    chart = alt.layer(ranges, dots).properties(width=width, height=_ROW_HEIGHT * len(rows))
    return Picture(chart, {"importances": rows})
