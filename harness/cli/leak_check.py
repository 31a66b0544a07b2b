"""`harness check --leaks`: which corpus and protocol, and what is printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harness.features.store import FeatureStore
    from harness.leaks.check import LeakReport
    from harness.report.tables import Table
    from harness.splits import Protocol


def check_leaks(corpus: Path | None, results_dir: Path, protocol: str | None, *, as_json: bool) -> bool:
    """Print what train, validation and test share, and return whether nothing is that the protocol keeps apart.

    Args:
        corpus: None for that of the latest search in ``results_dir``, or else as for `harness tables`
        results_dir: of the latest search; the features are prepared there
        protocol: a preset's name; None for the search's, or else ``paper``
    """
    from harness.leaks.check import find_leaks

    root, store, chosen = _choose(corpus, results_dir, protocol)
    report = find_leaks(root, store, chosen)
    if as_json:
        click.echo(json.dumps(to_json(report), indent=2, ensure_ascii=False))
    else:
        _print(report)
    return not report.broken


def _choose(corpus: Path | None, results_dir: Path, protocol: str | None) -> tuple[Path, FeatureStore, Protocol]:
    from harness.cli.progress import progress_bar
    from harness.features.store import FeatureStore
    from harness.search.corpus_choice import prepare_chosen
    from harness.search.experiment_file import TrainingSettings
    from harness.splits import read_protocol
    from harness.tables.corpus import ANY_SYSTEM

    searched = None if corpus is not None else _find_searched(results_dir)
    if searched is not None:
        prepared_dir, its_protocol = searched
        if protocol in (None, its_protocol.name):
            store = FeatureStore.open(prepared_dir)
            return Path(store.manifest.corpus_path), store, its_protocol
        corpus = Path(FeatureStore.open(prepared_dir).manifest.corpus_path)
    chosen = read_protocol(protocol or "paper")
    settings = TrainingSettings(ANY_SYSTEM, chosen, corpus, max_epochs=1, patience=None, word_vectors=None)
    with progress_bar("preparing features") as show:
        prepared = prepare_chosen(settings, results_dir, lambda doing, done, total: show(done, total))
    store = FeatureStore.open(prepared.prepared_dir)
    return Path(store.manifest.corpus_path), store, chosen


def _find_searched(results_dir: Path) -> tuple[Path, Protocol] | None:
    """Return the features and the protocol of the latest search; None where there is no search of this package's."""
    from harness.store.queries import ResultsReader
    from harness.trial_spec import TrialSpec, trial_spec_path

    if not (results_dir / "results.db").exists():
        return None
    with ResultsReader.open_readonly(results_dir / "results.db") as results:
        experiment = results.latest_experiment()
        trials = [] if experiment is None or not experiment.system else results.trials(experiment.eid)
    for trial in trials:
        if trial.job_path is not None:
            spec = TrialSpec.read(trial_spec_path(Path(trial.job_path)))
            return spec.prepared_dir, spec.protocol
    return None


def to_json(report: LeakReport) -> dict[str, Any]:
    """Return everything that was found, as plain values."""
    from harness.leaks.check import promises
    from harness.leaks.overlaps import FEWEST_WORDS, NEAR_DUPLICATE_SHARE

    overlaps = [
        {**asdict(overlap), "num_shared": len(overlap.names), "is_promised_apart": promises(report.protocol, overlap)}
        for overlap in report.overlaps
    ]
    return {
        "corpus": report.corpus_path,
        "is_synthetic": report.is_synthetic,
        "protocol": report.protocol.to_json(),
        "num_utterances": dict(report.sizes),
        "overlaps": overlaps,
        "near_duplicate": {"word_set_overlap": NEAR_DUPLICATE_SHARE, "fewest_different_words": FEWEST_WORDS},
        "fitted": [
            {**asdict(check), "is_leaking": check.is_leaking, "can_tell": check.can_tell} for check in report.fitted
        ],
        "vocabularies": [asdict(check) for check in report.vocabularies],
        "broken_promises": list(report.broken),
    }


def _print(report: LeakReport) -> None:
    from rich.console import Console

    from harness.corpus.synthetic.marker import NOTE
    from harness.report.terminal import print_table

    if report.is_synthetic:
        click.echo(NOTE)
    sizes = ", ".join(f"{part} {size}" for part, size in report.sizes.items())
    click.echo(f"Protocol {report.protocol.name!r}, corpus '{report.corpus_path}': {sizes} utterances.")
    console = Console(highlight=False)
    for table in (_overlap_table(report), _fitted_table(report), _vocabulary_table(report)):
        print_table(console, table)
    click.echo()
    click.echo(
        "The test session's ids and transcripts were read in the corpus itself, and of its labels only which "
        "utterances are of the four classes; none of its prepared features was opened."
    )
    for sentence in report.broken:
        click.echo(f"Broken: {sentence}.")
    if not report.broken:
        click.echo(f"Nothing is shared that protocol {report.protocol.name!r} promises to keep apart.")


def _overlap_table(report: LeakReport) -> Table:
    from harness.leaks.check import promises
    from harness.leaks.overlaps import FEWEST_WORDS, NEAR_DUPLICATE_SHARE, Shared
    from harness.report.tables import Table

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


def _fitted_table(report: LeakReport) -> Table:
    from harness.report.tables import Table

    rows = []
    for check in report.fitted:
        verdict = "of training alone" if check.can_tell else "cannot be told: validation would change nothing"
        rows.append(
            (
                check.statistics.value,
                f"{check.distance:.1e}",
                f"{check.distance_of_both:.1e}",
                "BROKEN" if check.is_leaking else verdict,
            )
        )
    note = (
        "Fitted by the code that trials run, and computed anew from training alone, scaling in another way than "
        "trials do, word vectors in the same: how far the worst number is off, and how far it would be with "
        "validation in it. Scaling in deviations of its column."
    )
    columns = ("fitted", "off by", "with validation", "verdict")
    return Table("What is fitted", columns, tuple(rows), frozenset({"off by", "with validation"}), note)


def _vocabulary_table(report: LeakReport) -> Table:
    from harness.leaks.check import declares_vocabulary
    from harness.report.tables import Table

    rows: Sequence[tuple[str, ...]] = [
        (
            check.stage,
            str(check.num_words),
            str(len(check.leaked)),
            f"{check.num_utterances} of {check.num_scored}",
            _judge_words(bool(check.leaked), declares_vocabulary(report.protocol)),
        )
        for check in report.vocabularies
    ]
    note = (
        "Words that the fitted vocabulary knows although what it was trained on lacks them, and the scored utterances "
        "that say one: validation in the search, the test session in the final training."
    )
    columns = ("vocabulary of", "words", "leaked", "affected", "verdict")
    return Table("Vocabulary", columns, tuple(rows), frozenset({"words", "leaked", "affected"}), note)


def _judge_words(is_leaking: bool, is_declared: bool) -> str:
    if not is_leaking:
        return "none"
    return "a leak, the protocol's declared choice" if is_declared else "BROKEN"
