"""Parts of dialogues to the arrays of sessions, with no more than one dialogue in memory at once."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from harness.corpus.checks import four_class
from harness.corpus.utterances import Utterance
from harness.features.ingest import DialogueArrays, DialogueRecord
from harness.features.manifest import ArrayRecord, SessionRecord, array_shapes
from harness.features.parts import read_arrays
from harness.features.speech import SpeechSettings
from harness.features.store import session_dir
from harness.features.utterance_list import UTTERANCES_NAME, utterance_to_json
from harness.files import write_then_rename

#: Every array that a session may have, by the modality without which it is not there.
MODALITY_OF_ARRAY: Mapping[str, str] = {
    "speech": "speech",
    "speech_lengths": "speech",
    "mocap": "mocap",
    "mocap_rows": "mocap",
    "mocap_empty": "mocap",
}

Dialogues = Sequence[tuple[DialogueRecord, Path]]
Array = npt.NDArray[Any]


def assemble_session(
    prepared_dir: Path,
    session: int,
    dialogues: Dialogues,
    settings: SpeechSettings,
    modalities: Sequence[str],
) -> SessionRecord:
    """Write the files of one session.

    Args:
        dialogues: what each of the session's dialogues has, with the path of its part, in any order
        modalities: those of the whole corpus; the others get no array

    Returns:
        what the manifest says of the session
    """
    folder = session_dir(prepared_dir, session)
    folder.mkdir(parents=True, exist_ok=True)
    # No id of one dialogue lies between two of another, so dialogues in this order give rows sorted by id.
    ordered = sorted(
        (record.utterances[0].utterance_id, path, record) for record, path in dialogues if record.utterances
    )
    utterances = [utterance for _, _, record in ordered for utterance in record.utterances]
    chosen = four_class(utterances)
    shapes = array_shapes(len(chosen), settings)
    with _open_writers(folder, shapes, modalities if chosen else ()) as writers:
        for _, path, record in ordered:
            rows = _rows_of(read_arrays(path), four_class(record.utterances), settings)
            for name, writer in writers.items():
                writer.append(rows[name])
    content = _list_utterances(utterances)
    with write_then_rename(folder / UTTERANCES_NAME) as stream:
        stream.write(content)
    return SessionRecord(
        num_utterances=len(utterances),
        num_four_class=len(chosen),
        arrays={name: writer.describe() for name, writer in writers.items()},
        utterances_sha256=hashlib.sha256(content).hexdigest(),
        utterances_num_bytes=len(content),
    )


def remove_session_files(prepared_dir: Path, session: int) -> None:
    """Remove what an earlier state of the corpus has left of a session."""
    folder = session_dir(prepared_dir, session)
    for name in (UTTERANCES_NAME, *(f"{array}.npy" for array in MODALITY_OF_ARRAY)):
        (folder / name).unlink(missing_ok=True)


class _ArrayWriter:
    """Writes the rows of one ``.npy`` file as they come."""

    def __init__(self, stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._stream = stream
        self._shape = shape
        self._dtype = dtype
        self._hash = hashlib.sha256()
        self._num_bytes = 0
        header = io.BytesIO()
        described = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, described)
        self._write(header.getvalue())

    def append(self, rows: Array) -> None:
        """Write some rows after those that are there."""
        self._write(np.ascontiguousarray(rows, dtype=self._dtype).tobytes())

    def describe(self) -> ArrayRecord:
        """What the manifest says of the file."""
        return ArrayRecord(self._dtype.str, self._shape, self._hash.hexdigest(), self._num_bytes)

    def _write(self, content: bytes) -> None:
        self._stream.write(content)
        self._hash.update(content)
        self._num_bytes += len(content)


@contextmanager
def _open_writers(
    folder: Path, shapes: Mapping[str, tuple[tuple[int, ...], str]], modalities: Sequence[str]
) -> Iterator[dict[str, _ArrayWriter]]:
    with ExitStack() as stack:
        writers = {}
        for name, (shape, dtype) in shapes.items():
            if MODALITY_OF_ARRAY[name] in modalities:
                stream = stack.enter_context(write_then_rename(folder / f"{name}.npy"))
                writers[name] = _ArrayWriter(stream, shape, np.dtype(dtype))
        yield writers


def _rows_of(
    arrays: DialogueArrays, utterances: Sequence[Utterance], settings: SpeechSettings
) -> dict[str, Array]:
    lengths = arrays.speech_lengths
    speech = np.zeros((len(lengths), settings.max_frames, arrays.frames.shape[1]), dtype=np.float32)
    speech[np.arange(settings.max_frames) < lengths[:, None]] = arrays.frames
    return {
        "speech": speech,
        "speech_lengths": lengths,
        "mocap": arrays.mocap,
        "mocap_rows": np.array([utterance.num_mocap_rows for utterance in utterances], dtype=np.int64),
        "mocap_empty": arrays.mocap_empty,
    }


def _list_utterances(utterances: Iterable[Utterance]) -> bytes:
    lines = [json.dumps(utterance_to_json(utterance), ensure_ascii=False) + "\n" for utterance in utterances]
    return "".join(lines).encode("utf-8")


def corpus_hash(dialogues: Iterable[DialogueRecord]) -> str:
    """SHA-256 over every file's place and content, in the order of their paths."""
    hashes = {path: digest for record in dialogues for path, digest in record.file_hashes.items()}
    return hashlib.sha256("".join(f"{path} {hashes[path]}\n" for path in sorted(hashes)).encode()).hexdigest()
