"""Trainings after a search, in words and tables: new seeds of the best hyperparameters, and leaking splits."""

from __future__ import annotations

import json
import math

from harness.report.findings import LeakGain, Leaks, Replication, known_score
from harness.report.statements import Statement, mark_synthetic, note_adaptation, percent
from harness.report.tables import Table
from harness.scoring.statistics import MIN_DIALOGUES, mean_and_spread
from harness.splits.parts import BOUGHT_BY, SHARED
from harness.splits.protocol import KeptWeights
from harness.store.records import TrialRow
from harness.wording import plural, write_duration


def describe_replication(replication: Replication) -> Statement:
    """Say how much of the best trial's score was luck."""
    best, spread = replication.best, replication.spread
    seeds = plural(spread.num_values, "new seed")
    of = f"best of {replication.num_trials}" if replication.num_trials > 1 else "only trial"
    text = (
        f"The search's {of}, trial {best.trial_index}, scored {percent(replication.best_score)} on validation; "
        f"{seeds} of the same hyperparameters on the same split: {percent(spread.mean)}"
    )
    if spread.num_values > 1:
        # Of two seeds the interval by Student's t may be wider than accuracies are.
        low, high = max(0.0, spread.low), min(1.0, spread.high)
        text += (
            f" ± {100 * spread.deviation:.1f} (sample standard deviation; 95 % interval of the mean "
            f"{100 * low:.1f} to {percent(high)})"
        )
    text = f"{text}. {_judge(replication)}{_describe_chosen_epoch(replication)}"
    text += note_adaptation(replication.experiment.protocol_name)
    text = mark_synthetic(text, replication.experiment.is_synthetic)
    return Statement("Best-of-N optimism", text, is_warning=replication.luck > 0)


def _describe_chosen_epoch(replication: Replication) -> str:
    """Say what the new seeds score where they do not choose their own epoch."""
    best, num_seeds, scores = replication.best, replication.spread.num_values, replication.at_chosen_epoch
    if not scores:
        return ""
    spread = mean_and_spread(scores)
    written = percent(spread.mean) + (f" ± {100 * spread.deviation:.1f}" if spread.num_values > 1 else "")
    ended = num_seeds - len(scores)
    if num_seeds == 1:
        whose = "it scores"
    elif not ended:
        whose = "they score"
    else:
        others = "the other one" if ended == 1 else f"the other {ended}"
        whose = f"{len(scores)} of the {num_seeds} {'score' if len(scores) > 1 else 'scores'}"
        written += f"; {others} ended before that epoch"
    protocol = json.loads(replication.experiment.protocol)
    is_highest = protocol.get("kept_weights", KeptWeights.BEST_EPOCH) in (KeptWeights.BEST_EPOCH, KeptWeights.AVERAGE)
    which = "the highest of its own epochs" if is_highest else "that of an epoch of its own choice"
    own = "The new seed's score is" if num_seeds == 1 else "Each new seed's score is"
    return (
        f" {own} {which} too. At epoch {best.best_epoch}, which the search chose, {whose} "
        f"{written}."
    )


def _judge(replication: Replication) -> str:
    luck, spread = replication.luck, replication.spread
    points = f"{100 * abs(luck):.1f} points"
    if luck > 0:
        text = f"About {points} of the best score were luck"
    else:
        more = f"about {points} more" if luck else "the same"
        text = f"The new seeds score {more}: the best score shows no luck of its seed"
    # With one seed there is no interval, and whatever lies outside it is not known.
    if math.isnan(spread.low) or spread.low <= replication.best_score <= spread.high:
        text += ", though with so few seeds it may be chance" if luck > 0 else ", though so few seeds may hide it"
    return (
        f"{text}. The best trial was chosen on these validation utterances, so even the mean of the new seeds may be "
        "higher than the score on other utterances."
    )


def tabulate_replication(replication: Replication) -> Table:
    """List the best trial and each new seed."""
    best, spread = replication.best, replication.spread
    rows = [(f"the search's best, trial {best.trial_index}", *_row(best))]
    rows += [(f"new seed {trial.trial_index + 1}", *_row(trial)) for trial in replication.trials]
    rows.append((f"mean of {plural(spread.num_values, 'new seed')}", "", f"{100 * spread.mean:.1f}", "", ""))
    if replication.at_chosen_epoch:
        mean = f"{100 * mean_and_spread(replication.at_chosen_epoch).mean:.1f}"
        name = "its score" if spread.num_values == 1 else "their mean"
        rows.append((f"{name} at the search's epoch", "", mean, str(best.best_epoch), ""))
    columns = ("training", "seed", "validation accuracy, %", "epoch", "time")
    note = "Validation chose the epoch of each training, as in the search; the test set stayed sealed."
    note += note_adaptation(replication.experiment.protocol_name)
    note = mark_synthetic(note, replication.experiment.is_synthetic)
    numbers = frozenset(columns[1:]) - {"epoch"}
    return Table("Best-of-N optimism", columns, tuple(rows), numbers, note, highlighted_row=0)


