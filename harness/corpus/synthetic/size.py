"""How large a synthetic corpus will be, before any of it is written."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.corpus.audio import SAMPLE_BYTES, SAMPLING_RATE
from harness.corpus.synthetic.damage import APPLE_DOUBLE, MISSING_MOCAP
from harness.corpus.synthetic.motion import ROW_BYTES, count_rows
from harness.corpus.synthetic.plan import CorpusPlan
from harness.errors import HarnessError
from harness.quantities import write_bytes

_WAV_HEADER_BYTES = 44
#: Bytes that a turn takes in the label file and the transcription file together, about.
_TEXT_BYTES = 420

#: Bytes that a file takes on the disk beyond its own, about: half a block, and its entry.
_BYTES_BESIDE_A_FILE = 3000


@dataclass(frozen=True)
class CorpusSize:
    """What a corpus takes.

    Attributes:
        num_files: exact but for few; those of macOS included
        num_bytes: of their contents, within some percent
    """

    num_files: int
    num_bytes: int

    @property
    def num_disk_bytes(self) -> int:
        """Bytes that have to be free."""
        return self.num_bytes + self.num_files * _BYTES_BESIDE_A_FILE


def measure_plan(plan: CorpusPlan) -> CorpusSize:
    """Add up what writing ``plan`` will take."""
    num_files = num_bytes = 0
    for dialogue in plan.dialogues:
        missing = MISSING_MOCAP.get(dialogue.dialogue_id, ()) if plan.settings.irregularities else ()
        row_bytes = sum(size for stream, size in ROW_BYTES.items() if stream not in missing)
        spoken = sum(utterance.end - utterance.start for utterance in dialogue.utterances)
        seconds_of_sound = 2 * dialogue.seconds + spoken
        num_files += len(dialogue.utterances) + 3 + len(ROW_BYTES) - len(missing)
        num_bytes += (
            round(seconds_of_sound * SAMPLING_RATE * SAMPLE_BYTES)
            + (len(dialogue.utterances) + 1) * _WAV_HEADER_BYTES
            + count_rows(plan.settings, dialogue) * row_bytes
            + len(dialogue.utterances) * _TEXT_BYTES
        )
    if plan.settings.irregularities:
        num_bytes += num_files * len(APPLE_DOUBLE)
        num_files *= 2
    return CorpusSize(num_files, num_bytes)


def require_free_disk(path: Path, size: CorpusSize) -> None:
    """Check that the disk under ``path``, which need not exist, has room.

    Raises:
        HarnessError: it has not
    """
    existing = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if free < size.num_disk_bytes:
        raise HarnessError(
            f"synthetic corpus {str(path)!r}: needs {write_bytes(size.num_disk_bytes)} and the disk has "
            f"{write_bytes(free)} free; free some, or choose a smaller scale, shorter utterances or a lower "
            "mocap rate"
        )
