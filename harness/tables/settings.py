"""The settings of the tables, and their corpus with its features on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.corpus.utterances import Happiness
from harness.features.speech import SpeechSettings, prepared_key, speech_settings
from harness.features.store import FeatureStore
from harness.search.corpus import CORPUS_VARIABLE, CorpusFeatures, Progress, prepare_features
from harness.splits.protocol import Protocol, Recordings, SpeakerScaling, read_protocol
from harness.tables.parts import TableSplit
from harness.wording import plural

#: The limits of tables without a corpus, so that a first look at them takes minutes.
QUICK_START_MAX_EPOCHS = 8
QUICK_START_PATIENCE = 3


@dataclass(frozen=True)
class TablesSettings:
    """The settings of `harness tables`.

    Attributes:
        names: systems and baselines
        seeds: of the trainings that each row averages over
        protocol: a preset's name
        split: None for the protocol's own
        leaves_each_session_out: whether each of the five sessions tests once
        patience: epochs without a better one before validation stops waiting; None for never
        word_vectors: a GloVe or word2vec file; None for vectors trained on the training text
        happiness: decides the four classes of every row of Tables 1 to 5
        compared: systems that the paper compares with, for a row in their table; they are among ``names`` too
    """

    names: tuple[str, ...]
    seeds: tuple[int, ...]
    protocol: str
    recordings: Recordings
    split: TableSplit | None
    leaves_each_session_out: bool
    max_epochs: int
    patience: int | None
    word_vectors: Path | None = None
    happiness: Happiness = Happiness.EXCITED
    compared: tuple[str, ...] = ()

    @property
    def base(self) -> Protocol:
        """The protocol of all rows, whose recordings and test session a row may change."""
        return read_protocol({"base": self.protocol, "happiness": self.happiness.value})


@dataclass(frozen=True)
class CorpusFacts(CorpusFeatures):
    """The corpus of the tables.

    Attributes:
        shortened: a sentence that says what was cut for a quick start, or None
        prepared: the folder of its features by the key of their speech settings; ``prepared_dir`` is one of them
    """

    shortened: str | None
    prepared: Mapping[str, Path] = field(default_factory=dict)
    _stores: dict[tuple[Path, Happiness, SpeakerScaling], FeatureStore] = field(
        default_factory=dict, repr=False, compare=False
    )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the opened features: a process that is given the rest opens them itself."""
        return {**vars(self), "_stores": {}}

    def open_features(self, settings: SpeechSettings, protocol: Protocol) -> FeatureStore:
        """Open the features with these speech settings as a protocol reads them, once.

        Raises:
            FeatureError: they are damaged
        """
        folder = self.prepared[prepared_key(settings)]
        key = (folder, protocol.happiness, protocol.speaker_scaling)
        if key not in self._stores:
            self._stores[key] = FeatureStore.open_for(protocol, folder)
        return self._stores[key]

    @property
    def is_published_one(self) -> bool:
        """True where the published figures speak of this very data."""
        return not self.is_synthetic and not self.differences


def prepare_tables(
    settings: TablesSettings,
    named: Path | None,
    results_dir: Path,
    progress: Progress,
    others: Iterable[SpeechSettings] = (),
) -> tuple[TablesSettings, CorpusFacts]:
    """Prepare the features of the corpus as `aup` does, and return what will be trained on them.

    Args:
        named: the corpus; None for the one that the environment names, or else the synthetic corpus
        others: speech settings that some experiment needs beside the protocol's own

    Returns:
        the settings, with fewer epochs where no corpus is named, and the corpus

    Raises:
        ExperimentFileError: the corpus that is named does not exist
        CorpusError: it is no corpus
    """
    own = speech_settings(settings.base)
    found = {key: prepare_features(named, key, results_dir, progress) for key in dict.fromkeys([own, *others])}
    prepared = {prepared_key(key): features.prepared_dir for key, features in found.items()}
    facts = CorpusFacts(**vars(found[own]), shortened=None, prepared=prepared)
    if facts.corpus_path:
        return settings, facts
    max_epochs = min(settings.max_epochs, QUICK_START_MAX_EPOCHS)
    patience = min(settings.patience or QUICK_START_PATIENCE, QUICK_START_PATIENCE)
    instead = "" if max_epochs == settings.max_epochs else f" instead of {settings.max_epochs}"
    shortened = (
        "No corpus is named, so this is a quick start on a synthetic one, with at most "
        f"{plural(max_epochs, 'epoch')}{instead} and patience {patience}; name a corpus with --corpus or in "
        f"{CORPUS_VARIABLE} for the tables themselves. "
        "The systems that the paper trains with Adadelta hardly leave the largest class in so few epochs."
    )
    return replace(settings, max_epochs=max_epochs, patience=patience), replace(facts, shortened=shortened)
