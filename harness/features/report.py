"""The report of an ingest: counts and irregularities, for people and for the next run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.codec import from_plain, may_be_missing, to_plain
from harness.corpus.index import compare_counts, count_by_session, note_corpus
from harness.corpus.irregularities import Irregularity, IrregularityKind
from harness.corpus.layout import MocapStream
from harness.corpus.utterances import CLASSES, Emotion, Utterance
from harness.errors import FeatureError, one_line
from harness.features.manifest import MODALITIES
from harness.files import read_object, write_json, write_then_rename

REPORT_NAME = "ingest.json"
IRREGULARITIES_NAME = "irregularities.csv"
#: The column of ``counts`` for all labels.
ALL_LABELS = "all labels"
#: The labels that are counted: the four classes, and happiness, which a protocol may merge into one.
COUNTED = (*CLASSES, Emotion.HAPPINESS)


@dataclass(frozen=True)
class IngestReport:
    """The result of preparing a corpus.

    Attributes:
        counts: by session: utterances of each of the four classes, of happiness, and of ``all labels``
        differences: one sentence for each count that differs from the complete release's
        num_present: utterances of any label that have anything of a modality, by modality
        num_with_stream: utterances of any label that have any number of a motion stream, by stream
        irregularities: how many of each kind
        num_dialogues: of the corpus
        num_read: of them, those whose files were read in this run; the others had been read before
        notes: a sentence on each thing in which a user's own features and the corpus differ
    """

    corpus_path: str
    prepared_dir: str
    corpus_hash: str
    counts: Mapping[int, Mapping[str, int]]
    differences: tuple[str, ...]
    num_present: Mapping[str, int]
    num_with_stream: Mapping[str, int]
    irregularities: Mapping[IrregularityKind, int]
    num_dialogues: int
    num_read: int
    notes: tuple[str, ...] = may_be_missing(())

    @property
    def is_complete(self) -> bool:
        """True where every count is that of the complete release."""
        return not self.differences

    @property
    def corpus_note(self) -> str | None:
        """A sentence that says what the corpus is where it is not the complete release, as ``note_corpus``."""
        totals = {session: row[ALL_LABELS] for session, row in self.counts.items()}
        return note_corpus(self.counts, totals)

    @property
    def num_four_class(self) -> int:
        """Utterances of the four classes."""
        return sum(row[emotion] for row in self.counts.values() for emotion in CLASSES)

    @property
    def num_utterances(self) -> int:
        """Utterances of all labels."""
        return sum(row[ALL_LABELS] for row in self.counts.values())

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those of which the corpus has anything at all."""
        return tuple(modality for modality in MODALITIES if self.num_present[modality])

    @property
    def mocap_streams(self) -> tuple[MocapStream, ...]:
        """The motion streams of which the corpus has any number at all."""
        return tuple(stream for stream in MocapStream if self.num_with_stream[stream])

    @property
    def irregularities_path(self) -> Path:
        """The table with the id of everything that is irregular."""
        return Path(self.prepared_dir) / IRREGULARITIES_NAME

    def write(self) -> None:
        """Write the report beside the features, whole or not at all."""
        write_json(Path(self.prepared_dir) / REPORT_NAME, to_plain(self))

    @classmethod
    def read(cls, prepared_dir: Path) -> IngestReport:
        """Read the report that ``write`` wrote.

        Raises:
            FeatureError: the file is missing or damaged
        """
        path = prepared_dir / REPORT_NAME
        try:
            record = read_object(path)
            counts = {int(session): row for session, row in record["counts"].items()}
            report = from_plain(cls, {**record, "counts": counts})
            report._check_counts()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FeatureError(
                f"{str(path)!r}: cannot be read ({one_line(error)}); run harness prepare again"
            ) from error
        found = report.irregularities
        return replace(report, irregularities={kind: found[kind] for kind in IrregularityKind if kind in found})

    def _check_counts(self) -> None:
        names = {*(emotion.value for emotion in COUNTED), ALL_LABELS}
        rows = {f"session {session} of counts": (row, names) for session, row in self.counts.items()}
        rows["num_present"] = (self.num_present, set(MODALITIES))
        rows["num_with_stream"] = (self.num_with_stream, {stream.value for stream in MocapStream})
        for name, (row, expected) in rows.items():
            if set(row) != expected or min(row.values()) < 0:
                raise ValueError(f"{name} is {dict(row)!r:.80}; expected counts of {sorted(expected)}")
        if self.num_four_class > self.num_utterances:
            raise ValueError(f"counts holds {self.num_four_class} of four classes, of {self.num_utterances}")


def count_utterances(utterances: tuple[Utterance, ...]) -> tuple[dict[int, dict[str, int]], tuple[str, ...]]:
    """Count by session and class, and compare with the complete release.

    Returns:
        ``IngestReport.counts`` and ``IngestReport.differences``
    """
    counts = {
        session: {**{emotion.value: labels[emotion] for emotion in COUNTED}, ALL_LABELS: labels.total()}
        for session, labels in count_by_session(utterances).items()
    }
    return counts, tuple(compare_counts(utterances))


def write_irregularities(path: Path, irregularities: Iterable[Irregularity]) -> None:
    """Write one row an irregularity, as CSV in UTF-8."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["kind", "dialogue_id", "utterance_id", "path", "detail", "policy"])
    for found in irregularities:
        ids = (found.dialogue_id, found.utterance_id or "")
        rows.writerow([found.kind.value, *ids, found.path, found.detail, found.kind.policy])
    with write_then_rename(path) as stream:
        stream.write(text.getvalue().encode("utf-8", errors="replace"))
