"""Durations, times and sizes as people write them, and the notes that must stand beside a score."""

from __future__ import annotations


def write_duration(seconds: float | None) -> str:
    """Write seconds; empty where they are not known.

    Example:
        >>> write_duration(42.4), write_duration(200), write_duration(7380), write_duration(None)
        ('42 s', '3 min 20 s', '2 h 3 min', '')
    """
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def write_time(moment: str | None) -> str:
    """Write a time of results.db to the second; empty where it is not known.

    Example:
        >>> write_time("2026-10-07T09:15:02.123+00:00")
        '2026-10-07 09:15:02'
    """
    return (moment or "")[:19].replace("T", " ")


def write_bytes(num_bytes: float | None) -> str:
    """Write a size in the units of ``memory_limit``, a thousand to the next; empty where it is not known.

    Example:
        >>> write_bytes(13_240_000_000), write_bytes(85_300_000), write_bytes(1), write_bytes(None)
        ('13.2 GB', '85 MB', '1 B', '')
    """
    if num_bytes is None:
        return ""
    if num_bytes >= 1e9:
        return f"{num_bytes / 1e9:.1f} GB"
    # So that no size but 0 reads as 0.
    for unit, size in (("MB", 1e6), ("KB", 1e3), ("B", 1.0)):
        if num_bytes >= size:
            return f"{num_bytes / size:.0f} {unit}"
    return "0 MB"


SYNTHETIC_SENTENCE = "This corpus is synthetic: no score on it is a score on IEMOCAP."
ADAPTED_SENTENCE = "Adapted to the test speakers without labels."


def note_last_epoch(best_epoch: int | None, max_epochs: int, shortened: str | None) -> str:
    """Say that a trial was best at the last epoch that it was allowed.

    Args:
        shortened: what a quick start cut, which says so itself; None otherwise

    Returns:
        a sentence; empty where another epoch was best, and for a quick start

    Example:
        >>> note_last_epoch(30, 30, None)
        'Its best epoch, 30, is the last that max_epochs allows: with more epochs it might score higher.'
        >>> note_last_epoch(12, 30, None)
        ''
    """
    if best_epoch != max_epochs or shortened:
        return ""
    return f"Its best epoch, {best_epoch}, is the last that max_epochs allows: with more epochs it might score higher."


def plural(count: int, noun: str) -> str:
    """Write a count with its noun.

    Example:
        >>> plural(1, "trial"), plural(2, "trial")
        ('1 trial', '2 trials')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
