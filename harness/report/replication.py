"""Best-of-N optimism in words and numbers: the search's best trial beside new seeds of its point on the same split."""

from __future__ import annotations

import math

from harness.corpus.disclaimer import SYNTHETIC_SENTENCE
from harness.quantities import write_duration
from harness.report.follow_ups import Replication, known_score
from harness.report.sentences import Statement, percent, plural
from harness.report.tables import Table
from harness.store.records import TrialRow


def describe_replication(replication: Replication) -> Statement:
    """Say how much of the best trial's score was luck."""
    best, spread = replication.best, replication.spread
    seeds = plural(spread.num_values, "new seed")
    of = f"best of {replication.num_trials}" if replication.num_trials > 1 else "only trial"
    text = (
        f"The search's {of}, trial {best.trial_index}, scored {percent(replication.best_score)} on validation; "
        f"{seeds} of the same point on the same split: {percent(spread.mean)}"
    )
    if spread.num_values > 1:
        text += (
            f" ± {100 * spread.deviation:.1f} (sample standard deviation; 95 % interval of the mean "
            f"{100 * spread.low:.1f} to {percent(spread.high)})"
        )
    text += f". {_judge(replication)}"
    if replication.experiment.is_synthetic:
        text += f" {SYNTHETIC_SENTENCE}"
    return Statement("Best-of-N optimism", text, is_warning=replication.luck > 0)


def _judge(replication: Replication) -> str:
    luck, spread = replication.luck, replication.spread
    points = f"{100 * abs(luck):.1f} points"
    if luck:
        text = f"About {points} of the best score were luck" if luck > 0 else (
            f"The new seeds score about {points} more: no luck of its seed shows in the best score"
        )
    else:
        text = "The new seeds score the same: no luck of its seed shows in the best score"
    # With one seed there is no interval, and whatever lies outside it is not known.
    if math.isnan(spread.low) or spread.low <= replication.best_score <= spread.high:
        text += ", though so few seeds do not tell that from none" if luck > 0 else ", though so few seeds may hide it"
    return (
        f"{text}. The choice among trials was made on these validation utterances, so that even the new seeds' mean "
        "may promise more than other utterances will give."
    )


def tabulate_replication(replication: Replication) -> Table:
    """List the best trial and each new seed."""
    best, spread = replication.best, replication.spread
    rows = [(f"the search's best, trial {best.trial_index}", *_row(best))]
    rows += [(f"new seed {trial.trial_index + 1}", *_row(trial)) for trial in replication.trials]
    rows.append((f"mean of {plural(spread.num_values, 'new seed')}", "", f"{100 * spread.mean:.1f}", "", ""))
    columns = ("training", "seed", "validation accuracy, %", "epoch", "time")
    note = "Validation chose the epoch of each training, as in the search; the test set stayed sealed."
    if replication.experiment.is_synthetic:
        note += f" {SYNTHETIC_SENTENCE}"
    return Table(
        "Best-of-N optimism", columns, tuple(rows), frozenset(columns[1:]) - {"epoch"}, note, highlighted_row=0
    )


def _row(trial: TrialRow) -> tuple[str, ...]:
    epoch = "" if trial.best_epoch is None else f"{trial.best_epoch} of {trial.num_epochs}"
    return str(trial.seed), f"{100 * known_score(trial):.1f}", epoch, write_duration(trial.duration_seconds)
