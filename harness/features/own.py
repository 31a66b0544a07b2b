"""Features of a user's own: a file with frames or one vector for each utterance, by its id."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.corpus.utterances import CLASSES, Utterance, parse_utterance_id
from harness.errors import FeatureError, one_line
from harness.files import NpzFile, read_regular
from harness.splits.protocol import SEALED_SESSION
from harness.wording import plural

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float32]

#: The endings of files of features. The last two hold one vector an utterance.
SUFFIXES = (".npz", ".csv", ".parquet")
_WHOLE = "expected a whole .npz, .csv or .parquet file"
#: Frames of two hours of sound: more of an utterance is a mistake, and would take the memory.
MAX_FRAMES = 72_000
#: The column of a table that names the utterances.
ID_COLUMN = "utterance_id"
#: How pandas names a column whose name is empty: as a rule, the numbers of the rows, which tell session and time.
_UNNAMED = "Unnamed: "


@dataclass(frozen=True)
class OwnFeatures:
    """A file of features as prepared features, experiments and models know it.

    Attributes:
        sha256: of the file's content
        num_columns: numbers of a frame, or of an utterance's one vector
        max_frames: most frames of an utterance of the corpus; 1 for vectors. Of the file, until it stands beside one
        mean_frames: frames of an utterance on average, of the sessions that are not the default test session where
            they have any. Of the file, until it stands beside a corpus
        file_name: for messages; the same features under another name are the same
    """

    sha256: str
    num_columns: int
    max_frames: int
    mean_frames: float
    file_name: str = field(compare=False)

    def describe(self) -> str:
        """Say in a phrase what an utterance has.

        Example:
            >>> OwnFeatures("0a1b", 88, 1, 1.0, "egemaps.csv").describe()
            "'egemaps.csv', one vector of 88 numbers an utterance"
        """
        numbers = f"{self.num_columns} numbers"
        if self.max_frames == 1:
            return f"'{self.file_name}', one vector of {numbers} an utterance"
        return f"'{self.file_name}', up to {self.max_frames} frames of {numbers} an utterance"


def is_own(value: object) -> bool:
    """Return whether a value of an experiment file names a file of features.

    Example:
        >>> is_own("wavlm.npz"), is_own("short-term")
        (True, False)
    """
    return isinstance(value, str) and value.lower().endswith(SUFFIXES)


@dataclass(frozen=True, eq=False)
class OwnFile:
    """A file of features. The numbers of an ``.npz`` file stay there until they are read.

    Attributes:
        lengths: frames of each utterance, at least 1, by its id; ``described`` counts them all, or by ``beside`` those
            of a corpus
    """

    path: Path
    described: OwnFeatures
    lengths: Mapping[str, int]
    _vectors: Mapping[str, Floats] | None = None
    _archive: NpzFile | None = None

    @classmethod
    def open(cls, path: Path) -> OwnFile:
        """Open a file: ``.npz`` with an array for each utterance, or a table with a row for each.

        An array is (num_frames, num_columns), or (num_columns,) in every one; its name is the utterance's id. A table,
        ``.csv`` or ``.parquet``, has the ids in its column ``utterance_id``, and numbers in all others.

        Raises:
            FeatureError: it cannot be read, holds nothing, has arrays of different shapes or an id twice
        """
        vectors: dict[str, Floats] | None = None
        try:
            if path.suffix.lower() == ".npz":
                with NpzFile(path) as archive:
                    sha256, shapes = archive.hash_content(), archive.read_shapes()
            else:
                content = read_regular(path)
                sha256, vectors = hashlib.sha256(content).hexdigest(), _read_table(path, content)
                shapes = {name: row.shape for name, row in vectors.items()}
        except (OSError, ValueError, ImportError) as error:
            if isinstance(error, FeatureError):
                raise
            raise FeatureError(f"{_name(path)}: cannot be read ({_describe(error)}); {_WHOLE}") from error
        if not shapes:
            raise FeatureError(f"{_name(path)}: holds no utterance; expected an array or a row for each")
        num_columns = _check_shapes(path, shapes)
        lengths = {name: shape[0] if len(shape) == 2 else 1 for name, shape in shapes.items()}
        mean_frames = sum(lengths.values()) / len(lengths)
        described = OwnFeatures(sha256, num_columns, max(lengths.values()), mean_frames, path.name)
        return cls(path, described, lengths, vectors)

    @contextmanager
    def held_open(self) -> Iterator[OwnFile]:
        """Give the same file with its archive open, for many reads.

        Raises:
            FeatureError: the file can no longer be read
        """
        if self._vectors is not None:
            yield self
            return
        try:
            archive = NpzFile(self.path)
        except (OSError, ValueError) as error:
            raise FeatureError(f"{_name(self.path)}: cannot be read ({_describe(error)}); {_WHOLE}") from error
        with archive:
            yield replace(self, _archive=archive)

    def beside(self, utterance_ids: Iterable[str]) -> OwnFile:
        """Describe the file by the utterances that a corpus has, of which it holds one at least.

        The width of padded frames is that of the longest, whatever its session: none is cut.

        Raises:
            FeatureError: an utterance has more frames than are taken
        """
        known = [name for name in utterance_ids if name in self.lengths]
        longest = max(known, key=self.lengths.__getitem__)
        if self.lengths[longest] > MAX_FRAMES:
            raise FeatureError(
                f"{_name(self.path)}: {longest!r} has {self.lengths[longest]} frames; expected at most {MAX_FRAMES} an "
                "utterance: average neighbouring ones, or leave the utterance out"
            )
        trained = [name for name in known if parse_utterance_id(name).session != SEALED_SESSION] or known
        mean_frames = sum(self.lengths[name] for name in trained) / len(trained)
        return replace(
            self, described=replace(self.described, max_frames=self.lengths[longest], mean_frames=mean_frames)
        )

    def refuse_changed(self) -> None:
        """Refuse an archive, held open, whose content is not what it was in ``open``: another hash stands for it.

        A table's numbers are in memory, and are those of its hash.

        Raises:
            FeatureError: it has changed
        """
        if self._archive is not None and self._archive.hash_content() != self.described.sha256:
            raise FeatureError(
                f"{_name(self.path)}: has changed since it was opened; expected a file that nobody writes to "
                "meanwhile; run the command again when it is whole"
            )

    def read(self, utterance_ids: Iterable[str]) -> list[Floats]:
        """Read the frames of some utterances; none of an utterance that the file lacks.

        Returns:
            float32 (num_frames, num_columns) for each

        Raises:
            FeatureError: the file can no longer be read, or has changed
        """
        names = list(utterance_ids)
        there = [name for name in names if name in self.lengths]
        if self._vectors is None and self._archive is None:
            with self.held_open() as held:
                return held.read(names)
        try:
            found = self._vectors if self._archive is None else self._archive.read(there)
            assert found is not None, "a file without vectors is an archive"
            # A number that float32 does not hold becomes an infinity, which `check` counts.
            with np.errstate(over="ignore"):
                frames = {name: np.atleast_2d(found[name]).astype(np.float32) for name in there}
        except (OSError, ValueError, KeyError) as error:
            self.refuse_changed()
            raise FeatureError(f"{_name(self.path)}: cannot be read ({_describe(error)}); {_WHOLE}") from error
        nothing = np.zeros((0, self.described.num_columns), np.float32)
        return [frames.get(name, nothing) for name in names]

    def check(
        self,
        utterances: Sequence[Utterance],
        modality: str,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> tuple[str, ...]:
        """Compare the file with a corpus, and read every number of it once.

        Args:
            utterances: of the corpus, of every label, sorted by id
            modality: that the features stand for
            progress: called with the number of dialogues whose utterances are read, and of all

        Returns:
            a sentence on utterances that the file lacks, and one on ids that the corpus lacks, where there are any

        Raises:
            FeatureError: no utterance is in both; or some have numbers that are not finite
        """
        utterance_ids = [utterance.utterance_id for utterance in utterances]
        known = [name for name in utterance_ids if name in self.lengths]
        if not known:
            expected = repr(utterance_ids[0]) if utterance_ids else "those of a corpus that has some"
            raise FeatureError(
                f"{_name(self.path)}: holds {plural(len(self.lengths), 'id')}, such as {min(self.lengths)!r:.80}, and "
                f"none is of an utterance of the corpus; expected ids such as {expected}"
            )
        damaged = []
        dialogues = [list(some) for _, some in groupby(known, lambda name: parse_utterance_id(name).dialogue_id)]
        for number, some in enumerate(dialogues, start=1):
            read = zip(some, self.read(some), strict=True)
            damaged += [name for name, frames in read if not np.isfinite(frames).all()]
            progress(number, len(dialogues))
        if damaged:
            raise FeatureError(
                f"{_name(self.path)}: found NaN or infinite numbers in {plural(len(damaged), 'utterance')} of "
                f"{len(known)}, such as {damaged[0]!r}; expected finite numbers: replace them, or leave these "
                "utterances out"
            )
        notes = []
        missing = [utterance for utterance in utterances if utterance.utterance_id not in self.lengths]
        if missing:
            notes.append(
                f"{_name(self.path)}: lacks {len(missing)} of the corpus's {len(utterance_ids)} utterances, "
                f"{sum(each.emotion in CLASSES for each in missing)} of them of the four classes, such as "
                f"{missing[0].utterance_id!r}; each counts as an utterance without {modality}."
            )
        surplus = sorted(set(self.lengths) - set(known))
        if surplus:
            notes.append(
                f"{_name(self.path)}: holds {plural(len(surplus), 'id')} of no utterance of the corpus, such as "
                f"{surplus[0]!r:.80}; {'it is' if len(surplus) == 1 else 'they are'} left out."
            )
        return tuple(notes)


def _name(path: Path) -> str:
    return f"features file '{path.name}'"


def _describe(error: Exception) -> str:
    """Say why a file cannot be read, in the words of this package where the library's are about its own insides."""
    if isinstance(error, ImportError):
        return "pyarrow is not installed; install it with  pip install 'harness-iemocap[parquet]'  , or write .csv"
    if isinstance(error, UnicodeDecodeError):
        return "it is not text in UTF-8; write the table in UTF-8"
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror
    return one_line(str(error).strip()).removeprefix("Error tokenizing data. C error: ")


