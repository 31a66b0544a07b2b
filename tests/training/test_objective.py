"""The loss: soft targets from the raters' votes, and scenes of a high loss that gain weight."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from harness.corpus.utterances import CLASSES, Emotion, Happiness
from harness.errors import FeatureError
from harness.features.store import Features
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.splits.protocol import PROTOCOLS, ClassWeights
from harness.training.objective import Objective, make_objective
from harness.training.recipe import Recipe, train_for_epochs
from tests.features.invented import SETTINGS, make_utterance
from tests.invented_features import invent_features

PAPER = PROTOCOLS["paper"]
ANGER, EXCITEMENT, NEUTRAL, SADNESS = CLASSES
OTHER, HAPPINESS = Emotion.OTHER, Emotion.HAPPINESS


def hold(votes, emotion=NEUTRAL, scene="impro01", happiness=Happiness.EXCITED):
    utterances = [
        replace(make_utterance(f"Ses01F_{scene}_F{number:03d}", emotion), votes=of_one)
        for number, of_one in enumerate(votes)
    ]
    return Features.from_arrays(utterances, SETTINGS, (), {}, happiness)


VOTES = [
    ((NEUTRAL,), (NEUTRAL,), (SADNESS,)),
    ((NEUTRAL,), (SADNESS, OTHER), (HAPPINESS,)),
    ((OTHER,),),
    (),
]


def test_a_rater_has_one_vote_and_labels_of_no_class_do_not_count():
    third = 1 / 3
    expected = [[0, 0, 2 * third, third], [0, 0, 2 * third, third], [np.nan] * 4, [np.nan] * 4]
    np.testing.assert_allclose(hold(VOTES).vote_shares, expected, rtol=1e-6)
    merged = hold(VOTES, happiness=Happiness.MERGED).vote_shares
    np.testing.assert_allclose(merged[1], [0, 0.4, 0.4, 0.2], rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_targets_are_mixed_of_votes_and_label_and_without_votes_are_the_label(smoothing):
    features, weights = hold(VOTES, emotion=SADNESS), np.array([0.5, 1.0, 2.0, 1.5], np.float32)
    objective = Objective(weights, smoothing, soft_labels=0.6)
    targets = objective.targets(features)
    votes = np.array([[0, 0, 2 / 3, 1 / 3]] * 2 + [[0, 0, 0, 1.0]] * 2)
    wanted = (1 - smoothing) * (0.6 * votes + 0.4 * np.array([0, 0, 0, 1.0])) + smoothing / 4
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), 4).astype(np.float32)
    expected = -(1.5 * (wanted * np.log(probabilities)).sum(axis=1)).mean()
    assert float(objective.cross_entropy(targets, probabilities)) == pytest.approx(expected, rel=1e-5)


def test_without_a_single_vote_soft_labels_are_refused():
    point = read_hyperparameters(SYSTEMS["text2"], {"soft_labels": 0.5}, PAPER)
    with pytest.raises(FeatureError) as caught:
        make_objective(point, ClassWeights.NONE, hold(VOTES[2:]))
    assert str(caught.value) == (
        "soft_labels is 0.5, and none of the 2 training utterances has a rater's vote for one of the four classes; "
        "expected raters' words in the corpus's label files (lines like 'C-E1: Anger;'), or soft_labels 0"
    )
    assert make_objective(point, ClassWeights.NONE, hold(VOTES)).soft_labels == 0.5


def test_scenes_of_a_high_loss_gain_weight_step_by_step():
    objective = Objective(scenes=("impro01", "impro02", "impro03"), scene_robustness=0.5)
    scenes, losses = tf.constant([0, 0, 1], tf.int64), tf.constant([1.0, 3.0, 0.5])
    targets = {"emotion": tf.constant([0, 1, 2], tf.int64), "scene": scenes}
    weights = np.full(3, 1 / 3)
    for _ in range(3):
        found = float(objective.reduce(targets, losses))
        # A scene that the batch lacks has no loss: it gains nothing, and takes no part in the step.
        weights = weights * np.exp(0.5 * np.array([2.0, 0.5, 0.0]))
        weights /= weights.sum()
        np.testing.assert_allclose(objective.scene_weights, weights, rtol=1e-5)
        assert found == pytest.approx((weights[0] * 2.0 + weights[1] * 0.5) / weights[:2].sum(), rel=1e-5)
    assert float(Objective().reduce(targets, losses)) == pytest.approx(1.5)


def test_after_long_training_a_scene_can_still_gain_weight():
    objective = Objective(scenes=("impro01", "impro02"), scene_robustness=1.0)
    one, other = ({"emotion": tf.constant([0], tf.int64), "scene": tf.constant([n], tf.int64)} for n in range(2))
    for _ in range(300):
        assert float(objective.reduce(one, tf.constant([2.0]))) == pytest.approx(2.0)
    for _ in range(300):
        assert float(objective.reduce(other, tf.constant([2.0]))) == pytest.approx(2.0)
    np.testing.assert_allclose(objective.scene_weights, [0.5, 0.5], rtol=1e-3)
    assert float(objective.reduce(one, tf.constant([200.0]))) == pytest.approx(200.0)
    np.testing.assert_allclose(objective.scene_weights, [1.0, 0.0])


def test_a_scene_that_contradicts_the_others_is_learnt_sooner():
    """A word of the scene says the class in 80 utterances, and its opposite in 20; another word is right in all."""
    rng = np.random.default_rng(0)
    emotions = rng.integers(0, 2, 100)
    sign = 2.0 * emotions - 1.0
    scenes = np.array([0] * 80 + [1] * 20)
    values = np.column_stack([np.where(scenes == 0, 3.0, -3.0) * sign, sign, np.ones(100)]).astype(np.float32)
    targets = {"emotion": tf.constant(emotions), "scene": tf.constant(scenes)}
    losses = []
    for step in (0.0, 0.5):
        objective = Objective(scenes=("impro01", "impro02"), scene_robustness=step)
        kernel = tf.Variable(tf.zeros((3, 4)))
        for _ in range(200):
            with tf.GradientTape() as tape:
                loss = objective.cross_entropy(targets, tf.nn.softmax(values @ kernel))
            kernel.assign_sub(0.1 * tape.gradient(loss, kernel))
        right = tf.gather(tf.nn.softmax(values @ kernel), emotions, batch_dims=1).numpy()
        losses.append(-np.log(right[scenes == 1]).mean())
    assert losses[1] < 0.7 * losses[0]


@pytest.mark.parametrize(
    ("power", "protocol", "weights"),
    [
        (0.0, ClassWeights.NONE, None),
        (0.5, ClassWeights.NONE, [1.0, 2.0]),
        (0.0, ClassWeights.BALANCED, [1.0, 4.0]),
    ],
)
def test_a_class_weighs_by_a_power_of_its_inverse_frequency(power, protocol, weights):
    features = Features.from_arrays(
        [
            make_utterance(f"Ses01F_impro01_F{number:03d}", NEUTRAL if number % 5 else SADNESS)
            for number in range(10)
        ],
        SETTINGS,
        (),
        {},
    )
    point = read_hyperparameters(SYSTEMS["text2"], {"class_weight_power": power}, PAPER)
    found = make_objective(point, protocol, features).class_weights
    if weights is None:
        assert found is None
    else:
        # Weighed, the mean over the utterances is 1.
        assert found[[2, 3]] * [0.8, 0.2] @ [1, 1] == pytest.approx(1.0)
        assert found[[2, 3]] / found[2] == pytest.approx(np.array(weights))


def invent_with_votes(num_utterances):
    """Utterances of two scenes in four sessions, half of whose raters disagree with the label."""
    invented = invent_features(num_utterances)
    utterances = [
        replace(
            utterance,
            utterance_id=f"Ses0{1 + row % 4}F_impro0{1 + row // 4 % 2}_{'FM'[row // 8 % 2]}{row:03d}",
            votes=((utterance.emotion,), (CLASSES[row % 4],)),
        )
        for row, utterance in enumerate(invented.utterances)
    ]
    return Features.from_arrays(utterances, invented.speech_settings, invented.speech_columns, invented._blocks[0])


SMALL = {
    "text2": {"textlstm": 4, "textlstm2": 4, "dense": 4, "embedding_dimension": 4, "optimizer": "adam"},
    "text_terms": {},
    "uni_svm": {"vectors": "text", "filters": 8, "filters2": 8, "dense": 4, "embedding_dimension": 4},
    "bc_lstm": {"contextlstm": 4, "dense": 4},
}


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", list(SMALL))
@pytest.mark.parametrize(
    "choice",
    [{"soft_labels": 0.5}, {"scene_robustness": 0.5}, {"class_weight_power": 0.5}, {"clip_norm": 1e-4}],
    ids=["votes", "scenes", "classes", "clipped"],
)
def test_every_kind_of_network_is_trained_by_them(name, choice):
    features, answers = invent_with_votes(64), []
    for values in ({}, choice):
        point = read_hyperparameters(SYSTEMS[name], {**SMALL[name], "batch_size": 16, **values}, PAPER)
        recipe = Recipe(SYSTEMS[name], point, PAPER, 1, 2, None, None)
        trained, _ = train_for_epochs(recipe, features, 2)
        answers.append(trained.predict(features))
    assert np.isfinite(answers[1]).all() and not np.array_equal(*answers)
