"""The layout of a corpus on disk; no other module knows where a file lies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.corpus.utterances import DIALOGUE_PATTERN, match_dialogue_id, parse_utterance_id
from harness.errors import CorpusError

#: The folder's name in the release, looked for inside whatever folder the user names.
RELEASE_NAME = "IEMOCAP_full_release"

#: macOS keeps a file's extended attributes in one of this prefix beside it; it is never the file itself.
MACOS_PREFIX = "._"

#: The recording sessions, of two actors each.
SESSIONS = (1, 2, 3, 4, 5)
SESSION_PATTERN = re.compile(r"Session(?P<session>[1-5])")


class MocapStream(StrEnum):
    """The three motion files of a dialogue, each with its own columns."""

    FACE = "face"
    HAND = "hand"
    HEAD = "head"

    @property
    def num_columns(self) -> int:
        """Values in a row, frame number and time not counted."""
        return _MOCAP_COLUMNS[self]

    @property
    def folder(self) -> str:
        """The folder beside the dialogue's other files."""
        return _MOCAP_FOLDERS[self]


_MOCAP_COLUMNS = {MocapStream.FACE: 165, MocapStream.HAND: 18, MocapStream.HEAD: 6}
_MOCAP_FOLDERS = {
    MocapStream.FACE: "MOCAP_rotated",
    MocapStream.HAND: "MOCAP_hand",
    MocapStream.HEAD: "MOCAP_head",
}


@dataclass(frozen=True)
class CorpusLayout:
    """Every path of a corpus, from ids.

    A path follows from the id alone, never from the files that exist, so that a missing file of
    one take is never replaced by the file of another.

    Attributes:
        root: the folder that holds ``Session1`` to ``Session5``, or some of them
    """

    root: Path

    def sessions(self) -> list[int]:
        """The sessions that are there, in order."""
        return sorted(
            int(match["session"])
            for entry in self.root.iterdir()
            if (match := SESSION_PATTERN.fullmatch(entry.name)) and entry.is_dir()
        )

    def dialogue_ids(self, session: int) -> list[str]:
        """The dialogues that have a label file, sorted."""
        folder = self._dialog_dir(session) / "EmoEvaluation"
        return sorted(_dialogues_named(_visible_files(folder, ".txt"), session))

    def unread_label_files(self) -> list[Path]:
        """The text files that lie where label files do, or in a folder such as ``Session6``, and are none, sorted."""
        folders = {session: self._dialog_dir(session) / "EmoEvaluation" for session in self.sessions()}
        read = {self.annotation_path(name) for session in folders for name in self.dialogue_ids(session)}
        beside = [
            entry / "dialog" / "EmoEvaluation"
            for entry in self.root.iterdir()
            if entry.name.lower().startswith("session") and SESSION_PATTERN.fullmatch(entry.name) is None
        ]
        places = (*folders.values(), *beside)
        found = [path for folder in places for path in _visible_files(folder, ".txt", in_any_case=True)]
        return sorted(set(found) - read)

    def unlabelled_dialogue_ids(self, session: int) -> list[str]:
        """The dialogues that have some other file but no label file, sorted."""
        dialog_dir = self._dialog_dir(session)
        files = _visible_files(dialog_dir / "wav", ".wav")
        for folder in ("transcriptions", *(stream.folder for stream in MocapStream)):
            files += _visible_files(dialog_dir / folder, ".txt")
        return sorted(_dialogues_named(files, session) - set(self.dialogue_ids(session)))

    def annotation_path(self, dialogue_id: str) -> Path:
        """The label file."""
        return self._dialogue_dir(dialogue_id) / "EmoEvaluation" / f"{dialogue_id}.txt"

    def transcript_path(self, dialogue_id: str) -> Path:
        """The transcript file."""
        return self._dialogue_dir(dialogue_id) / "transcriptions" / f"{dialogue_id}.txt"

    def dialogue_wav_path(self, dialogue_id: str) -> Path:
        """The recording of the whole dialogue, one microphone a channel."""
        return self._dialogue_dir(dialogue_id) / "wav" / f"{dialogue_id}.wav"

    def mocap_path(self, dialogue_id: str, stream: MocapStream) -> Path:
        """The motion file of one stream."""
        return self._dialogue_dir(dialogue_id) / stream.folder / f"{dialogue_id}.txt"

    def utterance_wav_dir(self, dialogue_id: str) -> Path:
        """The folder with one recording an utterance."""
        session = int(match_dialogue_id(dialogue_id)["session"])
        return self.root / f"Session{session}" / "sentences" / "wav" / dialogue_id

    def utterance_wav_path(self, utterance_id: str) -> Path:
        """The recording of one utterance."""
        return self.utterance_wav_dir(parse_utterance_id(utterance_id).dialogue_id) / f"{utterance_id}.wav"

    def utterance_wav_paths(self, dialogue_id: str) -> list[Path]:
        """The recordings in the dialogue's folder, sorted, whether or not an utterance has their name."""
        return _visible_files(self.utterance_wav_dir(dialogue_id), ".wav")

    def dialogue_files(self, dialogue_id: str) -> list[Path]:
        """Every file of one dialogue that exists, in a fixed order."""
        return [
            *(path for path in self._expected_files(dialogue_id) if path.is_file()),
            *self.utterance_wav_paths(dialogue_id),
        ]

    def macos_files(self, dialogue_id: str) -> list[Path]:
        """The ``._*`` files that lie beside the dialogue's own, sorted within each folder."""
        beside = [
            path.with_name(MACOS_PREFIX + path.name)
            for path in [*self._expected_files(dialogue_id), self.utterance_wav_dir(dialogue_id)]
        ]
        return [path for path in beside if path.is_file()] + _macos_files(self.utterance_wav_dir(dialogue_id))

    def relative(self, path: Path) -> str:
        """``path`` from the root, with ``/``."""
        return path.relative_to(self.root).as_posix()

    def fingerprint(self, dialogue_id: str) -> dict[str, tuple[int, int]]:
        """Size in bytes and modification time in nanoseconds of each existing file, by relative path."""
        stats = {self.relative(path): path.stat() for path in self.dialogue_files(dialogue_id)}
        return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}

    def _expected_files(self, dialogue_id: str) -> list[Path]:
        return [
            self.annotation_path(dialogue_id),
            self.transcript_path(dialogue_id),
            self.dialogue_wav_path(dialogue_id),
            *(self.mocap_path(dialogue_id, stream) for stream in MocapStream),
        ]

    def _dialog_dir(self, session: int) -> Path:
        return self.root / f"Session{session}" / "dialog"

    def _dialogue_dir(self, dialogue_id: str) -> Path:
        return self._dialog_dir(int(match_dialogue_id(dialogue_id)["session"]))


