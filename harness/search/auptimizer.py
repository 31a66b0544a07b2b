"""Auptimizer 2.0, light and quiet: the only module that imports it.

Importing Auptimizer imports TensorFlow, SciPy's optimisers, an SSH client and a log colourer, for parts
that this package never enters. Stand-ins take their places before the import.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from configparser import RawConfigParser
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.errors import HarnessError, WorkFailedError

#: Module -> the names that Auptimizer takes from it.
_STAND_INS: Mapping[str, tuple[str, ...]] = {
    "aup.compression": (),
    "aup.compression.utils": ("translate_compression_config", "deserialize_compression_proposal"),
    "aup.EE.Resource.utils.curve_fitting": ("CurveModel",),
    "paramiko": ("SFTPClient",),
    "coloredlogs": ("install",),
}


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Hold the heavy modules' places; those outside Auptimizer are given back, for others may need them."""
    placed = [name for name in _STAND_INS if name not in sys.modules]
    for name in placed:
        module = ModuleType(name)
        for attribute in _STAND_INS[name]:
            setattr(module, attribute, None)
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in placed:
            if not name.startswith("aup."):
                del sys.modules[name]


# Auptimizer logs each of its defaults as a warning; what a user needs to know is said by this package.
logging.getLogger("aup").addHandler(logging.NullHandler())
logging.getLogger("aup").propagate = False

with _stand_ins():
    import aup
    from aup.aup import BasicConfig
    from aup.EE import Resource
    from aup.EE.Experiment import Experiment
    from aup.EE.Job import Job
    from aup.EE.Resource.AbstractResourceManager import AbstractResourceManager, _SupportResource
    from aup.ET.Connector import SQLiteConnector as connector_module
    from aup.Proposer import PROPOSERS, ProposerStatus, get_proposer
    from aup.Proposer.AbstractProposer import AbstractProposer
    from aup.setupdb import sqlite as database_setup

#: The SQLite module as Auptimizer uses it.
_sqlite: Any = connector_module.sqlite3

#: What Auptimizer raises where its own database cannot be used.
DatabaseError: type[Exception] = _sqlite.Error

__all__ = [
    "AbstractProposer",
    "AbstractResourceManager",
    "BasicConfig",
    "DatabaseError",
    "Experiment",
    "Job",
    "ProposerStatus",
    "SearchConnector",
    "explain",
    "get_proposer",
    "open_environment",
    "register_proposer",
    "register_resource",
]

#: Jobs that one environment can carry at once. Auptimizer's rows of resources are made once, and
#: n_parallel may grow later.
MAX_PARALLEL = 1024

USERNAME = "harness"
_DATABASE_NAME = "sqlite.db"


def register_proposer(key: str, proposer: type) -> None:
    """Let ``"proposer": key`` of an experiment mean the class ``proposer``."""
    module_name = proposer.__name__
    _place_module(aup.Proposer, module_name, proposer)
    PROPOSERS[key] = module_name


def register_resource(key: str, resource_manager: type) -> None:
    """Let ``"resource": key`` of an experiment mean the class ``resource_manager``."""
    module_name = resource_manager.__name__
    _place_module(Resource, module_name, resource_manager)
    _SupportResource[key] = module_name


def _place_module(package: ModuleType, name: str, content: type) -> None:
    module = ModuleType(f"{package.__name__}.{name}")
    setattr(module, name, content)
    sys.modules[module.__name__] = module
    setattr(package, name, module)


