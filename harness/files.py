"""Files that are written whole or not at all, files that are checked before they are read, and locks on files.

The system releases a lock when the process that holds it ends, however it ends.
"""

from __future__ import annotations

import codecs
import errno
import fcntl
import hashlib
import json
import math
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from harness.errors import HarnessError, show_value

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: A member of an ``.npz`` file may unpack to this many times the size of the file: equal bytes pack no tighter.
_MOST_PACKED = 1100
#: Of a file that are hashed at once.
_HASHED_BYTES = 2**20
#: The errors of a file system without locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)

#: The errors of a path at which there is nothing, or can be nothing.
_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, struct.error)


@contextmanager
def write_then_rename(path: Path) -> Iterator[BinaryIO]:
    """Write beside ``path``, and move over it only if the block succeeds and the disk has it all."""
    with make_then_rename(path) as partial, partial.open("wb") as stream:
        yield stream


@contextmanager
def make_then_rename(path: Path, suffix: str = "") -> Iterator[Path]:
    """As ``write_then_rename``, for a library that opens files itself.

    Args:
        suffix: the ending that the library requires of the name
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial{suffix}")
    try:
        yield partial
        # A rename may reach the disk before the contents: a power failure would leave an empty file.
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


#: How the kinds of files that are no regular ones are named, by the test that knows them.
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: Path, buffering: int = -1) -> BufferedReader:
    """Open a regular file for reading; another one, such as a named pipe, could make its reader wait for ever.

    Everything that a user's folder holds is opened by this function.

    Raises:
        OSError: there is none, it may not be read, or it is a folder, a named pipe, a socket or a device; its
            ``strerror`` then says which
    """
    # Before it is opened: that alone makes some devices do something.
    _refuse_irregular(path, os.stat(path).st_mode)
    # Somebody may put another one in its place meanwhile: O_NONBLOCK does not wait for a pipe's other end.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _refuse_irregular(path, os.fstat(descriptor).st_mode)
        return cast(BufferedReader, os.fdopen(descriptor, "rb", buffering))
    except BaseException:
        os.close(descriptor)
        raise


def _refuse_irregular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "no file")
        raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, f"it is {kind}, not a file", str(path))


def why_no_file(path: Path, missing: str = "no such file") -> str | None:
    """Say why a path is no regular file; None where it is one.

    Args:
        missing: what to say where there is nothing at all

    Example:
        >>> why_no_file(Path("/")), why_no_file(Path("/nowhere"))
        ('is a folder, not a file', 'no such file')
    """
    try:
        _refuse_irregular(path, os.stat(path).st_mode)
    except OSError as error:
        if os.path.islink(path) and error.errno in (errno.ENOENT, errno.ELOOP):
            return "is a symbolic link that leads nowhere"
        if error.errno in _NOTHING_THERE:
            return missing
        said = error.strerror or str(error)
        return said.removeprefix("it ") if said.startswith("it is ") else f"cannot be reached ({said})"
    return None


def read_regular(path: Path) -> bytes:
    """Read a regular file whole, opened by ``open_regular``.

    Raises:
        OSError: as from ``open_regular``
    """
    with open_regular(path) as stream:
        return stream.read()


def hash_file(path: Path) -> str:
    """SHA-256 of a regular file's content, as hexadecimal digits.

    Raises:
        OSError: as from ``open_regular``
    """
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_json(value: Any, num_digits: int = 16) -> str:
    """SHA-256 of a value as JSON with sorted keys: its first hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:num_digits]


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, whole or not at all."""
    with write_then_rename(path) as stream:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
        # A path may hold bytes that are no UTF-8. They are lone surrogates here, which JSON has spelt with a backslash.
        stream.write((text + "\n").encode("utf-8", "backslashreplace"))


def read_json(path: Path) -> Any:
    """Read a JSON file, whatever it holds.

    Raises:
        OSError: it cannot be opened
        ValueError: as from ``parse_json``
    """
    return parse_json(read_regular(path))


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises:
        OSError: it cannot be opened
        ValueError: it holds something else, or is no JSON, as from ``parse_json``
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"holds {show_value(value)}; expected one object {{...}}")
    return value


def parse_json(content: bytes | str, **hooks: Any) -> Any:
    """Read JSON; a fault is said in words, with its place, rather than in those of Python's release.

    Args:
        hooks: as for ``json.loads``; what they raise is passed on if it is a ``HarnessError``

    Raises:
        ValueError: it is not JSON in UTF-8, is nested too deeply to be a record, or has a number of thousands of digits

    Example:
        >>> parse_json('{"log": true,}')
        Traceback (most recent call last):
            ...
        ValueError: line 1, column 14: found '}'; expected no comma before it, or something after the comma
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        return json.loads(text, **hooks)
    except HarnessError:
        raise
    except json.JSONDecodeError as error:
        raise ValueError(_describe_fault(error)) from error
    except UnicodeDecodeError as error:
        if error.object[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise ValueError("begins with the mark of UTF-16; expected JSON in UTF-8") from error
        found = error.object[error.start]
        raise ValueError(f"holds the byte 0x{found:02x}, which is not UTF-8; expected JSON in UTF-8") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply; expected a few levels") from error
    except ValueError as error:
        # The one that is left.
        raise ValueError("holds an integer with too many digits; expected at most 4300") from error


#: What JSON has where something else was found, by the beginning of what the library says.
_EXPECTED = {
    "Expecting value": 'a value: "a text", a number, true, false, null, [...] or {...}',
    "Expecting property name": "a key in double quotes",
    "Illegal trailing comma": "a key in double quotes",
    "Expecting ',' delimiter": "a comma, or the end of what is open",
    "Expecting ':' delimiter": "a colon after the key",
    "Extra data": "nothing after the end of the JSON",
    "Invalid control character": r"a text on one line, without control characters (an end of a line is \n)",
    "Invalid \\": r"\\ for a backslash in a text",
}


def _describe_fault(error: json.JSONDecodeError) -> str:
    text, place = error.doc, error.pos
    if not text.strip():
        return "holds nothing; expected JSON"
    if error.msg.startswith("Illegal trailing comma"):
        # Other releases name what comes after the comma.
        place += 1 + len(text[place + 1 :]) - len(text[place + 1 :].lstrip())
    line, column = text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)
    where, rest = f"line {line}, column {column}", text[place:]
    if error.msg.startswith("Unterminated string"):
        return f"{where}: a text begins and never ends; expected its closing double quote"
    if not rest.strip():
        return f"{where}: ends too early; expected the rest of the JSON"
    expected = next((said for message, said in _EXPECTED.items() if error.msg.startswith(message)), "JSON")
    if rest.startswith(("]", "}")) and error.msg.startswith(("Expecting v", "Expecting p", "Illegal")):
        expected = "no comma before it, or something after the comma"
    elif rest.startswith(("//", "/*", "#")):
        expected += ", and no comments"
    return f"{where}: found {rest.splitlines()[0][:20] or rest[0]!r}; expected {expected}"