def _check_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return the numbers of a frame, the same in every array.

    Raises:
        FeatureError: most arrays are neither frames nor vectors, or some have another shape than most
    """
    kinds = Counter((len(shape), shape[-1] if shape else 0) for shape in shapes.values())
    (num_dimensions, num_columns), _ = kinds.most_common(1)[0]
    expected = f"({num_columns},)" if num_dimensions == 1 else f"(num_frames, {num_columns})"
    if num_dimensions not in (1, 2) or not num_columns:
        expected = "(num_frames, num_columns) or (num_columns,) in every array"
    wrong = [
        name
        for name, shape in shapes.items()
        if (len(shape), shape[-1] if shape else 0) != (num_dimensions, num_columns)
        or len(shape) not in (1, 2)
        or 0 in shape
    ]
    if wrong:
        raise FeatureError(
            f"{_name(path)}: found {plural(len(wrong), 'array')} of a wrong shape among {len(shapes)}, such as "
            f"{wrong[0]!r:.80} with {shapes[wrong[0]]}; expected {expected}, and at least one frame"
        )
    return num_columns


def _read_parquet(content: bytes) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(io.BytesIO(content))
    # The last four where what pandas has written beside the columns is damaged.
    except (OSError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
        raise ValueError("it is no whole Parquet file, or has two columns of one name") from error


def _read_table(path: Path, content: bytes) -> dict[str, Floats]:
    """Read one vector an utterance, float32 (num_columns,), by its id."""
    # Slow to import, and needed for tables alone.
    import pandas as pd

    if path.suffix.lower() == ".parquet":
        table = _read_parquet(content)
    elif content.strip():
        table = pd.read_csv(io.BytesIO(content), dtype={ID_COLUMN: str})
    else:
        raise FeatureError(f"{_name(path)}: is empty; expected a line that names the columns, and a row an utterance")
    if ID_COLUMN in table.index.names:
        table = table.reset_index()
    if ID_COLUMN not in table.columns:
        found = ", ".join(map(repr, table.columns[:3]))
        raise FeatureError(f"{_name(path)}: has no column '{ID_COLUMN}', but {found:.120}; expected the ids there")
    for number, column in enumerate(table.columns, start=1):
        if str(column).startswith(_UNNAMED) or not str(column).strip():
            raise FeatureError(
                f"{_name(path)}: column {number} has no name, and may number the rows; expected a name for every "
                "column: write the table with index=False"
            )
    names = [str(name) for name in table.pop(ID_COLUMN)]
    if not names:
        return {}
    for column in table.columns:
        if not pd.api.types.is_numeric_dtype(table[column]):
            # Empty cells are not finite, which `check` refuses with their number.
            is_wrong = pd.to_numeric(table[column], errors="coerce").isna() & table[column].notna()
            place = int(is_wrong.to_numpy().argmax())
            raise FeatureError(
                f"{_name(path)}: column {column!r:.80} holds {table[column].iloc[place]!r:.80} for "
                f"{names[place]!r:.80}; expected numbers in every column but '{ID_COLUMN}'"
            )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise FeatureError(
            f"{_name(path)}: found {plural(len(twice), 'id')} in more than one row, such as {twice[0]!r:.80}; expected "
            "one row for each utterance"
        )
    with np.errstate(over="ignore"):
        values = table.to_numpy(np.float64, na_value=np.nan).astype(np.float32)
    return dict(zip(names, values, strict=True))