class SearchConnector(connector_module.SQLiteConnector):  # type: ignore[misc]
    """Auptimizer's connection to its own database, which waits for locks and forgets no job."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        # One experiment has this database to itself; a browser that someone opened may still read it.
        self.connector.execute("PRAGMA busy_timeout = 30000")
        self.connector.execute("PRAGMA journal_mode = WAL")
        self.connector.execute("PRAGMA synchronous = NORMAL")

    def start_experiment_by_eid(self, eid: int) -> None:
        """Go on with an experiment; Auptimizer's own would delete its jobs and give their ids again."""
        self.change_experiment_status(eid, "RUNNING")

    def skip_jobs(self, last_jid: int) -> None:
        """Give no job an id up to ``last_jid`` again, although these books, made anew, know none of them.

        The last of them is entered as an open job, to be closed like any other.
        """
        self.cursor.execute(
            "INSERT INTO job (jid, start_time, status) SELECT ?, strftime('%s', 'now'), 'RUNNING' WHERE ? > "
            "(SELECT coalesce(max(jid), 0) FROM job)",
            (last_jid, last_jid),
        )
        self.connector.commit()

    def get_available_resource(self, username: str, rtype: str, rid_blacklist: set[int] | None = None) -> list[int]:
        """Return one free row: all are alike, and Auptimizer would read all of them to choose one."""
        self.cursor.execute("SELECT rid FROM resource WHERE status = 'free' AND type = ? LIMIT 1", (rtype,))
        return [rid for (rid,) in self.cursor.fetchall()]

    def add_missing_resources(self) -> None:
        """Have a row for each job that may run at once; books that an earlier version made have fewer."""
        self.cursor.execute("SELECT count(*) FROM resource WHERE type = 'cpu'")
        missing = MAX_PARALLEL - self.cursor.fetchone()[0]
        if missing > 0:
            self.cursor.executemany(
                "INSERT INTO resource (name, type, status) VALUES ('localhost', 'cpu', 'free')", [()] * missing
            )
            self.connector.commit()

    def open_jobs(self) -> list[int]:
        """Return the jobs (jid) whose end has not been told, or not in full."""
        self.cursor.execute(
            "SELECT jid FROM job WHERE status = 'RUNNING' OR end_time IS NULL "
            "UNION SELECT jid FROM job_attempt WHERE end_time IS NULL ORDER BY jid"
        )
        return [jid for (jid,) in self.cursor.fetchall()]


def explain(folder: Path, error: Exception) -> HarnessError:
    """Say in one sentence what became of Auptimizer's own database in ``folder``, and what to do."""
    # The low byte of an extended code is its family.
    family = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    database = f"Auptimizer's own database in '{folder}'"
    if family in (_sqlite.SQLITE_FULL, _sqlite.SQLITE_IOERR):
        return HarnessError(
            f"{database}: the disk did not take the write ({error}); what was recorded before is safe; free "
            "some space and start again"
        )
    if family in (_sqlite.SQLITE_BUSY, _sqlite.SQLITE_LOCKED):
        return HarnessError(
            f"{database}: another process kept it locked for longer than this one waits; end that process, and "
            "start again"
        )
    if family in (_sqlite.SQLITE_READONLY, _sqlite.SQLITE_CANTOPEN, _sqlite.SQLITE_PERM):
        return HarnessError(
            f"{database}: cannot be written ({error}); make the folder and what is in it writable, and start again"
        )
    return WorkFailedError(
        f"{database}: cannot be used ({error}); results.db has all that matters: delete that folder, and start again"
    )


def open_environment(folder: Path) -> tuple[SearchConnector, int | None]:
    """Open an experiment's own Auptimizer environment, made without a question where there is none.

    Args:
        folder: of one experiment; gets ``env.ini`` and the database

    Returns:
        the connection, and the experiment's id in that database; None before its first start
    """
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / _DATABASE_NAME
    if not database.exists():
        # Auptimizer drops the tables that it finds: it is only ever given a name of its own.
        partial = folder / f"{_DATABASE_NAME}.{os.getpid()}.partial"
        _create_database(partial)
        # Before the database, which says that all is there. A path need not be text.
        with (folder / "env.ini").open("w", encoding="utf-8", errors="surrogateescape") as stream:
            # Auptimizer reads it with interpolation.
            _environment(Path(str(database).replace("%", "%%"))).write(stream)
        os.replace(partial, database)
    connector = SearchConnector(database)
    connector.add_missing_resources()
    known: list[Any] = connector.get_all_experiment()
    return connector, known[-1] if known else None


def _create_database(path: Path) -> None:
    """Have Auptimizer make its tables; the disk is waited for once, and not after each of its statements."""
    connect = database_setup._create_connection

    def connect_unsynchronised(path: str | Path) -> Any:
        connection = connect(path)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    database_setup._create_connection = connect_unsynchronised
    try:
        database_setup.create_database(_environment(path), [USERNAME], MAX_PARALLEL, "localhost")
    finally:
        database_setup._create_connection = connect
    with closing(connect_unsynchronised(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        # At the end of each job Auptimizer looks for its attempts, among those of all jobs.
        connection.execute("CREATE INDEX job_attempts_by_jid ON job_attempt (jid, num)")
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _environment(database: Path) -> RawConfigParser:
    config = RawConfigParser()
    config.optionxform = str  # type: ignore[assignment,method-assign]
    config["Auptimizer"] = {"SQL_ENGINE": "sqlite", "SQLITE_FILE": str(database)}
    return config