def find_root(path: Path) -> CorpusLayout:
    """Find the corpus in ``path`` itself, or in its ``IEMOCAP_full_release``.

    Raises:
        CorpusError: neither holds a folder ``Session1`` to ``Session5``
    """
    for root in (path, path / RELEASE_NAME):
        if root.is_dir() and CorpusLayout(root).sessions():
            return CorpusLayout(root)
    if not path.exists():
        found = "no such folder"
    elif not path.is_dir():
        found = "not a folder"
    else:
        found = "holds no folder Session1 to Session5"
    raise CorpusError(
        f"corpus {str(path)!r}: {found}; expected the release's folder {RELEASE_NAME!r}, or its parent"
    )


def path_in_corpus(path: Path) -> str:
    """The part of ``path`` from the session's folder on, with ``/``; the bare name outside of a corpus.

    Example:
        >>> path_in_corpus(Path("/data/release/Session1/dialog/wav/Ses01F_impro01.wav"))
        'Session1/dialog/wav/Ses01F_impro01.wav'
        >>> path_in_corpus(Path("/data/hello.wav"))
        'hello.wav'
    """
    parts = path.parts
    for position in range(len(parts) - 1, -1, -1):
        if SESSION_PATTERN.fullmatch(parts[position]):
            return "/".join(parts[position:])
    return path.name


def _visible_files(folder: Path, suffix: str, *, in_any_case: bool = False) -> list[Path]:
    if not folder.is_dir():
        return []
    visible = [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()]
    return sorted(path for path in visible if (path.suffix.lower() if in_any_case else path.suffix) == suffix)


def _macos_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.startswith(MACOS_PREFIX))


def _dialogues_named(paths: Iterable[Path], session: int) -> set[str]:
    matches = (DIALOGUE_PATTERN.fullmatch(path.stem) for path in paths)
    return {match["dialogue"] for match in matches if match and int(match["session"]) == session}