def _row(trial: TrialRow) -> tuple[str, ...]:
    epoch = "" if trial.best_epoch is None else f"{trial.best_epoch} of {trial.num_epochs}"
    return str(trial.seed), f"{100 * known_score(trial):.1f}", epoch, write_duration(trial.duration_seconds)


def describe_leaks(leaks: Leaks) -> Statement:
    """Say what was compared, and how many points sharing everything buys."""
    most = leaks.scores[0]
    assert most.above_strictest is not None
    gained = most.above_strictest
    where = "of the test session" if leaks.opens_test else "of the search's sessions"
    seeds = "1 seed" if len(leaks.seeds) == 1 else f"{len(leaks.seeds)} seeds, each with another draw of them"
    text = (
        f"The hyperparameters of trial {leaks.trial_index}, trained on {_write_sizes(leaks)} utterances under each "
        f"split and scored on the same {plural(leaks.num_scored, 'utterance')} {where} ({seeds}): a random split "
        f"scores {_write_points(gained)} points above one that shares neither speaker nor scene"
    )
    text += "." if _is_sure(leaks, gained) else ", which may be due to chance in these draws."
    text += f" {_describe_interval(leaks, gained)}"
    if leaks.opens_test:
        text += (
            " A random 22 % of each training set chose the number of epochs; then the whole set was used for training."
        )
    else:
        text += " The scored utterances also chose the epoch, as validation does in a search."
    text = mark_synthetic(text + note_adaptation(leaks.protocol_name), leaks.is_synthetic)
    return Statement("What leaks add", text, is_warning=gained.difference > 0)


def _describe_interval(leaks: Leaks, gained: LeakGain) -> str:
    units = gained.interval.drawn.split()[-1]
    if len(leaks.seeds) == 1:
        text = (
            f"In brackets: 95 % bootstrap interval over the {units} of the only draw. It is too narrow, because it "
            "does not cover other speakers or seeds."
        )
    else:
        text = (
            f"In brackets: 95 % bootstrap interval over the {len(leaks.seeds)} draws, each with its own speaker and "
            f"seed, and over the {units} scored within each, which are the same under every split."
        )
    if units == "utterances":
        text += f" There are fewer than {MIN_DIALOGUES} dialogues, so utterances were drawn: too narrow."
    return text


def tabulate_leaks(leaks: Leaks) -> Table:
    """List the splits with what each shares, scores, and gains."""
    rows = [
        (
            score.split.value,
            SHARED[score.split],
            f"{100 * score.accuracy:.1f}",
            "" if score.spread.num_values == 1 else f"{100 * score.spread.deviation:.1f}",
            "" if score.above_strictest is None else _write_points(score.above_strictest),
            "" if score.above_next is None else _write_points(score.above_next),
            BOUGHT_BY.get(score.split, ""),
        )
        for score in leaks.scores
    ]
    gains = ("above the strictest, points", "above the next, points")
    columns = ("split", "training shares", "right, %", "spread over draws", *gains, "bought by")
    note = (
        f"{_write_sizes(leaks)} training utterances under each split, as many as the strictest split leaves; accuracy "
        f"of all {leaks.num_scored} scored utterances, and its sample standard deviation over the draws, which differ "
        "in speaker and seed; gains with the deviation of the draws' own differences, and in brackets their 95 % "
        "bootstrap interval over draws and dialogues within them."
    )
    if leaks.scores[0].above_strictest is not None and leaks.scores[0].above_strictest.interval.is_too_narrow:
        note += f" * Too narrow: one draw, or fewer than {MIN_DIALOGUES} dialogues."
    note = mark_synthetic(note + note_adaptation(leaks.protocol_name), leaks.is_synthetic)
    title = "What leaks add" + (" (test session opened)" if leaks.opens_test else " (validation)")
    return Table(title, columns, tuple(rows), frozenset(columns[2:6]), note, wide=frozenset({"training shares"}))


def _write_sizes(leaks: Leaks) -> str:
    fewest, most = leaks.num_train
    return str(most) if fewest == most else f"{fewest} to {most}"


def _write_points(gain: LeakGain) -> str:
    low, high = gain.interval.low, gain.interval.high
    mark = "*" if gain.interval.is_too_narrow else ""
    deviation = f" ± {100 * gain.spread.deviation:.1f}" if gain.spread.num_values > 1 else ""
    return f"{100 * gain.difference:+.1f}{deviation} [{100 * low:+.1f}, {100 * high:+.1f}]{mark}"


def _is_sure(leaks: Leaks, gain: LeakGain) -> bool:
    return len(leaks.seeds) > 1 and (gain.interval.low > 0 or gain.interval.high < 0)
