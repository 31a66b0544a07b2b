"""Scores with scenes shared beside scores with the scored scene left out of training, and what their difference means.

Unweighted accuracy leads: a scene is written to bring out certain emotions, so that leaving it out moves the classes'
shares of training too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from harness.corpus.utterances import CLASSES
from harness.scoring.metrics import confusion_matrix, predicted_classes, unweighted_accuracy_of
from harness.scoring.significance import PairedBootstrap, paired_bootstrap
from harness.scoring.statistics import Interval, Seeds, Spread, bootstrap_interval, mean_and_spread
from harness.store.records import Prediction, ScoreKind

#: The kinds of each probe's scores, by what it reads: scenes shared, and the scored scene left out.
PROBE_KINDS: Mapping[str, tuple[ScoreKind, ScoreKind]] = {
    "words": (ScoreKind.PROBE_WORDS_SHARED, ScoreKind.PROBE_WORDS_LEFT_OUT),
    "speech": (ScoreKind.PROBE_SPEECH_SHARED, ScoreKind.PROBE_SPEECH_LEFT_OUT),
}
#: The reader of a pair whose scores are the model's own.
MODEL = "the model"

_SUBJECTS = {"words": "Words alone score", "speech": "Speech alone scores", MODEL: "The model itself scores"}


class SceneEffect(Enum):
    """The meaning of the difference between both scores."""

    SHOWN = auto()  # its interval is above 0
    NOT_SHOWN = auto()  # its interval holds 0
    REVERSED = auto()  # its interval is below 0
    NOTHING_TO_LEAVE_OUT = auto()  # training plays no scene of the test set
    NOTHING_LEFT = auto()  # without some scene too little is left to train on


@dataclass(frozen=True)
class SceneScore:
    """An unweighted accuracy, from 0 to 1.

    Attributes:
        interval: of the mean over the seeds
    """

    spread: Spread
    interval: Interval


@dataclass(frozen=True)
class ScenePair:
    """The scores of one reader of the test set, with scenes shared and with the scored scene left out of training.

    Attributes:
        reader: a key of ``PROBE_KINDS``, or ``MODEL``
        left_out: None where too little would be left to train on
        recognised: unweighted accuracy that the scenes bring, shared minus left out; None without ``left_out``
        num_without_class: utterances for which training, their scene left out, has no utterance of some class, as a
            probe's answers tell; 0 for the model, whose answers do not
        num_utterances: that were scored
    """

    reader: str
    shared: SceneScore
    left_out: SceneScore | None
    recognised: PairedBootstrap | None
    effect: SceneEffect
    num_without_class: int
    num_utterances: int

    @property
    def scores(self) -> tuple[SceneScore, SceneScore | None]:
        """Both, scenes shared first."""
        return self.shared, self.left_out


def pair_scenes(model: ScoreKind | None, predictions: Mapping[ScoreKind, Seeds]) -> tuple[ScenePair, ...]:
    """Pair the scores of the probes, and the model's own where it was trained without the scored scenes too.

    Args:
        model: the kind of the model's scores with scenes shared; None for the probes alone
        predictions: of one test evaluation

    Returns:
        one pair for each reader that was scored with scenes shared; the model last

    Raises:
        ShapeError: the seeds of one pair scored different utterances
    """
    kinds = dict(PROBE_KINDS)
    if model not in (None, ScoreKind.SCENES_LEFT_OUT) and ScoreKind.SCENES_LEFT_OUT in predictions:
        kinds[MODEL] = (model, ScoreKind.SCENES_LEFT_OUT)
    pairs = [
        _pair(reader, predictions[shared], predictions.get(left_out, ()))
        for reader, (shared, left_out) in kinds.items()
        if shared in predictions
    ]
    probes = [pair for pair in pairs if pair.reader != MODEL]
    if probes and all(pair.effect is SceneEffect.NOTHING_TO_LEAVE_OUT for pair in probes):
        # The model's groups of scenes were left out all the same, but none of them is scored.
        pairs = [replace(pair, effect=SceneEffect.NOTHING_TO_LEAVE_OUT) for pair in pairs]
    return tuple(pairs)


def _pair(reader: str, shared: Seeds, left_out: Seeds) -> ScenePair:
    if not left_out:
        return ScenePair(reader, _score(shared), None, None, SceneEffect.NOTHING_LEFT, 0, len(shared[0]))
    recognised = paired_bootstrap(shared, left_out, metric=unweighted_accuracy_of)
    num_without_class = sum(0.0 in prediction.probabilities for prediction in left_out[0])
    num_before = sum(0.0 in prediction.probabilities for prediction in shared[0])
    return ScenePair(
        reader,
        _score(shared),
        _score(left_out),
        recognised,
        _find_effect(shared, left_out, recognised.interval),
        0 if reader == MODEL else max(0, num_without_class - num_before),
        len(shared[0]),
    )


def _score(seeds: Seeds) -> SceneScore:
    values = [float(unweighted_accuracy_of(confusion_matrix(*predicted_classes(of_seed)))) for of_seed in seeds]
    return SceneScore(mean_and_spread(sorted(values)), bootstrap_interval(seeds, unweighted_accuracy_of))


def _find_effect(shared: Seeds, left_out: Seeds, interval: Interval) -> SceneEffect:
    # Where training plays no scene of the test set, both fits are one, to the last bit of every probability.
    if [_by_name(of_seed) for of_seed in shared] == [_by_name(of_seed) for of_seed in left_out]:
        return SceneEffect.NOTHING_TO_LEAVE_OUT
    if interval.low > 0:
        return SceneEffect.SHOWN
    return SceneEffect.REVERSED if interval.high < 0 else SceneEffect.NOT_SHOWN


def _by_name(predictions: Sequence[Prediction]) -> dict[str, tuple[float, ...]]:
    return {prediction.utterance_id: prediction.probabilities for prediction in predictions}


def explain_scenes(pairs: Sequence[ScenePair], is_synthetic: bool) -> str:
    """Say in a sentence for each pair how much of its score is recognition of the scene.

    Args:
        pairs: of one test evaluation, at least one
        is_synthetic: whether its corpus is, which a sentence with a score must say

    Example:
        >>> score = SceneScore(mean_and_spread([0.4]), Interval(0.3, 0.5, 0.95, "dialogues", False))
        >>> explain_scenes([ScenePair("words", score, None, None, SceneEffect.NOTHING_LEFT, 0, 73)], False)
        "Words alone score 40.0 % unweighted where training has read the test set's scenes (chance 25 %); with the \
scored scene left out, too little remains to train on."
    """
    first, *others = pairs
    text = " ".join([_explain(first), *map(_explain_briefly, others), *_explain_missing_classes(pairs)])
    return f"On this synthetic corpus, {text[0].lower()}{text[1:]}" if is_synthetic else text


def _explain(pair: ScenePair) -> str:
    subject, shared, chance = _SUBJECTS[pair.reader], _percent(pair.shared), f"chance {100 / len(CLASSES):.0f} %"
    if pair.effect is SceneEffect.NOTHING_TO_LEAVE_OUT:
        return (
            f"{subject} {shared} unweighted ({chance}); training has read no scene of the test set, so there is no "
            "scene to leave out, and no effect to measure."
        )
    read = f"{subject} {shared} unweighted where training has read the test set's scenes"
    if pair.left_out is None:
        return f"{read} ({chance}); with the scored scene left out, too little remains to train on."
    beside = f"{read}, and {_percent(pair.left_out)} with the scored scene left out ({chance})"
    return f"{beside}: {_explain_difference(pair, with_interval=True)}."


def _explain_briefly(pair: ScenePair) -> str:
    subject, shared = _SUBJECTS[pair.reader], _percent(pair.shared)
    if pair.effect is SceneEffect.NOTHING_TO_LEAVE_OUT:
        return f"{subject} {shared}."
    if pair.left_out is None:
        return f"{subject} {shared}; without the scored scene, too little remains to train on."
    return f"{subject} {shared} and {_percent(pair.left_out)}: {_explain_difference(pair, with_interval=False)}."


def _explain_difference(pair: ScenePair, *, with_interval: bool) -> str:
    assert pair.recognised is not None, "a pair of two scores has a difference"
    points, interval = 100 * pair.recognised.difference, pair.recognised.interval
    if pair.effect is SceneEffect.SHOWN:
        what = _SUBJECTS[pair.reader].replace(" alone", "").replace(" itself", "").lower()
        return f"{points:.1f} points of what {what} here are recognition of the scene"
    bounds = f" ({points:+.1f} points, 95 % interval {100 * interval.low:+.1f} to {100 * interval.high:+.1f})"
    if not with_interval:
        bounds = ""
    if pair.effect is SceneEffect.REVERSED:
        return f"having read the scene does not help here{bounds}"
    return f"no effect of the scene is shown here{bounds}"


def _explain_missing_classes(pairs: Sequence[ScenePair]) -> list[str]:
    found = max(pairs, key=lambda pair: pair.num_without_class)
    if not found.num_without_class:
        return []
    return [
        f"For {found.num_without_class} of {found.num_utterances} utterances, leaving out the scene removes every "
        "training utterance of some class, which is then never predicted."
    ]


def _percent(score: SceneScore) -> str:
    return f"{100 * score.spread.mean:.1f} %"
