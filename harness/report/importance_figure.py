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
    if all(math.isnan(one.share) and one.num_groups < one.num_trials for one in importances):
        return ["All finished trials have the same score: there is nothing to explain."]
    sentences = _describe_clear(importances)
    shares = [one.share for one in importances if not math.isnan(one.share)]
    if shares:
        rest = percent(max(0.0, 1 - sum(shares)))
        sentences.append(f"Left to combinations of several, to differences within a group, and to chance: {rest}.")
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
    without = [one for one in known if not one.has_interval]
    clear = [one for one in known if one.has_interval and one.low > 0]
    num_unclear = len(known) - len(clear) - len(without)
    sentences = []
    if clear:
        named = ", ".join(f"{one.name} ({100 * one.low:.0f} to {100 * one.high:.0f} %)" for one in clear)
        sentences.append(f"More than chance: {named}.")
    if num_unclear and not clear:
        num_trials = plural(max(one.num_trials for one in known), "trial")
        sentences.append(f"Every interval holds 0: {num_trials} do not show that any of them matters.")
    elif num_unclear == 1:
        sentences.append("The interval of the other one holds 0: the trials do not show that it matters.")
    elif num_unclear:
        sentences.append(
            f"The intervals of the other {num_unclear} hold 0: the trials do not show that they matter."
        )
    if without:
        named = ", ".join(one.name for one in without)
        sentences.append(f"No interval can be given for {named}: too few trials share a value there, or all do.")
    return sentences


def _describe_joint(joint: JointImportance) -> str:
    one, other = joint.names
    if joint.is_seen:
        return (
            f"{one} and {other} explain {percent(joint.share)} more together than each by itself: how much one "
            "matters depends on the other."
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
            _write_share(one),
            f"{100 * one.low:.0f} to {100 * one.high:.0f} %" if one.has_interval else "",
            str(one.num_groups),
            str(one.num_trials),
        )
        for one in importances
    ]
    columns = ("hyperparameter", "share of variation", "95 % interval", "groups", "trials")
    return Table("Importance of hyperparameters", columns, tuple(rows), frozenset(columns[1:]))


def _write_share(one: Importance) -> str:
    if not math.isnan(one.share):
        return percent(one.share)
    return "all scores are equal" if one.num_groups < one.num_trials else "each trial has another value"


def draw_importance(importances: Sequence[Importance], palette: Palette, width: int | str) -> Picture | None:
    """Draw each share with its interval, the greatest on top, those without one last; None of no share."""
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
