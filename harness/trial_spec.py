"""What a job must know besides its point: one JSON file beside Auptimizer's own job file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import ExperimentFileError
from harness.files import write_json
from harness.splits import Protocol, read_protocol


def trial_spec_path(job_path: Path) -> Path:
    """Return where the spec of Auptimizer's job file ``job_path`` lies.

    Example:
        >>> trial_spec_path(Path("jobs/7.json")).name
        '7.trial.json'
    """
    return job_path.with_name(f"{job_path.stem}.trial.json")


@dataclass(frozen=True)
class TrialSpec:
    """Everything that a trial depends on, but for its hyperparameters.

    Attributes:
        seed: decides every random choice of the trial
        threads: processor threads that the trial may use
        word_vectors: a GloVe or word2vec file; None for vectors trained on the training text
    """

    trial_id: int
    eid: int
    trial_index: int
    seed: int
    system: str
    protocol: Protocol
    prepared_dir: Path
    results_db: Path
    max_epochs: int
    patience: int | None
    threads: int
    word_vectors: Path | None = None

    def write(self, path: Path) -> None:
        """Write the spec as JSON, whole or not at all."""
        write_json(
            path,
            {
                **asdict(self),
                "protocol": self.protocol.to_json(),
                "prepared_dir": str(self.prepared_dir),
                "results_db": str(self.results_db),
                "word_vectors": None if self.word_vectors is None else str(self.word_vectors),
            },
        )

    @classmethod
    def read(cls, path: Path) -> TrialSpec:
        """Read a spec.

        Raises:
            ExperimentFileError: the file is missing, or is not a trial's spec
        """
        try:
            value = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise ExperimentFileError(
                f"trial {path.name!r}: not found in {str(path.parent)!r}; expected the file that `aup` writes "
                "beside each job; start trials with `aup experiment.json`"
            ) from None
        except ValueError as error:
            raise ExperimentFileError(f"trial file {str(path)!r}: not JSON ({error})") from None
        try:
            return _from_json(value)
        except (KeyError, TypeError) as error:
            raise ExperimentFileError(f"trial file {str(path)!r}: not a trial's spec ({error})") from None


def _from_json(value: Mapping[str, Any]) -> TrialSpec:
    vectors = value["word_vectors"]
    return TrialSpec(
        **{
            **value,
            "protocol": protocol_from_json(value["protocol"]),
            "prepared_dir": Path(value["prepared_dir"]),
            "results_db": Path(value["results_db"]),
            "word_vectors": None if vectors is None else Path(vectors),
        }
    )


def protocol_from_json(value: Mapping[str, Any]) -> Protocol:
    """Read back what ``Protocol.to_json`` wrote.

    Example:
        >>> from harness.splits import PROTOCOLS
        >>> protocol_from_json(PROTOCOLS["strict"].to_json()) == PROTOCOLS["strict"]
        True
    """
    choices = {key: choice for key, choice in value.items() if key != "name"}
    return replace(read_protocol({"base": "paper", **choices}), name=value["name"])
