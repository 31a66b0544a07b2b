"""A made-up corpus with exactly the layout and the irregularities of the real one, and with planted cues.

Each modality carries a different part of the emotion: speech shows arousal, words show valence, and
motion shows the rest, so that none suffices alone and all together nearly do. Every session plays the
same scenes, whose words and frequent emotions tell only those who know the scene.
"""

from harness.corpus.synthetic.plan import CorpusPlan, plan_corpus
from harness.corpus.synthetic.settings import (
    GENERATOR_VERSION,
    MARKER_NAME,
    Cue,
    SyntheticSettings,
    is_synthetic,
)
from harness.corpus.synthetic.writer import CorpusSize, measure_plan, write_synthetic

__all__ = [
    "GENERATOR_VERSION",
    "MARKER_NAME",
    "CorpusPlan",
    "CorpusSize",
    "Cue",
    "SyntheticSettings",
    "is_synthetic",
    "measure_plan",
    "plan_corpus",
    "write_synthetic",
]
