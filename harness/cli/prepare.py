"""`harness prepare`: a corpus to prepared features, with the ingest's report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import FeatureError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from harness.features.report import IngestReport
    from harness.features.speech import SpeechSettings
    from harness.splits.protocol import Protocol

#: The names stand here too, so that the help needs no import of the features.
VARIANTS = ("short-term", "deltas", "loud", "detailed", "mel", "short-windows", "frames")
PROTOCOL_NAMES = ("paper", "published-code", "strict", "careful")
#: Counts that differ get a sentence each up to this many; beyond it only the table shows them.
MAX_SENTENCES = 10
OUTDATED_SENTENCE = "The features in the folder are of another version of harness; they are prepared again."


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the prepared features.  [default: one in results/prepared/, named after the corpus]",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help=(
        "Dialogues read at once, each by its own process; this changes only the running time.  "
        "[default: one per core]"
    ),
)
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOL_NAMES),
    default="paper",
    show_default=True,
    help="Protocol; it decides which recordings are read, whether edge frames are dropped, and which split is shown.",
)
@click.option(
    "--speech",
    type=click.Choice(VARIANTS),
    help=(
        "Features of each window of sound; each choice has its own folder.  [default: short-term; detailed under "
        "careful]"
    ),
)
@click.option(
    "--speech-features",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Features of your own in place of --speech, by utterance id: .npz, .csv or .parquet.",
)
@click.option(
    "--text-features",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Features of your own in place of the words, by utterance id: .npz, .csv or .parquet.",
)
def prepare(
    corpus: Path,
    into: Path | None,
    jobs: int | None,
    protocol: str,
    speech: str | None,
    speech_features: Path | None,
    text_features: Path | None,
) -> None:
    """Read the corpus in the folder CORPUS, prepare its features, and list its irregularities.

    CORPUS is `IEMOCAP_full_release` or the folder that holds it. A second run reads only new or changed dialogues, and
    completes an interrupted run.

    \b
    Example:
      harness prepare ../data/IEMOCAP_full_release
    """
    from rich.console import Console

    from harness.cli.options import progress_bar
    from harness.corpus.layout import find_root
    from harness.corpus.synthetic.settings import is_synthetic
    from harness.features.manifest import is_outdated
    from harness.features.prepare import open_files, prepare_corpus, prepared_dir_for
    from harness.features.speech import speech_settings
    from harness.splits.protocol import PROTOCOLS, default_speech
    from harness.wording import SYNTHETIC_SENTENCE, plural

    if speech is not None and speech_features is not None:
        raise click.UsageError("--speech and --speech-features are two choices of the same features; give one of them")
    console = Console(markup=False, emoji=False)
    layout = find_root(corpus)
    is_made = is_synthetic(layout.root)
    if is_made:
        console.print(SYNTHETIC_SENTENCE, soft_wrap=True)
    given = {"speech": speech_features, "text": text_features}
    files = {modality: path for modality, path in given.items() if path is not None}
    own, settings = open_files(files, speech_settings(PROTOCOLS[protocol], speech or default_speech(protocol)))
    prepared_dir = into or prepared_dir_for(Path("results"), corpus, settings, own)
    if is_outdated(prepared_dir):
        console.print(OUTDATED_SENTENCE, soft_wrap=True)
    with progress_bar("reading dialogues") as progress:
        report = prepare_corpus(corpus, prepared_dir, settings, jobs=jobs or -1, progress=progress, own=own)
    _print_counts(console, report, is_made=is_made)
    _print_modalities(console, report, settings)
    for sentence in report.notes:
        console.print(sentence, soft_wrap=True, markup=False, highlight=False)
    _print_split(console, report, PROTOCOLS[protocol])
    _print_irregularities(console, report)
    were = "was" if report.num_read == 1 else "were"
    num_kept = report.num_dialogues - report.num_read
    console.print(f"{plural(report.num_read, 'dialogue')} {were} read, {num_kept} had been read before.")
    console.print(f"The prepared features are in {report.prepared_dir}", soft_wrap=True, markup=False)


def _print_counts(console: Console, report: IngestReport, *, is_made: bool) -> None:
    """Print the counts, and what the corpus is.

    Args:
        is_made: whether this package made the corpus, which is said before
    """
    if report.is_complete:
        console.print("The corpus is complete: every count by session and class is the published one.")
    else:
        if report.corpus_note is not None and not is_made:
            console.print(report.corpus_note, soft_wrap=True, highlight=False)
        differ = "1 count differs" if len(report.differences) == 1 else f"{len(report.differences)} counts differ"
        console.print(f"The corpus is not the complete release: {differ}.")
        if len(report.differences) <= MAX_SENTENCES:
            for sentence in report.differences:
                console.print(f"  {sentence}", soft_wrap=True, highlight=False)
    console.print(_count_table(report))


def _count_table(report: IngestReport) -> Table:
    from rich.table import Table

    from harness.corpus.index import PUBLISHED_COUNTS, PUBLISHED_HAPPINESS, PUBLISHED_TOTALS
    from harness.corpus.utterances import Emotion
    from harness.features.report import ALL_LABELS

    table = Table("session", title="Utterances (found/published where they differ)", title_justify="left")
    classes = [emotion.value for emotion in PUBLISHED_COUNTS[1]]
    names = (*classes, "all four", Emotion.HAPPINESS.value, "with hap", ALL_LABELS)
    for name in names:
        table.add_column(name, justify="right")
    found_sums: Counter[str] = Counter()
    published_sums: Counter[str] = Counter()
    for session in PUBLISHED_COUNTS:
        published = {emotion.value: count for emotion, count in PUBLISHED_COUNTS[session].items()}
        published |= {Emotion.HAPPINESS.value: PUBLISHED_HAPPINESS[session], ALL_LABELS: PUBLISHED_TOTALS[session]}
        found = dict(report.counts.get(session, dict.fromkeys(published, 0)))
        for counts in (found, published):
            counts["all four"] = sum(counts[emotion] for emotion in classes)
            counts["with hap"] = counts["all four"] + counts[Emotion.HAPPINESS.value]
        table.add_row(str(session), *_cells(names, found, published))
        found_sums.update(found)
        published_sums.update(published)
    table.add_section()
    table.add_row("all", *_cells(names, found_sums, published_sums))
    return table


def _cells(names: Sequence[str], found: Mapping[str, int], published: Mapping[str, int]) -> list[str]:
    pairs = ((found[name], published[name]) for name in names)
    return [str(count) if count == expected else f"{count}/{expected}" for count, expected in pairs]


def _print_modalities(console: Console, report: IngestReport, settings: SpeechSettings) -> None:
    from harness.corpus.layout import MocapStream
    from harness.features.manifest import MODALITIES
    from harness.splits.protocol import SpeechSource

    is_cut = settings.source is SpeechSource.DIALOGUE_LEFT
    for modality in MODALITIES:
        num_present = report.num_present[modality]
        if num_present:
            console.print(f"{modality}: {num_present} of {report.num_utterances} utterances have it.")
        elif modality == "mocap" and not settings.holds_motion:
            console.print(f"mocap: is left out, because systems that read {settings.kind} of speech read no motion.")
        else:
            what = "recording of a whole dialogue" if is_cut and modality == "speech" else modality
            console.print(
                f"{modality}: the corpus has no {what}, so systems that need {modality} cannot use it."
            )
    for stream in MocapStream:
        if report.mocap_streams and stream not in report.mocap_streams:
            console.print(
                f"mocap: the corpus has no motion of the {stream}, so systems that need it cannot use it."
            )


def _print_split(console: Console, report: IngestReport, protocol: Protocol) -> None:
    from harness.features.store import FeatureStore
    from harness.splits.parts import part_search
    from harness.splits.protocol import select_recordings

    store = FeatureStore.open(Path(report.prepared_dir), protocol.happiness)
    tested = [utterance.utterance_id for utterance in store.utterances([protocol.test_session])]
    try:
        parts = part_search(protocol, store.searchable_classes(protocol))
    except FeatureError as error:
        console.print(f"No split: {error}", soft_wrap=True, markup=False)
        return
    num_tested = len(select_recordings(tested, protocol.recordings))
    counts = f"{len(parts.train)} utterances train, {len(parts.validation)} validate, {num_tested} test"
    console.print(f"Under protocol {protocol.name}: {counts} (Session {protocol.test_session}).", soft_wrap=True)


def _print_irregularities(console: Console, report: IngestReport) -> None:
    from rich.table import Table

    if not report.irregularities:
        console.print("No irregularities were found.")
        return
    table = Table("irregularity", title="Irregularities", title_justify="left")
    table.add_column("count", justify="right")
    table.add_column("what was done")
    for kind, count in report.irregularities.items():
        table.add_row(kind.value, str(count), kind.policy)
    console.print(table)
    console.print("All of them, with their ids:", soft_wrap=True)
    console.print(str(report.irregularities_path), soft_wrap=True, highlight=False, markup=False)
