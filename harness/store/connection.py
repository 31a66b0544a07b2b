"""Opening results.db, by any number of processes at once; SQLite's errors as one sentence each."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.corpus.utterances import Seconds
from harness.errors import StoreError
from harness.files import try_lock
from harness.store.datasette import METADATA_NAME, write_metadata
from harness.store.schema import APPLICATION_ID, MIGRATIONS, Database, migration_names

#: Longer than any of our transactions; another program's backup or a slow disk may need this much.
BUSY_TIMEOUT: Seconds = 30.0
_LOCK_POLL: Seconds = 0.05
#: What the lock's file holds once the database beside it has been made.
_CREATED = b"created\n"


@contextmanager
def translate_error(path: Path) -> Iterator[None]:
    """Turn SQLite's errors about the database at ``path`` into ``StoreError`` sentences."""
    try:
        yield
    except sqlite3.Error as error:
        if _family_of(error) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise _damaged(path, str(error)) from error
        raise StoreError(_describe(path, error)) from error
    except UnicodeDecodeError as error:
        # SQLite quotes the damaged part in its message, which Python then cannot read.
        raise _damaged(path, "a text is not UTF-8") from error
    except (OverflowError, UnicodeEncodeError) as error:
        found = "a whole number of more than 64 bits"
        if isinstance(error, UnicodeEncodeError):
            found = f"the text {error.object!r:.80}"
        raise StoreError(
            f"results database '{path}': {found} cannot be stored; expected whole numbers of at most 64 bits, and "
            "texts of whole characters"
        ) from error


def _damaged(path: Path, damage: str) -> StoreError:
    return StoreError(
        f"results database '{path}': damaged ({damage}); expected a SQLite file written by harness; restore a copy, or "
        "move it away to start anew"
    )


