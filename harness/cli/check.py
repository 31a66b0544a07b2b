"""`harness check`: the gaps of a corpus, the leaks of a split, and the inconsistencies of a results folder."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import DATABASE, progress_bar
from harness.errors import StoreError

if TYPE_CHECKING:
    from harness.corpus.index import CorpusIndex
    from harness.corpus.layout import CorpusLayout
    from harness.store.integrity import Finding
    from harness.store.store import ResultsStore


def check_leaks(corpus: Path | None, results_dir: Path, protocol: str | None, *, as_json: bool) -> bool:
    """Print everything that train, validation and test share, and return whether the protocol's promises hold.

    Args:
        corpus: None for that of the latest search in ``results_dir``, or else as for `harness tables`
        results_dir: of the latest search; the features are prepared there
        protocol: a preset's name; None for the search's, or else ``paper``
    """
    from harness.final.leak_check import choose_corpus, find_leaks
    from harness.report.leak_check import print_leaks, to_json

    with progress_bar("preparing features") as show:
        chosen = choose_corpus(corpus, results_dir, protocol, lambda doing, done, total: show(done, total))
    report = find_leaks(*chosen)
    if as_json:
        click.echo(json.dumps(to_json(report), indent=2))
    else:
        print_leaks(report)
    return not report.broken


#: Ids that are named of each kind of irregularity; `harness prepare` lists all of them.
_NUM_NAMED = 3

#: Tables that are counted at the end -> what a row of them is, and what follows its plural.
_LOOKED_AT = {
    "experiments": ("experiment", ""),
    "trials": ("attempt", " at trials"),
    "epochs": ("epoch", ""),
    "test_openings": ("test evaluation", ""),
    "evaluations": ("evaluation", " on other corpora"),
}


@click.command("check")
@click.argument("corpus", type=click.Path(path_type=Path), required=False)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Results folder to check: its database, and the files that it names.",
)
@click.option(
    "--repair",
    is_flag=True,
    help=(
        "With --results: copy the database, mark trials and experiments that no process runs as ended, with the "
        "outcome that their records show, and rename half-written files. Without it nothing is changed."
    ),
)
@click.option(
    "--leaks",
    is_flag=True,
    help=(
        "Show instead everything that train, validation and test share: speakers, dialogues, scenes, transcripts, "
        "vocabulary. Without CORPUS, use the corpus of the latest search in --results, or the one that HARNESS_CORPUS "
        "names, or a synthetic one. Missing features are prepared first."
    ),
)
@click.option(
    "--protocol",
    type=click.Choice(["paper", "published-code", "strict", "careful"]),
    help="With --leaks: named choices of the split and of what it promises to keep apart.  "
    "[default: the latest search's, or else paper]",
)
@click.option("--json", "as_json", is_flag=True, help="With --leaks: one JSON object in place of the tables.")
def check(
    corpus: Path | None, results: Path | None, repair: bool, leaks: bool, protocol: str | None, as_json: bool
) -> int:
    """List what the corpus in the folder CORPUS lacks, or the inconsistencies in a results folder.

    For a corpus, the command reads labels, transcripts and headers; `harness prepare` also reads sound and motion. A
    running experiment is named, and left unchanged.

    With --leaks, the command counts what the parts of a split share, and fails if the protocol promises to keep that
    apart. The test session stays sealed: its ids and transcripts are read from the corpus itself, and its labels only
    to find the utterances of the four classes; its prepared features are never read.

    \b
    Example:
      harness check ../data/IEMOCAP_full_release
      harness check --leaks --protocol strict
      harness check --results results/ --repair

    Exit codes: 0 nothing is wrong or all is repaired, 1 something is wrong, 2 wrong arguments or nothing to read.
    """
    if leaks:
        if repair:
            raise click.UsageError("--repair is for results folders; expected it without --leaks")

        return 0 if check_leaks(corpus, results or Path("results"), protocol, as_json=as_json) else 1
    if protocol is not None or as_json:
        raise click.UsageError("--protocol and --json belong to --leaks; expected --leaks too")
    if corpus is None and results is None:
        raise click.UsageError("nothing to check; expected a CORPUS, --results DIR or --leaks")
    if repair and results is None:
        raise click.UsageError("--repair is for results folders; expected --results DIR too")
    is_right = corpus is None or _check_corpus(corpus)
    if results is not None:
        with _translate_error(results):
            is_right = (_repair_results(results) if repair else _check_results(results)) and is_right
    return 0 if is_right else 1


def _check_corpus(corpus: Path) -> bool:
    """Print what a corpus lacks, and return whether it is complete."""
    from harness.corpus.index import build_index, compare_counts, count_by_session, note_corpus
    from harness.corpus.irregularities import count_by_kind
    from harness.corpus.layout import find_root
    from harness.corpus.synthetic.settings import is_synthetic
    from harness.wording import SYNTHETIC_SENTENCE

    layout = find_root(corpus)
    if is_synthetic(layout.root):
        click.echo(SYNTHETIC_SENTENCE)
    index = build_index(layout)
    lacks = compare_counts(index.utterances)
    counts = count_by_session(index.utterances)
    note = note_corpus(counts, {session: labels.total() for session, labels in counts.items()})
    if note is not None and not is_synthetic(layout.root):
        click.echo(note)
    lacks += [
        f"{modality}: the corpus has none, so systems that need {modality} cannot use it."
        for modality, is_there in _find_modalities(layout, index).items()
        if not is_there
    ]
    for sentence in lacks:
        click.echo(sentence)
    for kind, count in count_by_kind(index.irregularities).items():
        found = [each for each in index.irregularities if each.kind is kind]
        named = [each.utterance_id or each.dialogue_id for each in found[:_NUM_NAMED]]
        more = ", ..." if count > len(named) else ""
        click.echo(f"{kind}: {count} ({', '.join(named)}{more}). {kind.policy}")
    if not lacks:
        click.echo("The corpus is complete: every count by session and class is the published one.")
    return not lacks


def _find_modalities(layout: CorpusLayout, index: CorpusIndex) -> dict[str, bool]:
    """Return for each modality whether the corpus has anything of it."""
    from harness.corpus.layout import MocapStream

    dialogue_ids = {utterance.name.dialogue_id for utterance in index.utterances}
    return {
        "speech": any(utterance.wav_path is not None for utterance in index.utterances),
        "text": any(utterance.transcript is not None for utterance in index.utterances),
        "mocap": any(
            layout.mocap_path(dialogue_id, stream).is_file()
            for dialogue_id in dialogue_ids
            for stream in MocapStream
        ),
    }


@contextmanager
def _translate_error(results_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f" '{error.filename}'" if error.filename else ""
        raise StoreError(
            f"results folder '{results_dir}': the system refused a file{where} ({error.strerror}); make the folder "
            "readable (for --repair also writable), free disk space, and run the command again"
        ) from error


def _check_results(results_dir: Path) -> bool:
    """Print what a results folder contradicts, and return whether that is nothing."""
    from harness.search.repair import look_through
    from harness.store.store import ResultsStore

    with ResultsStore.open_readonly(results_dir / DATABASE) as store:
        holders, found = look_through(store)
        _print_left_alone(holders)
        for finding in found:
            click.echo(f"{finding.sentence}.")
        _print_checked(store, found)
    click.echo(f"Found {len(found)}." if found else "No inconsistencies were found.")
    return not found


def _repair_results(results_dir: Path) -> bool:
    """Repair what can be repaired, say what was and what was not, and return whether nothing is left."""
    from harness.search.repair import find_all, hold_free, repair_all
    from harness.store.integrity import REASONS
    from harness.store.store import ResultsStore

    path = results_dir / DATABASE
    with ResultsStore.open_readonly(path) as store:
        experiments = store.experiments()
    with hold_free(results_dir, experiments) as holders, ResultsStore.open(path) as store:
        _print_left_alone(holders)
        eids = [experiment.eid for experiment in experiments if experiment.eid not in holders]
        num_repaired = repair_all(store, eids, click.echo)
        left = find_all(store, eids)
        for finding in left:
            reason = REASONS.get(finding.kind, "it came back after its repair")
            click.echo(f"{finding.sentence}. Not repaired: {reason}.")
        _print_checked(store, left)
    click.echo(f"Repaired {num_repaired}, left {len(left)}." if num_repaired or left else "Nothing to repair.")
    return not left


def _print_left_alone(holders: Mapping[int, str]) -> None:
    for eid, sentence in holders.items():
        click.echo(f"Experiment {eid} is not changed: {sentence}.")


def _print_checked(store: ResultsStore, found: Collection[Finding]) -> None:
    from harness.store.integrity import FindingKind, count_rows
    from harness.wording import plural

    if not any(finding.kind is FindingKind.DAMAGED_DATABASE for finding in found):
        counts = [f"{plural(count_rows(store, table), noun)}{rest}" for table, (noun, rest) in _LOOKED_AT.items()]
        click.echo(f"Checked {', '.join(counts)}.")
