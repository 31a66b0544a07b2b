"""The best score to expect of a search of so many trials, so that one sees whether there were enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
from scipy.special import gammaln

from harness.report.figures import FIGURE_HEIGHT, Palette, Picture, score_axis, shorten
from harness.report.findings import Findings
from harness.report.sentences import plural
from harness.report.tables import Table, write_score

#: Finished trials below which a curve over their number is not drawn.
MIN_TRIALS = 3
#: Points of the curve, where there are so many trials.
_MAX_POINTS = 80
#: Searches that are drawn from the one there was; 500 steady the interval's second digit.
_NUM_RESAMPLES = 500
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class ExpectedBest:
    """What the best of ``num_trials[i]`` trials scores on average.

    Attributes:
        num_trials: int64 (num_points,), from 1 to the number of finished trials
        expected: float64 (num_points,), in the unit of the scores
        low, high: 95 % interval, likewise
        from_half: what the second half of the trials brought: an improvement is above 0, whatever the target
        from_half_low, from_half_high: its 95 % interval
    """

    num_trials: np.ndarray
    expected: np.ndarray
    low: np.ndarray
    high: np.ndarray
    from_half: float
    from_half_low: float
    from_half_high: float


def weigh_order(num_scores: int, num_drawn: np.ndarray) -> np.ndarray:
    """Return how likely the i-th lowest of the scores is to be the highest of some of them.

    Args:
        num_drawn: int64 (num_points,), how many are drawn without putting any back

    Returns:
        float64 (num_points, num_scores); each row sums to 1

    Example:
        >>> weigh_order(3, np.array([1, 2, 3])).round(3).tolist()
        [[0.333, 0.333, 0.333], [0.0, 0.333, 0.667], [0.0, 0.0, 1.0]]
    """
    place = np.arange(1, num_scores + 1, dtype=np.float64)
    drawn = np.asarray(num_drawn, dtype=np.float64)[:, np.newaxis]
    can_be = place >= drawn
    # C(i - 1, m - 1) / C(n, m), by logarithms: the numbers themselves have hundreds of digits.
    below = np.where(can_be, place - drawn, 0.0)
    ways = gammaln(place) - gammaln(drawn) - gammaln(below + 1)
    of_all = gammaln(num_scores + 1.0) - gammaln(drawn + 1) - gammaln(num_scores - drawn + 1)
    return np.asarray(np.where(can_be, np.exp(ways - of_all), 0.0))


def list_halvings(num_trials: int) -> list[int]:
    """Return the number of trials, its half, the half of that, and so on, the least first.

    Example:
        >>> list_halvings(30)
        [1, 3, 7, 15, 30]
    """
    return [num_trials >> power for power in reversed(range(num_trials.bit_length()))]


def estimate_expected_best(scores: np.ndarray, target: str, seed: int = 0) -> ExpectedBest:
    """Estimate the best of m trials for each m up to their number, and how sure that is.

    The mean of the best over all choices of m of the trials, which is unbiased; Dodge et al. put each trial
    back after drawing it, which is biased downwards. The interval is a percentile bootstrap over trials.

    Args:
        scores: float64 (num_trials,), finite, one at least
        target: ``"max"`` or ``"min"``
        seed: of the bootstrap, so that one report says the same twice

    Source:
        Dodge et al., Show Your Work: Improved Reporting of Experimental Results, 2019; Tang et al., Showing
        Your Work Doesn't Always Work, 2020, for the unbiased estimate.
    """
    sign = 1.0 if target == "max" else -1.0
    ordered = np.sort(sign * scores)
    num_scores = len(ordered)
    half = max(1, num_scores // 2)
    spaced = np.geomspace(1, num_scores, _MAX_POINTS).round().astype(np.int64)
    points = np.union1d(spaced, list_halvings(num_scores))
    if num_scores <= _MAX_POINTS:
        points = np.arange(1, num_scores + 1)
    weights = weigh_order(num_scores, points)
    drawn = np.random.default_rng(seed).integers(0, num_scores, (_NUM_RESAMPLES, num_scores))
    resampled = ordered[np.sort(drawn, axis=1)] @ weights.T
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)
    expected = weights @ ordered
    at_half = int(np.searchsorted(points, half))
    gains = np.quantile(resampled[:, -1] - resampled[:, at_half], [tail, 1 - tail])
    bounds = (low, high) if target == "max" else (-high, -low)
    return ExpectedBest(
        points, sign * expected, *bounds, float(expected[-1] - expected[at_half]), *map(float, gains)
    )


def expected_best_of(findings: Findings) -> ExpectedBest | None:
    """Estimate it of the finished trials; None where there are fewer than three."""
    if len(findings.finished) < MIN_TRIALS:
        return None
    scores = np.array([trial.score for trial in findings.finished], dtype=np.float64)
    return estimate_expected_best(scores, findings.experiment.target)


def describe_expected_best(findings: Findings, found: ExpectedBest | None) -> str:
    """Say in words what the second half of the trials brought, and whether validation could tell."""
    if found is None:
        return f"From {MIN_TRIALS} finished trials on; {plural(len(findings.finished), 'trial')} so far."
    num_trials = len(findings.finished)
    half = max(1, num_trials // 2)
    before, after = (
        write_score(findings, float(found.expected[np.searchsorted(found.num_trials, count)]))
        for count in (half, num_trials)
    )
    gain, low, high = (
        _write_gain(findings, value) for value in (found.from_half, found.from_half_low, found.from_half_high)
    )
    unit = " points" if findings.scores_are_accuracies else ""
    text = (
        f"Going from {half} to {num_trials} trials brought an expected {gain}{unit} ({before} to {after}; 95 % "
        f"interval {low} to {high})."
    )
    if findings.scores_are_accuracies and findings.predictions and findings.best is not None:
        share = findings.best.score or 0.0
        error = (share * (1 - share) / len(findings.predictions)) ** 0.5
        text += (
            f" For comparison: one standard error of an accuracy over the {len(findings.predictions)} "
            f"validation utterances is {100 * error:.1f} points."
        )
    return text


def _write_gain(findings: Findings, gain: float) -> str:
    return f"{100 * gain:.1f}" if findings.scores_are_accuracies else f"{gain:.3g}"


def tabulate_expected_best(findings: Findings, found: ExpectedBest | None) -> Table:
    """List the expected best of all finished trials, of half of them, and so on."""
    rows = []
    if found is not None:
        for count in list_halvings(int(found.num_trials[-1])):
            at = int(np.searchsorted(found.num_trials, count))
            low, high = (write_score(findings, float(bound[at])) for bound in (found.low, found.high))
            rows.append((str(count), write_score(findings, float(found.expected[at])), f"{low} to {high}"))
    columns = ("trials", "expected best", "95 % interval")
    return Table("Expected best score", columns, tuple(rows), frozenset(columns))


def draw_expected_best(
    findings: Findings, found: ExpectedBest, palette: Palette, width: int | str
) -> Picture:
    """Draw the expected best by the number of trials, its interval, and each number of trials as a step."""
    rows: list[dict[str, Any]] = [
        {"trials": int(count), "expected": shorten(mean), "low": shorten(low), "high": shorten(high)}
        for count, mean, low, high in zip(
            found.num_trials, found.expected, found.low, found.high, strict=True
        )
    ]
    for row, mean in zip(rows, found.expected, strict=True):
        row["shown"] = write_score(findings, float(mean))
    y = score_axis(findings)
    y["title"] = "expected best " + ("validation accuracy" if findings.scores_are_accuracies else "score")
    x = alt.X(
        "trials:Q",
        title="finished trials",
        axis=alt.Axis(tickMinStep=1, format="d"),
        scale=alt.Scale(nice=False, padding=10),
    )
    base = alt.Chart(alt.NamedData(name="expected")).encode(x=x)
    band = base.mark_area(color=palette.accent, opacity=0.16).encode(y=alt.Y("low:Q", **y), y2="high:Q")
    line = base.mark_line(color=palette.accent, strokeWidth=2.5).encode(y=alt.Y("expected:Q", **y))
    points = base.mark_circle(color=palette.accent, size=40 if len(rows) <= 40 else 10, opacity=1).encode(
        y=alt.Y("expected:Q", **y),
        tooltip=[alt.Tooltip("trials:Q", title="trials"), alt.Tooltip("shown:N", title="expected best")],
    )
    return Picture(
        alt.layer(band, line, points).properties(width=width, height=FIGURE_HEIGHT), {"expected": rows}
    )
