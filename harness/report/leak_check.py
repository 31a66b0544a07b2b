"""The leaks of a split, as tables and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click
from rich.console import Console

from harness.final.leak_check import (
    FEWEST_WORDS,
    NEAR_DUPLICATE_SHARE,
    LeakReport,
    Shared,
    declares_vocabulary,
    promises,
)
from harness.report.tables import Table
from harness.report.terminal import print_table
from harness.wording import SYNTHETIC_SENTENCE


def to_json(report: LeakReport) -> dict[str, Any]:
    """Return the whole report as plain values."""
    overlaps = [
        {**asdict(overlap), "num_shared": len(overlap.names), "is_promised_apart": promises(report.protocol, overlap)}
        for overlap in report.overlaps
    ]
    return {
        "corpus": report.corpus_path,
        "is_synthetic": report.is_synthetic,
        "protocol": report.protocol.to_json(),
        "scene_groups": [list(group) for group in report.groups],
        "num_utterances": dict(report.sizes),
        "overlaps": overlaps,
        "near_duplicate": {"word_set_overlap": NEAR_DUPLICATE_SHARE, "fewest_different_words": FEWEST_WORDS},
        "vocabularies": [asdict(check) for check in report.vocabularies],
        "broken_promises": list(report.broken),
    }


def print_leaks(report: LeakReport) -> None:
    """Print the tables of what is shared, and one sentence for each broken promise."""
    if report.is_synthetic:
        click.echo(SYNTHETIC_SENTENCE)
    sizes = ", ".join(f"{part} {size}" for part, size in report.sizes.items())
    click.echo(f"Protocol {report.protocol.name!r}, corpus '{report.corpus_path}': {sizes} utterances.")
    if report.groups:
        click.echo(
            "Scenes are disjoint: each test utterance is compared with the training utterances of its own model. "
            f"Groups: {'; '.join(', '.join(group) for group in report.groups)}."
        )
    console = Console(highlight=False, markup=False, emoji=False)
    for table in (_overlap_table(report), _vocabulary_table(report)):
        print_table(console, table)
    click.echo()
    click.echo(
        "The test session's ids and transcripts were read from the corpus itself, and its labels only to find the "
        "utterances of the four classes; its prepared features were not opened."
    )
    for sentence in report.broken:
        click.echo(f"Broken: {sentence}.")
    if not report.broken:
        click.echo(f"The parts share nothing that protocol {report.protocol.name!r} promises to keep apart.")


def _overlap_table(report: LeakReport) -> Table:
    rows = []
    for overlap in report.overlaps:
        verdict = "none"
        if overlap.names and promises(report.protocol, overlap):
            verdict = "BROKEN"
        elif overlap.names:
            is_choice = overlap.shared in (Shared.SPEAKERS, Shared.DIALOGUES)
            verdict = "the protocol's choice" if is_choice else "counted"
        shares = f"{overlap.num_utterances} of {overlap.num_of_second}"
        pair = f"{overlap.first} + {overlap.second}"
        rows.append((overlap.shared.value, pair, str(len(overlap.names)), shares, verdict))
    note = (
        f"Affected: utterances of the second part. Near-duplicate: the sets of words overlap by at least "
        f"{100 * NEAR_DUPLICATE_SHARE:.0f} % (intersection over union), of transcripts with at least {FEWEST_WORDS} "
        "different words that are not shared verbatim; case and punctuation do not count."
    )
    columns = ("what", "parts", "shared", "affected", "verdict")
    return Table("What the parts share", columns, tuple(rows), frozenset({"shared", "affected"}), note)


def _vocabulary_table(report: LeakReport) -> Table:
    verdict = "a leak, the protocol's declared choice" if declares_vocabulary(report.protocol) else "BROKEN"
    rows = tuple(
        (
            check.stage,
            str(check.num_words),
            str(len(check.leaked)),
            f"{check.num_utterances} of {check.num_scored}",
            verdict if check.leaked else "none",
        )
        for check in report.vocabularies
    )
    note = (
        "Leaked: words that the vocabulary has only from scored utterances. Affected: scored utterances that contain "
        "one of them; these are validation utterances in the search, and test utterances in the final training."
    )
    columns = ("vocabulary of", "words", "leaked", "affected", "verdict")
    return Table("Vocabulary", columns, rows, frozenset({"words", "leaked", "affected"}), note)
