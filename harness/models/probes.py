"""Probes: cheap systems fitted twice, with the scenes of the test set in training and with the scored scene left out.

Every session plays the same scenes, each written to bring out certain emotions. The difference between both answers is
how much of what words, or sounds, score is recognition of the scene. The loss is balanced over the classes, for a scene
that is left out takes more utterances of some classes with it than of others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from harness.corpus.utterances import CLASSES
from harness.errors import FeatureError
from harness.features.fitted import measure_background
from harness.features.functionals import summarise_speech
from harness.features.store import Features
from harness.features.text import split_words
from harness.models.baselines import Probabilities, has_speech, has_words

Show = Callable[[str], None]


@dataclass(frozen=True)
class Examples:
    """What a probe reads of some utterances, one row an utterance.

    Attributes:
        inputs: lists of words, object (num_utterances,), or functionals, float64 (num_utterances, num_columns)
        has_input: bool (num_utterances,); the inputs of the others mean nothing
        emotions: int64 (num_utterances,), each an index into ``CLASSES``
        scenes: str (num_utterances,)
    """

    inputs: npt.NDArray[Any]
    has_input: npt.NDArray[np.bool_]
    emotions: npt.NDArray[np.int64]
    scenes: npt.NDArray[np.str_]

    def select(self, is_chosen: npt.NDArray[np.bool_]) -> Examples:
        """Return those where the mask is true, in their order."""
        return Examples(
            self.inputs[is_chosen], self.has_input[is_chosen], self.emotions[is_chosen], self.scenes[is_chosen]
        )


@dataclass(frozen=True)
class Probe:
    """A cheap system that reads one modality.

    Attributes:
        reads: in a word, as the tables print it
        modality: that the corpus must have
        has_input: True for each utterance that has anything of it, bool (num_utterances,)
        read: the inputs of utterances, as ``Examples`` has them
        build: the classifier, with everything that is fitted before it
    """

    reads: str
    modality: str
    has_input: Callable[[Features], npt.NDArray[np.bool_]]
    read: Callable[[Features], npt.NDArray[Any]]
    build: Callable[[], Any]


@dataclass(frozen=True)
class ProbeAnswers:
    """The answers of a probe to the test utterances: each float64 (num_utterances, 4), in the order of ``CLASSES``.

    Attributes:
        shared: fitted on all training utterances
        left_out: each fitted on the training utterances that do not play the utterance's scene, and so the same bits as
            ``shared`` where training plays it nowhere; None where without some scene nothing is left to train on
        only_scene: the one that leaves nothing, or None
    """

    shared: Probabilities
    left_out: Probabilities | None
    only_scene: str | None = None


def answer_twice(probe: Probe, train: Features, test: Features, show: Show = lambda doing: None) -> ProbeAnswers:
    """Fit a probe with scenes shared, and once for each scene of the test set without that scene.

    Words, document frequencies, means and deviations are fitted anew each time. An utterance without the probe's input
    is not trained on, and is answered with the classes' shares of the training utterances.

    Args:
        show: called with a description of each fit

    Raises:
        FeatureError: no training utterance has the probe's input
    """
    trained, asked = _read_both(probe, train, test)
    show(f"fitting the probe of {probe.reads}")
    shared = _answer(probe, trained, asked)
    left_out = shared.copy()
    for scene in sorted({str(scene) for scene in asked.scenes} & {str(scene) for scene in trained.scenes}):
        show(f"fitting the probe of {probe.reads} without {scene}")
        others, is_scored = trained.select(trained.scenes != scene), asked.scenes == scene
        if not others.has_input.any():
            return ProbeAnswers(shared, None, scene)
        left_out[is_scored] = _answer(probe, others, asked.select(is_scored))
    return ProbeAnswers(shared, left_out)


def answer_shared(probe: Probe, train: Features, scored: Features) -> Probabilities:
    """Fit a probe with scenes shared alone; the rest as ``answer_twice``."""
    return _answer(probe, *_read_both(probe, train, scored))


def _read_both(probe: Probe, train: Features, scored: Features) -> tuple[Examples, Examples]:
    """Read training and scored utterances; what precedes a speaker's first turn is of all training utterances."""
    background = measure_background(train) if probe.modality == "speech" else None
    trained, asked = (_read(probe, features.against(background)) for features in (train, scored))
    if not trained.has_input.any():
        raise FeatureError(
            f"probe: none of the {len(train)} training utterances has {probe.reads}; expected at least one"
        )
    return trained, asked


def _read(probe: Probe, features: Features) -> Examples:
    scenes = np.array([utterance.scene for utterance in features.utterances], dtype=np.str_)
    return Examples(probe.read(features), probe.has_input(features), features.emotions, scenes)


def _answer(probe: Probe, trained: Examples, asked: Examples) -> Probabilities:
    """Fit the probe and answer; a class that was never trained on has the probability 0."""
    with_input = trained.select(trained.has_input)
    known = np.unique(with_input.emotions)
    counts = np.bincount(trained.emotions, minlength=len(CLASSES))
    answers = np.tile(counts / counts.sum(), (len(asked.emotions), 1))
    rows = np.flatnonzero(asked.has_input)
    if not len(rows):
        return answers
    answers[rows] = 0.0
    if len(known) > 1:
        # On a machine that others use, threads that wait for each other take a hundred times as long.
        with threadpool_limits(limits=1):
            classifier = probe.build().fit(with_input.inputs, with_input.emotions)
        answers[np.ix_(rows, known)] = classifier.predict_proba(asked.inputs[rows])
    else:
        answers[np.ix_(rows, known)] = 1.0
    return answers


def _read_words(features: Features) -> npt.NDArray[Any]:
    words = np.empty(len(features), dtype=object)
    words[:] = [split_words(transcript or "") for transcript in features.transcripts]
    return words


def _read_functionals(features: Features) -> npt.NDArray[Any]:
    """Read the mean and the standard deviation of each number of a frame, over an utterance's real frames."""
    functionals = np.zeros((len(features), 2 * features.speech_shape[1]))
    rows = np.flatnonzero(has_speech(features))
    if len(rows):
        functionals[rows] = summarise_speech(features, rows)
    return functionals


def _build_regression() -> LogisticRegression:
    return LogisticRegression(max_iter=1000, class_weight="balanced")


def _build_words() -> Any:
    # An utterance is a list of words already.
    return make_pipeline(TfidfVectorizer(analyzer=list, sublinear_tf=True), _build_regression())


def _build_speech() -> Any:
    return make_pipeline(StandardScaler(), _build_regression())


_PROBES = (
    Probe("words", "text", has_words, _read_words, _build_words),
    Probe("speech", "speech", has_speech, _read_functionals, _build_speech),
)

#: By the name of their rows in results.db.
PROBES: Mapping[str, Probe] = {f"probe_{probe.reads}": probe for probe in _PROBES}
