"""The importance of hyperparameters: the share of the score's variation that each explains, in words and a table."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from scipy.special import fdtrc, ndtri

from harness.report.findings import Findings, SearchedHyperparameter
from harness.report.statements import name_ranked, percent
from harness.report.tables import Table
from harness.scoring.search import mean_ranks
from harness.scoring.statistics import CONFIDENCE
from harness.store.records import TrialRow
from harness.wording import plural

#: Trials with a score below which three groups of them say nothing.
MIN_TRIALS = 12
#: Trials that a group has where there are many, and the most groups.
_TRIALS_A_GROUP, _MAX_GROUPS = 10, 8
_TRIALS_A_COMBINATION = 6
#: Times that the trials are split into halves; 200 steady the interval's second digit.
_NUM_SPLITS = 200
#: A pair's joint share below which it is not named: ranks make small interactions out of large single effects.
_LEAST_JOINT_SHARE = 0.05
#: Auptimizer's proposers whose points do not follow from the scores before them.
_INDEPENDENT_PROPOSERS = ("random", "sobol", "sequence", "passive")


@dataclass(frozen=True)
class Importance:
    """The share of the variation of the scores' ranks that one hyperparameter explains by itself.

    Attributes:
        share: from 0 to 1; 0 where it explains no more than chance would; NaN where all scores are equal, or no
            two trials share a value
        low, high: 95 % interval; NaN where too few trials share a value
        num_groups: groups of trials with neighbouring values, or the same choice, that were compared
    """

    name: str
    share: float
    low: float
    high: float
    num_groups: int
    num_trials: int

    @property
    def has_interval(self) -> bool:
        """True if enough trials share a value to say how sure the share is."""
        return not np.isnan(self.low)


@dataclass(frozen=True)
class JointImportance:
    """The share that two hyperparameters explain only together.

    Attributes:
        share: of the variation of the scores' ranks, from 0 to 1
        p_value: of the F test of their interaction, times the pairs that were tested, at most 1
    """

    names: tuple[str, str]
    share: float
    p_value: float

    @property
    def is_seen(self) -> bool:
        """True if it is more than chance, and large enough to speak of."""
        return self.p_value < 1 - CONFIDENCE and self.share >= _LEAST_JOINT_SHARE


def count_groups(num_trials: int) -> int:
    """Return into how many groups the values of a number are cut.

    Example:
        >>> count_groups(30), count_groups(1000)
        (3, 8)
    """
    return max(3, min(_MAX_GROUPS, num_trials // _TRIALS_A_GROUP))


def group_trials(searched: SearchedHyperparameter, trials: Sequence[TrialRow], num_groups: int) -> np.ndarray:
    """Put trials with neighbouring values into groups of like size; each choice is a group.

    Returns:
        int64 (num_trials,) from 0, in the order of the values; equal values share a group
    """
    if searched.choices:
        places = [searched.choices.index(str(trial.hyperparameters[searched.name])) for trial in trials]
    else:
        ranks = mean_ranks([float(trial.hyperparameters[searched.name] or 0) for trial in trials])
        places = (num_groups * (ranks - 0.5) / max(1, len(trials))).astype(np.int64).tolist()
    return np.asarray(np.unique(places, return_inverse=True)[1], dtype=np.int64)


def list_importances(findings: Findings) -> list[Importance]:
    """Estimate the importance of each hyperparameter that enough trials with a score have.

    Returns:
        the greatest first; those without an interval after all others
    """
    found = []
    for searched in findings.search_space:
        trials = findings.ranked_with(searched)
        if len(trials) >= MIN_TRIALS:
            groups = group_trials(searched, trials, count_groups(len(trials)))
            scores = np.array([trial.score for trial in trials], dtype=np.float64)
            found.append(estimate_importance(searched.name, groups, scores))
    return sorted(found, key=lambda one: (not one.has_interval, -np.nan_to_num(one.share, nan=-1.0)))


def estimate_importance(name: str, groups: np.ndarray, scores: np.ndarray) -> Importance:
    """Estimate how much of the variation of the scores' ranks lies between groups.

    The share of the sum of squares that lies between the groups, less what a random order of the same scores
    would put there on average: (H - k + 1) / (n - k) with Kruskal and Wallis's H. On average it is 0 for a
    hyperparameter that does nothing; one below 0 is given as 0. The interval is 1.96 standard errors to
    either side, cut at 0 and 1, from the spread of the estimate over halves of the trials.

    Args:
        groups: int64 (num_trials,) from 0
        scores: float64 (num_trials,), finite

    Source:
        Kruskal and Wallis, Use of ranks in one-criterion variance analysis, 1952; Kelley, An unbiased
        correlation ratio measure, 1935, for the correction; Shao and Wu, A general theory for jackknife
        variance estimation, 1989, for the halves. What functional analysis of variance calls a main effect:
        Hutter, Hoos and Leyton-Brown, An efficient approach for assessing hyperparameter importance, 2014.
    """
    num_trials, num_groups = len(scores), int(groups.max()) + 1
    ranks = mean_ranks(scores.tolist())
    if np.ptp(ranks) == 0 or num_groups < 2:
        share = np.nan if np.ptp(ranks) == 0 else 0.0
        return Importance(name, share, np.nan, np.nan, num_groups, num_trials)
    (share,) = _corrected_shares(np.ones((1, num_trials)), groups, ranks)
    spread = float(np.std(_corrected_shares(_draw_halves(num_trials), groups, ranks)))
    half = float(ndtri((1 + CONFIDENCE) / 2)) * spread
    low, high = np.clip([share - half, share + half], 0, 1)
    return Importance(name, float(np.clip(share, 0, 1)), float(low), float(high), num_groups, num_trials)


@lru_cache(maxsize=4)
def _draw_halves(num_trials: int) -> np.ndarray:
    """Draw halves of the trials, each with the other half: float64 (2 * _NUM_SPLITS, num_trials) of 0 and 1.

    The same ones every time, so that one report says the same twice.
    """
    order = np.argsort(np.random.default_rng(0).random((_NUM_SPLITS, num_trials)), axis=1)
    is_first = order < num_trials // 2
    return np.concatenate([is_first, ~is_first]).astype(np.float64)


def _corrected_shares(drawn: np.ndarray, groups: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return the corrected share of each draw: ``drawn`` float64 (num_draws, num_trials) of 0 and 1.

    NaN where no group has two trials, or all ranks are equal.
    """
    membership = np.eye(groups.max() + 1)[groups]
    centred = ranks - ranks.mean()
    counts = drawn @ membership
    sums = drawn @ (membership * centred[:, np.newaxis])
    sizes = counts.sum(axis=1)
    correction = sums.sum(axis=1) ** 2 / sizes
    between = (sums**2 / np.maximum(counts, 1)).sum(axis=1) - correction
    whole = drawn @ centred**2 - correction
    num_groups = (counts > 0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = (between / whole * (sizes - 1) - (num_groups - 1)) / (sizes - num_groups)
    return np.asarray(np.where((whole > 0) & (sizes > num_groups), shares, np.nan))


def find_joint_importance(findings: Findings) -> JointImportance | None:
    """Return the pair of hyperparameters whose interaction is the least likely to be chance.

    Each number is cut in two, or from 90 trials on in three; a pair needs six trials for each combination.

    Returns:
        None where there are too few trials for any pair

    Source:
        The F test of an interaction, on ranks: Conover and Iman, Rank transformations as a bridge between
        parametric and nonparametric statistics, 1981; Bonferroni's correction over the pairs.
    """
    named = {searched.name for searched in findings.search_space}
    trials = [trial for trial in findings.ranked if named <= trial.hyperparameters.keys()]
    if len(trials) < MIN_TRIALS:
        return None
    ranks = mean_ranks([trial.score or 0.0 for trial in trials])
    num_groups = 3 if len(trials) >= 90 else 2
    groups = {searched.name: group_trials(searched, trials, num_groups) for searched in findings.search_space}
    tested = []
    for one, other in combinations(groups, 2):
        num_one, num_other = groups[one].max() + 1, groups[other].max() + 1
        if min(num_one, num_other) > 1 and len(trials) >= _TRIALS_A_COMBINATION * num_one * num_other:
            tested.append(((one, other), *_test_interaction(groups[one], groups[other], ranks)))
    if not tested:
        return None
    names, share, p_value = min(tested, key=lambda test: (test[2], -test[1]))
    return JointImportance(names, share, min(1.0, p_value * len(tested)))


def _test_interaction(one: np.ndarray, other: np.ndarray, ranks: np.ndarray) -> tuple[float, float]:
    """Return what the pair's combinations explain beyond both by themselves, corrected, and its p value."""
    pairs = np.stack([one, other], axis=1)
    cells, cell = np.unique(pairs, axis=0, return_inverse=True)
    counts = np.bincount(cell).astype(np.float64)
    centred = ranks - ranks.mean()
    sums = np.bincount(cell, weights=centred)
    # The two by themselves, fitted to the cells: the same as to the trials, and smaller.
    design = np.concatenate(
        [np.eye(one.max() + 1)[cells[:, 0]], np.eye(other.max() + 1)[cells[:, 1]]], axis=1
    )
    fitted, _, rank, _ = np.linalg.lstsq(
        design * counts[:, np.newaxis] ** 0.5, sums / counts**0.5, rcond=None
    )
    alone = float(fitted @ design.T @ sums)
    together, whole = float((sums**2 / counts).sum()), float((centred**2).sum())
    freedom, rest = len(cells) - int(rank), len(ranks) - len(cells)
    if freedom < 1 or rest < 1 or whole == 0:
        return 0.0, 1.0
    error = max(whole - together, 1e-12 * whole) / rest
    beyond = max(together - alone, 0.0)
    return max(0.0, (beyond - freedom * error) / whole), float(fdtrc(freedom, rest, beyond / freedom / error))


def describe_importance(
    findings: Findings, importances: Sequence[Importance], joint: JointImportance | None
) -> list[str]:
    """Say which hyperparameters the score follows, what is left, and when the numbers say little."""
    if not importances:
        counted = name_ranked(findings)
        return [f"This needs {MIN_TRIALS} {counted} trials; {len(findings.ranked)} {counted} so far."]
    if all(math.isnan(one.share) and one.num_groups < one.num_trials for one in importances):
        return [f"All {name_ranked(findings)} trials have the same score: there is nothing to explain."]
    sentences = _describe_clear(importances)
    shares = [one.share for one in importances if not math.isnan(one.share)]
    if shares:
        rest = percent(max(0.0, 1 - sum(shares)))
        sentences.append(f"The rest is due to combinations of several, differences within a group, and chance: {rest}.")
    if joint is not None and joint.is_seen:
        one, other = joint.names
        sentences.append(
            f"{one} and {other} explain {percent(joint.share)} more together than separately: how much one matters "
            "depends on the other."
        )
    elif joint is not None:
        sentences.append("No pair clearly explains more together than the two explain separately.")
    settings = json.loads(findings.experiment.settings)
    proposer = settings.get("proposer") if isinstance(settings, dict) else None
    if proposer and proposer not in _INDEPENDENT_PROPOSERS:
        sentences.append(
            f"The proposer '{proposer}' may choose hyperparameters by earlier scores, so they may change together: a "
            "share may partly belong to another hyperparameter."
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
        sentences.append(f"Every interval contains 0: {num_trials} do not show that any of them matters.")
    elif num_unclear == 1:
        sentences.append("The interval of the other one contains 0: the trials do not show that it matters.")
    elif num_unclear:
        sentences.append(
            f"The intervals of the other {num_unclear} contain 0: the trials do not show that they matter."
        )
    if without:
        named = ", ".join(one.name for one in without)
        sentences.append(f"No interval can be given for {named}: too few trials share a value, or all do.")
    return sentences


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