def _family_of(error: sqlite3.Error) -> int:
    """Return the family of an error: the low byte of its extended code; 0 of one without a code."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _describe(path: Path, error: sqlite3.Error) -> str:
    family = _family_of(error)
    if family in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return (
            f"results database '{path}': another process kept it locked for longer than this one waits; "
            "end that process, or try again"
        )
    if family in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return (
            f"results database '{path}': cannot be written ({error}); make the file and its folder "
            "writable, or name another folder"
        )
    if family in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return (
            f"results database '{path}': the disk did not take the write ({error}); recorded trials "
            "are safe; free some space and run the same command again"
        )
    return (
        f"results database '{path}': could not be used ({error}); expected tables that harness alone writes; "
        "restore a copy, or move it away to start anew"
    )


def connect(path: Path, busy_timeout: Seconds = BUSY_TIMEOUT) -> Database:
    """Open the database for reading and writing; create it and bring its schema up to date where needed.

    Raises:
        StoreError: damaged, read-only, locked, another program's, or another version's
    """
    # Before anything is made in its folder.
    has_database(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _creation_lock(path, busy_timeout) as lock, translate_error(path):
            if not has_database(path):
                # What was there has been moved away: the one that is made now has held nothing yet.
                os.ftruncate(lock, 0)
            database = _open_current(path, busy_timeout)
            if not os.fstat(lock).st_size:
                os.write(lock, _CREATED)
            return database
    except OSError as error:
        raise StoreError(
            f"results database '{path}': its folder cannot be written ({error.strerror}); make it writable, "
            "or name another folder"
        ) from error


@contextmanager
def _creation_lock(path: Path, patience: Seconds) -> Iterator[int]:
    """Let one process at a time create or migrate; the system frees the lock of a process that dies.

    Yields:
        the lock's file descriptor
    """
    lock_path = _lock_path(path)
    descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        deadline = time.monotonic() + patience
        while not try_lock(descriptor, lock_path):
            if time.monotonic() > deadline:
                raise StoreError(
                    f"results database '{path}': another process has been creating it for "
                    f"{patience:g} s; end the process that holds '{lock_path}'"
                )
            time.sleep(_LOCK_POLL)
        yield descriptor
    finally:
        os.close(descriptor)


def has_database(path: Path) -> bool:
    """Return whether there is a file at the database's place; every command judges a results folder by this.

    Raises:
        StoreError: something else is there, or a file that has lost all it held: to SQLite, no bytes are a new
            database, and a link to nothing is one too
    """
    try:
        found = path.stat()
    except OSError as error:
        for link in (path, *path.parents):
            if os.path.islink(link) and not os.path.exists(link):
                what = "" if link == path else f"its folder '{link}' "
                raise StoreError(
                    f"results database '{path}': {what}is a symbolic link to '{os.readlink(link)}', which is not "
                    "there; expected a SQLite file written by harness; restore what the link leads to, or move the "
                    "link away to start anew"
                ) from error
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return False
        raise StoreError(
            f"results database '{path}': cannot be read ({error.strerror}); make its folder readable, or name another"
        ) from error
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise _damaged(path, f"it is {what}")
    if not found.st_size and _lock_path(path).is_file() and _lock_path(path).stat().st_size:
        raise _damaged(path, "0 bytes, and it has held results before")
    return True


def _lock_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _open_current(path: Path, busy_timeout: Seconds) -> Database:
    connection = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)
    try:
        database = Database(connection, recursive_triggers=False, execute_plugins=False)
        is_current = _applied_migrations(path, database) == migration_names()
        if not is_current:
            _migrate(database)
        if not is_current or not path.with_name(METADATA_NAME).exists():
            # Datasette alone reads it: where none can be written now, a later opening writes it.
            with suppress(OSError):
                write_metadata(path, database)
        database.execute("PRAGMA foreign_keys = ON")
        return database
    except BaseException:
        connection.close()
        raise


def _migrate(database: Database) -> None:
    """Create or upgrade the schema in one transaction, so that readers see all of it or nothing."""
    database.enable_wal()
    database.execute("BEGIN IMMEDIATE")
    try:
        MIGRATIONS.apply(database)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.commit()
    except BaseException:
        database.rollback()
        raise
    # Otherwise the log of a new database is longer than that of a small search.
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _applied_migrations(path: Path, database: Database) -> tuple[str, ...]:
    """Return the names of the migrations that have been applied, in order; none for an empty file.

    Raises:
        StoreError: another program's database, or the schema of another version of harness
    """
    mark = int(database.execute("PRAGMA application_id").fetchone()[0])
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    is_empty = not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if mark != APPLICATION_ID:
        if is_empty and not version:
            return ()
        raise StoreError(
            f"results database '{path}': a SQLite file of another program; expected one written by harness; "
            "name another folder"
        )
    if version:
        # Before the first release, versions were counted there.
        raise StoreError(
            f"results database '{path}': written by an unreleased harness (schema {version}); expected one of this "
            "version; move its folder away and run the search again"
        )
    known, applied = migration_names(), {migration.name for migration in MIGRATIONS.applied(database)}
    unknown = sorted(applied - set(known))
    if unknown:
        raise StoreError(
            f"results database '{path}': written by a newer harness (schema {unknown[-1]!r}; this one reads up to "
            f"{known[-1]!r}); upgrade harness"
        )
    return tuple(name for name in known if name in applied)


def has_tables(path: Path, busy_timeout: Seconds = BUSY_TIMEOUT) -> bool:
    """Return True where there is a database that this version reads, be its schema an older one; nothing is written.

    Returns:
        False where there is none, or one that another process is making

    Raises:
        StoreError: it cannot be read, or is another program's or another version's
    """
    if not has_database(path):
        return False
    with translate_error(path):
        database = open_unwritten(path, busy_timeout)
        try:
            return bool(_applied_migrations(path, database))
        finally:
            database.close()


def connect_readonly(path: Path, busy_timeout: Seconds = BUSY_TIMEOUT) -> Database:
    """Open an existing database so that nothing can be written.

    An older schema is read as it stands, and whoever writes brings it up to date: so readers of the tables that
    later migrations add must do without them. The tables are made first where the file holds none.

    Raises:
        StoreError: there is none, or it cannot be read
    """
    if not has_database(path):
        raise StoreError(
            f"results database '{path}': not found; expected the folder of a search that has been started; "
            "run aup first"
        )
    with translate_error(path):
        database = open_unwritten(path, busy_timeout)
        try:
            applied = _applied_migrations(path, database)
            if applied and applied == migration_names()[: len(applied)]:
                return database
        except BaseException:
            database.close()
            raise
        database.close()
        connect(path, busy_timeout).close()
        return connect_readonly(path, busy_timeout)


def open_unwritten(path: Path, busy_timeout: Seconds = BUSY_TIMEOUT) -> Database:
    """Open any SQLite file so that nothing can be written to it, even where its folder cannot be.

    Raises:
        sqlite3.Error: it cannot be read
    """
    # WAL needs its side files even to read: where the folder takes none, the file is read as immutable.
    for options in ("mode=rw", "mode=ro&immutable=1"):
        uri = f"{path.absolute().as_uri()}?{options}"
        connection = sqlite3.connect(uri, timeout=busy_timeout, isolation_level=None, uri=True)
        try:
            database = Database(connection, recursive_triggers=False, execute_plugins=False)
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            database.execute("PRAGMA query_only = ON")
            return database
        except sqlite3.OperationalError as error:
            connection.close()
            if options == "mode=rw" and _family_of(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                continue
            raise
        except BaseException:
            connection.close()
            raise
    raise AssertionError("unreachable: the last way of opening returns or raises")
