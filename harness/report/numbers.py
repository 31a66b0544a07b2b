"""Scores, spreads and intervals as text: in per cent, and with a star where an interval is too narrow."""

from __future__ import annotations

import math

from harness.scoring.statistics import MIN_DIALOGUES, Interval, Spread

#: Stands for a number that is not defined.
UNDEFINED = "-"

#: What the star beside an interval means.
TOO_NARROW = f"* Fewer than {MIN_DIALOGUES} dialogues: utterances are drawn instead, so this interval is too narrow."


def write_share(share: float) -> str:
    """Write a share in per cent, without the sign.

    Example:
        >>> write_share(0.7104), write_share(float("nan"))
        ('71.0', '-')
    """
    return UNDEFINED if math.isnan(share) else f"{100 * share:.1f}"


def write_spread(spread: Spread, num_seeds: int) -> str:
    """Write a score over seeds in per cent; of how many seeds, where it is not defined for all.

    Example:
        >>> write_spread(Spread(0.5, 0.0123, 0.4, 0.6, 2), 2), write_spread(Spread(0.5, math.nan, 0, 0, 1), 2)
        ('50.0 ± 1.2', '50.0 (1 of 2 seeds)')
    """
    text = write_share(spread.mean)
    if spread.num_values > 1:
        text += f" ± {100 * spread.deviation:.1f}"
    return text if spread.num_values in (0, num_seeds) else f"{text} ({spread.num_values} of {num_seeds} seeds)"


def write_interval(interval: Interval) -> str:
    """Write an interval in per cent, with a star where it is too narrow.

    Example:
        >>> write_interval(Interval(0.683, 0.736, 0.95, "utterances", True))
        '68.3 to 73.6*'
    """
    if math.isnan(interval.low):
        return UNDEFINED
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}" + ("*" if interval.is_too_narrow else "")


def write_p_value(p_value: float) -> str:
    """Write a p-value, a tiny one as below what anyone would read.

    Example:
        >>> write_p_value(0.0421), write_p_value(3e-9), write_p_value(1.0)
        ('0.042', '< 0.0001', '1.000')
    """
    return "< 0.0001" if p_value < 0.0001 else f"{p_value:.4f}" if p_value < 0.001 else f"{p_value:.3f}"
