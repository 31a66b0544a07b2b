"""Auxiliary corpora: turns of other corpora whose words a system is trained on beside its own corpus's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.corpus.layout import SESSIONS
from harness.corpus.utterances import Happiness
from harness.errors import FeatureError
from harness.features.store import Features, FeatureStore
from harness.splits.protocol import SEALED_SESSION

#: The sessions of an auxiliary corpus that are trained on; the other is the test set of experiments on that corpus.
AUXILIARY_SESSIONS = tuple(session for session in SESSIONS if session != SEALED_SESSION)


class AuxiliaryTraining(StrEnum):
    """When a system is trained on the turns of auxiliary corpora."""

    TOGETHER = "together"  # in every epoch, among the corpus's own utterances
    FIRST = "first"  # some epochs before the first epoch on the corpus's own


@dataclass(frozen=True)
class AuxiliaryCorpora:
    """The auxiliary corpora of a training.

    Attributes:
        prepared_dirs: their prepared features, one folder each
        corpus_hashes: SHA-256 over the content of each, as it was when the search began
        num_epochs: the epochs of ``AuxiliaryTraining.FIRST``; validation does not choose them
    """

    prepared_dirs: tuple[Path, ...]
    corpus_hashes: tuple[str, ...]
    training: AuxiliaryTraining
    num_epochs: int

    @classmethod
    def open(
        cls, prepared_dirs: Sequence[Path], training: AuxiliaryTraining, num_epochs: int
    ) -> AuxiliaryCorpora:
        """Take prepared features with the content that they have now.

        Raises:
            FeatureError: some are missing, or their manifest is damaged
        """
        hashes = [FeatureStore.open(prepared_dir).corpus_hash for prepared_dir in prepared_dirs]
        return cls(tuple(prepared_dirs), tuple(hashes), training, num_epochs)

    def check_content(self) -> None:
        """Refuse corpora that have changed since the search began.

        Raises:
            FeatureError: the prepared features of one are now of other content, missing or damaged
        """
        self._open_stores(Happiness.EXCITED)

    def _open_stores(self, happiness: Happiness) -> list[FeatureStore]:
        stores = [FeatureStore.open(prepared_dir, happiness) for prepared_dir in self.prepared_dirs]
        for store, prepared_dir, corpus_hash in zip(stores, self.prepared_dirs, self.corpus_hashes, strict=True):
            manifest = store.manifest
            if manifest.corpus_hash != corpus_hash:
                raise FeatureError(
                    f"auxiliary corpus {manifest.corpus_path!r}: was trained on as {corpus_hash[:12]}, and its "
                    f"prepared features at {str(prepared_dir)!r} are now of {manifest.corpus_hash[:12]}; restore its "
                    "files and prepare it again, or search again with `aup experiment.json`"
                )
        return stores

    def load(self, happiness: Happiness) -> Features:
        """Return their four-class turns, without sound and motion. Session 5 of each of them stays sealed.

        Raises:
            FeatureError: as ``check_content``, or there is no turn of the four classes
        """
        parts = []
        for store in self._open_stores(happiness):
            turns = store.utterances(AUXILIARY_SESSIONS)
            if not turns:
                raise FeatureError(
                    f"auxiliary corpus {store.manifest.corpus_path!r}: has no turn of the four classes in Sessions 1 "
                    "to 4; expected at least one"
                )
            parts.append(store.load([turn.utterance_id for turn in turns]))
        return join_words(*parts)

    def identity(self) -> dict[str, Any]:
        """Return everything of them that changes a training's numbers, as plain values."""
        return {"corpora": list(self.corpus_hashes), "training": self.training.value, "num_epochs": self.num_epochs}

    def describe(self, num_turns: int) -> str:
        """Say in a phrase how many turns of which corpora are trained on, and when."""
        names = [Path(FeatureStore.open(prepared_dir).manifest.corpus_path).name for prepared_dir in self.prepared_dirs]
        when = f"for {self.num_epochs} epochs before" if self.training is AuxiliaryTraining.FIRST else "together with"
        return f"{num_turns} turns of auxiliary corpora ({', '.join(names)}), {when} the corpus's own utterances"


def join_words(*parts: Features) -> Features:
    """Return the utterances of several features, one after the other, with their words and labels alone.

    Utterances of different corpora may have the same id.
    """
    first = parts[0]
    utterances = [utterance for part in parts for utterance in part.utterances]
    return Features.from_arrays(utterances, first.speech_settings, first.speech_columns, {}, first.happiness)
