"""Writing to results.db: short transactions, each row with one writer, what is final never changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Self

from harness.corpus.utterances import Seconds
from harness.errors import StoreError, unknown_name
from harness.store.connection import BUSY_TIMEOUT, connect
from harness.store.records import (
    EpochRecord,
    ExperimentRecord,
    ExperimentStatus,
    Hyperparameter,
    TrialEnvironment,
    TrialResult,
    TrialStatus,
    utc_now,
)
from harness.store.remote import RemoteTrialsStore, TrialRecords, insert_records
from harness.store.writing import (
    Durability,
    check_finite,
    insert,
    insert_environment,
    insert_epoch,
    insert_hyperparameters,
    insert_result,
)

#: The last of a job's output that is kept, in characters.
MAX_LAST_OUTPUT = 4000


class ResultsStore(RemoteTrialsStore):
    """One connection to results.db, in one thread; any number of processes have their own.

    The controller starts and finishes trials. The trial's own process records what it ran in, its
    epochs and its result, only while the trial is running: a trial that was given up writes nothing more.

    Example:
        >>> import tempfile
        >>> with ResultsStore.open(Path(tempfile.mkdtemp()) / "results.db") as store:
        ...     print(store.latest_experiment())
        None
    """

    @classmethod
    def open(cls, path: Path, busy_timeout: Seconds = BUSY_TIMEOUT) -> Self:
        """Open the database, created and brought up to date where needed; many processes may at once.

        Args:
            path: of results.db; its folder is made
            busy_timeout: seconds to wait for another process's lock before giving up

        Raises:
            StoreError: damaged, read-only, locked, another program's, or a newer version's
        """
        return cls(path, connect(path, busy_timeout))

    def create_experiment(self, experiment: ExperimentRecord) -> int:
        """Record a new experiment, and return its ``eid``.

        Raises:
            StoreError: ``target`` is neither ``"max"`` nor ``"min"``, or a JSON text is none
        """
        if experiment.target not in ("max", "min"):
            raise StoreError(
                f"experiment {experiment.name!r}: target {experiment.target!r}; "
                "expected one of ['max', 'min']"
            )
        for field in ("protocol", "search_space", "settings"):
            _check_json(experiment.name, field, getattr(experiment, field))
        with self.writing() as database:
            return insert(database, "experiments", asdict(experiment))

    def update_experiment(
        self, eid: int, status: ExperimentStatus | str, ended_at: str | None = None
    ) -> None:
        """Say how an experiment stands; going on with it clears ``ended_at``.

        Raises:
            StoreError: no such ``eid``
            UnknownNameError: no such status
        """
        if status not in list(ExperimentStatus):
            raise unknown_name("experiment status", str(status), [known.value for known in ExperimentStatus])
        self._change_experiment(eid, {"status": str(status), "ended_at": ended_at})

    def resume_experiment(self, eid: int, num_samples: int, settings: str) -> None:
        """Say that an experiment goes on, with perhaps more trials than it was begun with.

        Args:
            settings: the experiment file as it is now, a JSON text

        Raises:
            StoreError: no such ``eid``, or ``settings`` is no JSON text
        """
        _check_json(self.experiment(eid).name, "settings", settings)
        status = ExperimentStatus.RUNNING.value
        changes = {"status": status, "ended_at": None, "num_samples": num_samples, "settings": settings}
        self._change_experiment(eid, changes)

    def _change_experiment(self, eid: int, changes: Mapping[str, object]) -> None:
        places = ", ".join(f"{column} = ?" for column in changes)
        with self.writing() as database:
            changed = database.execute(
                f"UPDATE experiments SET {places} WHERE eid = ?", [*changes.values(), eid]
            )
            if changed.rowcount == 0:
                raise StoreError(
                    f"experiment {eid}: not in '{self.path}'; expected one that create_experiment returned"
                )

    def start_trial(
        self,
        eid: int,
        trial_index: int,
        seed: int,
        hyperparameters: Mapping[str, Hyperparameter],
        jid: int | None = None,
    ) -> int:
        """Record that a trial is about to run, and return its ``trial_id``.

        The disk is not waited for: a power loss that takes the record takes the trial with it.

        Raises:
            StoreError: no such ``eid``, the trial index is running or finished already, or a
                hyperparameter's name cannot be a column
        """
        with self.writing(Durability.PROCESS_END) as database:
            self.experiment(eid)
            attempts = self._query(
                "SELECT attempt, status FROM trials WHERE eid = ? AND trial_index = ?", [eid, trial_index]
            )
            for row in attempts:
                if row["status"] in (TrialStatus.RUNNING, TrialStatus.FINISHED):
                    raise StoreError(
                        f"trial index {trial_index} of experiment {eid}: is {row['status']} already; only a "
                        "trial that failed or was interrupted can be started again"
                    )
            trial_id = insert(
                database,
                "trials",
                {
                    "eid": eid,
                    "trial_index": trial_index,
                    "attempt": 1 + max((row["attempt"] for row in attempts), default=0),
                    "seed": seed,
                    "jid": jid,
                    "hyperparameters": json.dumps(dict(hyperparameters)),
                    "status": TrialStatus.RUNNING.value,
                    "started_at": utc_now(),
                },
            )
            insert_hyperparameters(database, trial_id, hyperparameters)
            return trial_id

    def record_job(
        self,
        trial_id: int,
        pid: int,
        host: str,
        process_started_at: float | None = None,
        job_path: str | None = None,
    ) -> None:
        """Record which process carries a trial, so that whoever comes after a dead controller can find it.

        The trial begins with it: it may have waited for a machine until now. The disk is not waited for, as in
        ``start_trial``.

        Args:
            process_started_at: seconds since the epoch of Unix as the operating system tells it
            job_path: kept relative where it lies below the folder of results.db, which may be moved

        Raises:
            StoreError: the trial is not running
        """
        with self.writing_for(trial_id, Durability.PROCESS_END) as database:
            database.execute(
                "UPDATE trials SET pid = ?, host = ?, process_started_at = ?, job_path = ?, started_at = ? "
                "WHERE trial_id = ?",
                [pid, host, process_started_at, self._path_to_store(job_path), utc_now(), trial_id],
            )

    def record_environment(self, trial_id: int, environment: TrialEnvironment) -> None:
        """Record what a trial runs in; called by the trial's own process."""
        with self.writing_for(trial_id) as database:
            insert_environment(database, trial_id, environment)

    def record_epoch(self, trial_id: int, epoch: EpochRecord) -> None:
        """Record one epoch as it ends; called by the trial's own process.

        Raises:
            StoreError: the trial has ended, or that epoch is recorded already
        """
        with self.writing_for(trial_id) as database:
            insert_epoch(database, trial_id, epoch)

    def record_result(self, trial_id: int, result: TrialResult) -> None:
        """Record what a trial that trained to its end found; its status stays with the controller.

        Raises:
            StoreError: the trial has ended or has its result already, or the score is not finite
        """
        check_finite(trial_id, result.score)
        with self.writing_for(trial_id) as database:
            insert_result(database, trial_id, result)

    def finish_trial(
        self,
        trial_id: int,
        status: TrialStatus,
        score: float | None = None,
        message: str | None = None,
        exit_code: int | None = None,
        signal: int | None = None,
        last_output: str | None = None,
        records: TrialRecords | None = None,
    ) -> None:
        """End a trial, once: how, and with which score or for what cause.

        Args:
            status: any but ``RUNNING``
            score: finite; for ``FINISHED`` only
            last_output: its last 4000 characters are kept
            records: of a trial that ran elsewhere, all that its own process recorded there; what is not there
                as live epochs of the same execution is recorded with its end, whole or not at all

        Raises:
            StoreError: the trial has ended already, or score and status contradict each other
        """
        if status is TrialStatus.RUNNING or (status is TrialStatus.FINISHED) != (score is not None):
            raise StoreError(
                f"trial {trial_id}: cannot end as {status.value!r} with score {score}; expected a score with "
                "'finished' and none with any other end"
            )
        if score is not None:
            check_finite(trial_id, score)
        with self.writing_for(trial_id) as database:
            if records is not None:
                is_live = self._executions.get(trial_id) == records.execution
                insert_records(database, trial_id, records, has_live_epochs=is_live)
            database.execute(
                "UPDATE trials SET status = ?, score = ?, message = ?, exit_code = ?, signal = ?, "
                "last_output = ?, ended_at = ? WHERE trial_id = ?",
                [
                    status.value,
                    score,
                    message,
                    exit_code,
                    signal,
                    None if last_output is None else last_output[-MAX_LAST_OUTPUT:],
                    utc_now(),
                    trial_id,
                ],
            )
        self._executions.pop(trial_id, None)

    def _path_to_store(self, path: str | None) -> str | None:
        if path is None:
            return None
        absolute, results_dir = Path(path).absolute(), self.path.absolute().parent
        return str(absolute.relative_to(results_dir) if absolute.is_relative_to(results_dir) else absolute)


def _check_json(name: str, field: str, text: str) -> None:
    try:
        json.loads(text)
    except (TypeError, ValueError):
        raise StoreError(f"experiment {name!r}: {field} is {text!r:.80}; expected a JSON text") from None
