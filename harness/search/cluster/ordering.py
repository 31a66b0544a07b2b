"""What a search expects of its workers, and the orders that they get."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from harness.features.manifest import MANIFEST_NAME, Manifest
from harness.files import hash_file, read_json
from harness.search.backend import SearchContext
from harness.search.cluster.enlisting import installed_versions
from harness.search.cluster.feature_sender import FeatureSender
from harness.search.cluster.link import SchedulerLink
from harness.search.cluster.order import Expectations, ExpectedFeatures, JobOrder, ScriptOrder, TrainingOrder
from harness.search.cluster.plain import to_plain
from harness.search.outcome import TrialJob
from harness.search.proposer import trial_seed
from harness.splits.protocol import search_sessions
from harness.store.records import ExperimentRecord

#: The Dask resource whose workers let a trial see their graphics cards. Source: Dask's manual.
_CARDS = "GPU"


class OrderMaker:
    """Makes the orders of one search; reads what all of them share once.

    Attributes:
        expectations: what a worker must have to get one
        taken: the Dask worker resources that one takes
    """

    def __init__(self, context: SearchContext, topic: str) -> None:
        self._context, self._topic = context, topic
        settings = context.settings
        assert settings.cluster is not None
        self.expectations = Expectations(
            versions=installed_versions(with_training=settings.training is not None),
            resources=dict(settings.cluster.resources),
            features=self._expected_features(),
        )
        self.taken = self.expectations.taken
        self._digest = self.expectations.digest
        command = settings.script.command
        is_python = command[0] == sys.executable
        self._script = ScriptOrder(
            path=str(settings.script.path),
            working_dir=str(settings.script.working_dir),
            arguments=tuple(command[2 if is_python else 1 :]),
            is_python=is_python,
            content=settings.script.path.read_bytes(),
        )
        experiment = context.store.experiment(context.eid)
        self._experiment: dict[str, Any] = {
            field.name: to_plain(getattr(experiment, field.name)) for field in fields(ExperimentRecord)
        }

    def order_for(self, trial: TrialJob) -> JobOrder:
        """Return the order of one attempt at one trial."""
        settings = self._context.settings
        values = read_json(trial.job_path)
        return JobOrder(
            trial_id=trial.trial_id,
            trial_index=trial.trial_index,
            jid=trial.jid,
            values=values,
            script=self._script,
            environment=dict(settings.job_environment),
            mark=self._context.folder.mark,
            sees_cards=_CARDS in self.expectations.resources,
            timeout_seconds=settings.limits.timeout_seconds,
            memory_bytes=settings.limits.memory_bytes,
            digest=self._digest,
            topic=self._topic,
            training=self._training_order(trial),
        )

    def feature_sender(self, name: str, link: SchedulerLink) -> FeatureSender | None:
        """Return what sends the features to workers that have them not; None where trials read none."""
        features = self.expectations.features
        return None if features is None else FeatureSender(name, link, features)

    def _training_order(self, trial: TrialJob) -> TrainingOrder | None:
        training, prepared = self._context.settings.training, self._context.prepared
        if training is None or prepared is None:
            return None
        return TrainingOrder(
            experiment=self._experiment,
            seed=trial_seed(self._context.settings.seed, trial.trial_index),
            system=training.system.name,
            protocol=training.protocol.to_json(),
            max_epochs=prepared.max_epochs,
            patience=prepared.patience,
        )

    def _expected_features(self) -> ExpectedFeatures | None:
        training, prepared = self._context.settings.training, self._context.prepared
        if training is None or prepared is None:
            return None
        vectors: Path | None = training.word_vectors
        prepared_dir = prepared.prepared_dir.absolute()
        return ExpectedFeatures(
            prepared_dir=str(prepared_dir),
            manifest_hash=hash_file(prepared_dir / MANIFEST_NAME),
            corpus_hash=Manifest.read(prepared_dir).corpus_hash,
            sessions=search_sessions(training.protocol),
            word_vectors=None if vectors is None else str(vectors.absolute()),
            word_vectors_hash=None if vectors is None else hash_file(vectors),
        )