def read_npy(path: Path, is_mapped: bool = False) -> npt.NDArray[Any]:
    """Read an ``.npy`` file of numbers; nothing in it is run, and no more memory is taken than it has bytes.

    Args:
        is_mapped: whether the array stays in the file, read-only, until it is used

    Returns:
        an array of whole numbers, floating-point numbers or truth values

    Raises:
        OSError: it cannot be opened
        ValueError: it is no such file, holds anything but numbers, or its header contradicts its size
    """
    import numpy as np

    with open_regular(path) as stream:
        header = _read_npy_header(stream, path.stat().st_size)
    if not is_mapped or not header.num_values:
        values = np.fromfile(path, header.dtype, header.num_values, offset=header.offset)
        return values.reshape(header.shape, order=header.order)
    mapped = np.memmap(path, header.dtype, "r", header.offset, header.shape, header.order)
    return cast("npt.NDArray[Any]", mapped.view(np.ndarray))


class NpzFile:
    """An ``.npz`` file that stays open, so that its list of arrays is read once; ``with`` closes it.

    Another file of the same name that takes its place meanwhile is not read.

    Raises:
        OSError: it cannot be opened
        ValueError: it is no such file, or damaged
    """

    def __init__(self, path: Path) -> None:
        self._file = open_regular(path)
        try:
            with _naming_damage():
                self._archive = zipfile.ZipFile(self._file)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> NpzFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._archive.close()
        self._file.close()

    def read(self, names: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
        """Read some arrays by name, each as ``read_npy`` would.

        Raises:
            KeyError: there is no such array
            ValueError: the file is damaged, or one of the arrays is none
        """
        import numpy as np

        arrays = {}
        with _naming_damage():
            for name in names:
                try:
                    member = self._archive.getinfo(f"{name}.npy")
                except KeyError:
                    raise KeyError(name) from None
                with self._open_member(member) as (stream, header):
                    values = np.frombuffer(stream.read(), header.dtype)
                arrays[name] = values.reshape(header.shape, order=header.order)
        return arrays

    def read_shapes(self) -> dict[str, tuple[int, ...]]:
        """Read the shape of every array by name; of the numbers nothing is read.

        Raises:
            ValueError: the file is damaged or has a name twice, or one of its members is no array of numbers
        """
        shapes: dict[str, tuple[int, ...]] = {}
        with _naming_damage():
            for member in self._archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name in shapes:
                    raise ValueError(f"holds {name!r} twice")
                if name == member.filename:
                    raise ValueError(f"holds {name!r}; expected names that end in .npy")
                with self._open_member(member) as (_, header):
                    shapes[name] = header.shape
        return shapes

    def hash_content(self) -> str:
        """SHA-256 of the content that the open file has now, as hexadecimal digits."""
        digest, offset = hashlib.sha256(), 0
        # Past the buffer of the stream, which may hold what has been written over since.
        while content := os.pread(self._file.fileno(), _HASHED_BYTES, offset):
            digest.update(content)
            offset += len(content)
        return digest.hexdigest()

    @contextmanager
    def _open_member(self, member: zipfile.ZipInfo) -> Iterator[tuple[BinaryIO, _NpyHeader]]:
        num_bytes = os.fstat(self._file.fileno()).st_size
        # numpy writes no other; the dictionary of an LZMA member may ask for gigabytes.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{member.filename!r} is packed by method {member.compress_type}")
        if member.compress_size > num_bytes or member.file_size > _MOST_PACKED * num_bytes:
            raise ValueError(f"{member.filename!r} unpacks to {member.file_size} bytes")
        with self._archive.open(member) as opened:
            stream = cast(BinaryIO, opened)
            try:
                header = _read_npy_header(stream, member.file_size)
            except ValueError as error:
                raise ValueError(f"{member.filename!r} {error}") from error
            yield stream, header


def read_npz(path: Path, names: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
    """Read some arrays of an ``.npz`` file by name, each as ``read_npy`` would.

    Raises:
        OSError: it cannot be opened
        KeyError: it has no such array
        ValueError: it is no such file, damaged, or one of the arrays is none
    """
    with NpzFile(path) as archive:
        return archive.read(names)


@contextmanager
def _naming_damage() -> Iterator[None]:
    try:
        yield
    # zipfile raises all of these for a damaged or an encrypted archive, and for sizes of gigabytes.
    except (*_DAMAGE, MemoryError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"not a whole .npz file: {error}") from error


#: The file of a folder that holds the SHA-256 of its other files.
DIGESTS_NAME = "sha256.json"


def write_digests(folder: Path) -> None:
    """Write the SHA-256 of every file below a folder into ``sha256.json`` there, whole or not at all.

    Raises:
        OSError: a file cannot be read, or this one not be written
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != DIGESTS_NAME)
    whole = [path for path in paths if not _is_partial(path)]
    write_json(folder / DIGESTS_NAME, {path.relative_to(folder).as_posix(): hash_file(path) for path in whole})


def find_changed(folder: Path) -> list[str]:
    """Compare a folder's files with their SHA-256 in ``sha256.json``.

    Hidden files, which a desktop leaves, and half-written ones do not count: nothing loads a file of such a name.

    Returns:
        the path of each file that is missing, has changed or was added, and what is wrong with it; of an added folder
        its own path alone

    Raises:
        OSError: there is no ``sha256.json``, or it cannot be read
        ValueError: it holds something else
    """
    digests = read_json(folder / DIGESTS_NAME)
    if not isinstance(digests, dict) or not all(isinstance(digest, str) for digest in digests.values()):
        raise ValueError(f"holds {digests!r:.80}; expected an object of SHA-256 digests")
    # A name in it counts only if the folder has it: another one, such as '../x', could lead anywhere.
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    changed = []
    for name, digest in sorted(digests.items()):
        if fault := why_no_file(found[name], "is not there") if name in found else "is not there":
            changed.append(f"'{folder}/{name}' {fault}")
        elif hash_file(found[name]) != digest:
            changed.append(f"'{found[name]}' has changed since it was saved")
    known = {DIGESTS_NAME, *digests}
    folders = {".", *(parent.as_posix() for name in digests for parent in Path(name).parents)}
    for name, path in found.items():
        is_new = name not in known | folders and path.relative_to(folder).parent.as_posix() in folders
        if is_new and not path.name.startswith(".") and not _is_partial(path):
            changed.append(f"'{path}' was added since it was saved (remove it)")
    return changed


def _is_partial(path: Path) -> bool:
    return ".partial" in path.suffixes


@dataclass(frozen=True)
class _NpyHeader:
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: Any
    offset: int

    @property
    def num_values(self) -> int:
        return math.prod(self.shape)


def _read_npy_header(stream: BinaryIO, num_bytes: int) -> _NpyHeader:
    from numpy.lib import format as npy

    try:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"has format version {version[0]}.{version[1]}")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read(stream)
    # numpy's own reader of headers raises these besides ValueError.
    except (SyntaxError, TokenError, TypeError, RecursionError, MemoryError, EOFError) as error:
        raise ValueError(f"not a whole .npy file: {error}") from error
    if dtype.kind not in "biuf":
        raise ValueError(f"holds {dtype}; expected numbers")
    offset = stream.tell()
    found = num_bytes - offset
    if min(shape, default=0) < 0 or found != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"holds {found} bytes of numbers, which is not the {dtype.str} {shape} of its header")
    return _NpyHeader(dtype, shape, "F" if is_fortran else "C", offset)


class NoLocksError(HarnessError):
    """The file system of a file has no locks."""


def try_lock(descriptor: int, path: Path, *, is_shared: bool = False) -> bool:
    """Take the lock of an open file if nobody else holds it; closing the file releases it.

    Args:
        path: of the file, for the error
        is_shared: whether others may hold it in this way, too

    Returns:
        whether it is held now

    Raises:
        NoLocksError: the file system has no locks
        OSError: the lock cannot be taken for another reason
    """
    try:
        _lock(descriptor, path, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(descriptor: int, path: Path) -> None:
    """Take the lock of an open file as soon as nobody else holds it.

    Raises:
        NoLocksError: the file system has no locks
        OSError: the lock cannot be taken for another reason
    """
    _lock(descriptor, path, fcntl.LOCK_EX)


def _lock(descriptor: int, path: Path, operation: int) -> None:
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            # The system names no file: it knows the descriptor alone.
            error.filename = str(path)
            raise
        raise NoLocksError(
            f"'{path}': its file system locks no files ({error.strerror}), and two processes could write there at "
            "once; name a folder on a disk of this machine, or on a file system mounted with locks (flock)"
        ) from error
