"""The standard streams of a command: in any encoding, full, closed, or left by their reader."""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
from typing import Any

#: Signs of this package's own texts that many encodings lack.
_PLAIN = {"±": "+-", "–": "-", "—": "-", "…": "..."}

_SPELL = "harness.spell"


def _spell(error: UnicodeError) -> tuple[str, int]:
    """Write what an encoding lacks in plain signs, or as JSON spells it: ``\\u2603``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    written = []
    for character in error.object[error.start : error.end]:
        units = character.encode("utf-16-be", "surrogatepass").hex()
        spelt = "".join(f"\\u{units[place:place + 4]}" for place in range(0, len(units), 4))
        written.append(_PLAIN.get(character, spelt))
    return "".join(written), error.end


class _Descriptor(io.FileIO):
    """A standard stream that remembers why it took no more, and then takes everything without a trace.

    So the work of a command goes on, and its end says what became of its output.

    Args:
        is_closed: whether whoever began the command had closed it, so that the null device is in its place

    Attributes:
        failure: the first error; None as long as everything was written
    """

    def __init__(self, descriptor: int, *, is_closed: bool = False) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.failure: OSError | None = None
        self._is_closed = is_closed

    def write(self, data: Any) -> int:
        """Write all of ``data``, in as many pieces as the system takes."""
        left = memoryview(data).cast("B")
        num_bytes = len(left)
        # Known from the beginning, but no fault of a command that writes nothing here.
        if num_bytes and self._is_closed and self.failure is None:
            self.failure = OSError(errno.EBADF, "it is closed")
        while left and self.failure is None:
            try:
                num_written = super().write(left)
            except OSError as error:
                self.failure = error
                _open_nothing(self.fileno())
                break
            if num_written is None:
                # Whoever opened the descriptor set it not to wait.
                select.select([], [self.fileno()], [])
            left = left[num_written or 0 :]
        return num_bytes


def _open_nothing(descriptor: int) -> None:
    """Put the null device in a descriptor's place, so that no other file can come to lie there."""
    null = os.open(os.devnull, os.O_RDWR)
    if null != descriptor:
        os.dup2(null, descriptor)
        os.close(null)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def takes_output() -> bool:
    """Return whether standard output still takes what is written; a command without an end asks after each line."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", getattr(sys.stdout, "buffer", None))
    return not isinstance(raw, _Descriptor) or raw.failure is None


class StandardStreams:
    """Standard output and standard error for one command; neither can end it.

    A stream that somebody else has put in place, as a test does, stays.
    """

    def __init__(self) -> None:
        codecs.register_error(_SPELL, _spell)
        if not _is_open(0):
            _open_nothing(0)
        self._output = _replace("stdout", 1)
        _replace("stderr", 2)

    def close(self) -> OSError | None:
        """Write what is left, and return why standard output took no more; None where it took everything."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        return None if self._output is None else self._output.failure


def _replace(name: str, descriptor: int) -> _Descriptor | None:
    stream = getattr(sys, name)
    if stream is not getattr(sys, f"__{name}__"):
        return None
    raw: _Descriptor
    if stream is None or not _is_open(descriptor):
        _open_nothing(descriptor)
        raw = _Descriptor(descriptor, is_closed=True)
    elif isinstance(stream, io.TextIOWrapper):
        stream.flush()
        raw = _Descriptor(descriptor)
    else:
        return None
    is_direct = stream is not None and stream.write_through
    text = io.TextIOWrapper(
        raw if is_direct else io.BufferedWriter(raw),
        encoding=None if stream is None else stream.encoding,
        errors=_SPELL,
        line_buffering=stream is None or stream.line_buffering,
        write_through=is_direct,
    )
    setattr(sys, name, text)
    return raw
