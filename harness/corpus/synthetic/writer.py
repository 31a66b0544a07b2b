"""Writing a synthetic corpus: its size beforehand, every dialogue on its own, and the marker file last."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray

from harness.corpus.audio import SAMPLE_BYTES, SAMPLING_RATE
from harness.corpus.layout import MACOS_PREFIX, CorpusLayout, MocapStream
from harness.corpus.synthetic.motion import ROW_BYTES, count_rows, encode_mocap_file
from harness.corpus.synthetic.plan import (
    APPLE_DOUBLE,
    MISSING_MOCAP,
    CorpusPlan,
    PlannedDialogue,
    encode_utterance_wav,
    encode_wav,
    plan_corpus,
)
from harness.corpus.synthetic.settings import (
    MARKER_NAME,
    UNFINISHED_NAME,
    Cue,
    SyntheticSettings,
    describe,
    is_synthetic,
    says_the_same,
)
from harness.corpus.synthetic.text import encode_label_file, encode_transcription_file
from harness.corpus.synthetic.voice import choose_manner, make_voice, speak
from harness.errors import CorpusError, HarnessError
from harness.files import wait_for_lock, write_json
from harness.wording import write_bytes

_WAV_HEADER_BYTES = 44
#: Bytes that a turn takes in the label file and the transcription file together, about.
_TEXT_BYTES = 420

#: Bytes that a file takes on the disk beyond its own, about: half a block, and its entry.
_BYTES_BESIDE_A_FILE = 3000

#: The part of a voice that the other actor's microphone picks up.
_CROSSTALK = 0.1

#: Deviation of a microphone's own noise, of 1.
_MICROPHONE_NOISE = 0.0005

#: Seconds of dialogue that are written before other processes would have started.
_FEW_SECONDS = 600.0

#: The actors in the order of the dialogue's channels.
LETTERS = "FM"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CorpusSize:
    """The disk space of a corpus.

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


def write_synthetic(
    path: Path, settings: SyntheticSettings, progress: Progress | None = None, jobs: int | None = None
) -> CorpusPlan:
    """Write a synthetic corpus, or leave it alone where it is there already.

    The same settings give the same bytes, however many jobs write them. An unfinished corpus is written again.

    Args:
        path: becomes the corpus's root; made where there is none
        settings: decide every byte
        progress: called with the dialogues written so far, and those in all
        jobs: processes; None for as many as there are cores, one for a small corpus

    Raises:
        CorpusError: ``path`` is a file, or holds anything but this corpus or its beginning
        HarnessError: the disk has too little room
    """
    plan = plan_corpus(settings)
    if says_the_same(path / MARKER_NAME, settings):
        return plan
    _require_usable(path, settings)
    require_free_disk(path, measure_plan(plan))
    path.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        if not says_the_same(path / MARKER_NAME, settings):
            write_json(path / UNFINISHED_NAME, describe(settings))
            _write_dialogues(CorpusLayout(path), plan, progress, jobs)
            os.replace(path / UNFINISHED_NAME, path / MARKER_NAME)
    return plan


def measure_plan(plan: CorpusPlan) -> CorpusSize:
    """Add up the files and bytes of a corpus, before any of it is written."""
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


def _require_usable(path: Path, settings: SyntheticSettings) -> None:
    if not path.exists() or says_the_same(path / UNFINISHED_NAME, settings):
        return
    if not path.is_dir():
        found = "is a file"
    elif is_synthetic(path):
        found = "holds a synthetic corpus with other settings"
    else:
        entries = sorted(entry.name for entry in path.iterdir())
        if not entries:
            return
        found = f"is not empty: it holds {entries[0]!r}"
    raise CorpusError(f"synthetic corpus {str(path)!r}: the folder {found}; name a new or an empty folder")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time write into ``folder``; the lock ends with the process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        wait_for_lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _write_dialogues(
    layout: CorpusLayout, plan: CorpusPlan, progress: Progress | None, jobs: int | None
) -> None:
    if jobs is None:
        is_small = sum(dialogue.seconds for dialogue in plan.dialogues) < _FEW_SECONDS
        jobs = 1 if is_small else joblib.cpu_count()
    tasks = (joblib.delayed(_write_dialogue)(layout, plan.settings, dialogue) for dialogue in plan.dialogues)
    written = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)
    for num_written, _ in enumerate(written, start=1):
        if progress is not None:
            progress(num_written, len(plan.dialogues))


def _write_dialogue(layout: CorpusLayout, settings: SyntheticSettings, dialogue: PlannedDialogue) -> None:
    name = dialogue.dialogue_id
    _write(settings, layout.annotation_path(name), [encode_label_file(settings, dialogue)], dialogue.has_crlf)
    text = encode_transcription_file(settings, dialogue)
    _write(settings, layout.transcript_path(name), [text], dialogue.has_crlf)
    missing = MISSING_MOCAP.get(name, ()) if settings.irregularities else ()
    for stream in MocapStream:
        if stream not in missing:
            parts = encode_mocap_file(settings, dialogue, stream)
            _write(settings, layout.mocap_path(name, stream), parts, dialogue.has_crlf)
    channels = record_dialogue(settings, dialogue)
    _write(settings, layout.dialogue_wav_path(name), [encode_wav(channels)])
    for utterance in dialogue.utterances:
        first, last = round(utterance.start * SAMPLING_RATE), round(utterance.end * SAMPLING_RATE)
        samples = channels[first:last, LETTERS.index(utterance.speaker_letter)]
        wav = encode_utterance_wav(samples, utterance.damage)
        _write(settings, layout.utterance_wav_path(utterance.utterance_id), [wav])


def record_dialogue(settings: SyntheticSettings, dialogue: PlannedDialogue) -> NDArray[np.int16]:
    """Record both actors.

    Returns:
        int16 (num_samples, 2) at 16 kHz: the woman's microphone, the man's; each hears the other faintly
    """
    generator = settings.generator(dialogue.dialogue_id, "voice")
    voices = {
        letter: make_voice(letter, settings.generator(f"voice {dialogue.session}{letter}"))
        for letter in LETTERS
    }
    channels = generator.normal(scale=_MICROPHONE_NOISE, size=(round(dialogue.seconds * SAMPLING_RATE), 2))
    for utterance in dialogue.utterances:
        first, last = round(utterance.start * SAMPLING_RATE), round(utterance.end * SAMPLING_RATE)
        manner = choose_manner(Cue.SPEECH in utterance.main_sides, Cue.SPEECH in utterance.faint_sides)
        spoken = speak(voices[utterance.speaker_letter], manner, last - first, generator)
        near = LETTERS.index(utterance.speaker_letter)
        channels[first:last, near] += spoken
        channels[first:last, 1 - near] += _CROSSTALK * spoken
    return np.clip(np.rint(channels * 32767), -32768, 32767).astype(np.int16)


def _write(settings: SyntheticSettings, path: Path, parts: Iterable[bytes], has_crlf: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        for part in parts:
            stream.write(part.replace(b"\n", b"\r\n") if has_crlf else part)
    if settings.irregularities:
        path.with_name(MACOS_PREFIX + path.name).write_bytes(APPLE_DOUBLE)
