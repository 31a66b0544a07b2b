"""Auptimizer 2.0, light and quiet: the only module that imports it.

Importing Auptimizer imports TensorFlow, SciPy's optimisers, an SSH client and a log colourer, for parts
that this package never enters. Stand-ins take their places before the import.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from configparser import RawConfigParser
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

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
    """Put stand-ins in place of heavy modules; remove those outside Auptimizer afterwards: others may need them."""
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
    from aup.EE.Resource.AbstractResourceManager import AbstractResourceManager, _SupportResource
    from aup.ET.Connector.SQLiteConnector import SQLiteConnector
    from aup.Proposer import PROPOSERS, ProposerStatus, get_proposer
    from aup.Proposer.AbstractProposer import AbstractProposer
    from aup.setupdb import sqlite as database_setup

__all__ = [
    "AbstractProposer",
    "AbstractResourceManager",
    "BasicConfig",
    "Experiment",
    "JobTable",
    "ProposerStatus",
    "get_proposer",
    "register_proposer",
    "register_resource",
]

#: The highest ``n_parallel``. A choice: more jobs at once are a slip of the keyboard.
MAX_PARALLEL = 1024

USERNAME = "harness"


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


class JobTable(SQLiteConnector):  # type: ignore[misc]
    """Auptimizer's own database, in memory: one for each run of a controller; results.db outlives it.

    Args:
        num_parallel: jobs that run at once; Auptimizer wants a free row of its table of resources for each
        last_jid: the highest id that an earlier controller gave a job of this experiment, 0 where there was
            none; job files are named by these ids, so none is given twice
    """

    def __init__(self, num_parallel: int, last_jid: int) -> None:
        super().__init__(":memory:")
        # Auptimizer closes the connection in which it made its tables, and a database in memory goes with that.
        kept = SimpleNamespace(
            cursor=self.connector.cursor, commit=self.connector.commit, close=lambda: None
        )
        settings = RawConfigParser()
        settings["Auptimizer"] = {"SQLITE_FILE": ":memory:"}
        connect = database_setup._create_connection
        database_setup._create_connection = lambda path: kept
        try:
            database_setup.create_database(settings, [USERNAME], num_parallel, "localhost")
        finally:
            database_setup._create_connection = connect
        # At the end of each job Auptimizer looks for its attempts, among those of all jobs.
        self.cursor.execute("CREATE INDEX job_attempts_by_jid ON job_attempt (jid, num)")
        if last_jid:
            self.cursor.execute("INSERT INTO job (jid) VALUES (?)", (last_jid,))
        self.connector.commit()
