"""A small synthetic corpus, written once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from harness.corpus.layout import CorpusLayout
from harness.corpus.synthetic import CorpusPlan, SyntheticSettings, write_synthetic

SMALL = SyntheticSettings(scale=0.02)


@dataclass(frozen=True)
class Written:
    layout: CorpusLayout
    plan: CorpusPlan


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """200 utterances in a folder whose path holds a space and a quote; to be read only."""
    root = tmp_path_factory.mktemp("synthetic") / "somebody's corpus"
    return Written(CorpusLayout(root), write_synthetic(root, SMALL))
