"""Every system as a model: shapes, masks, saving, and that it learns; and the steps of the fused optimisers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.errors import ExperimentFileError, UnknownNameError
from harness.models.build import FusedAdadelta, FusedAdam, build_model, build_optimizer
from harness.models.inputs import InputShapes
from harness.models.network_file import load_network, save_network
from harness.models.systems import PAPER_SYSTEMS, find_system, read_hyperparameters
from harness.splits.protocol import PROTOCOLS

NUM_WORDS = 40

#: Small layers, so that a test takes a second.
SMALL = {
    "textlstm": 6,
    "textlstm2": 5,
    "speechlstm": 6,
    "finalfc": 8,
    "dense": 8,
    "dense1": 12,
    "dense2": 10,
    "filters": 8,
    "mocaplstm": 6,
    "mocaplstm2": 5,
    "speechlstm2": 5,
    "random_dimension": 7,
    "branch_dense": 8,
    "embedding_dimension": 10,
}


def small_model(name, **choices):
    system = PAPER_SYSTEMS[name]
    known = {**SMALL, **{key: value for key, value in choices.items() if value is not None}}
    fields = system.hyperparameters.__dataclass_fields__
    point = read_hyperparameters(
        system, {key: value for key, value in known.items() if key in fields}, PROTOCOLS["paper"]
    )
    embedding = np.random.default_rng(0).normal(size=(NUM_WORDS, 10)).astype(np.float32)
    keras.utils.set_random_seed(0)
    return build_model(system, point, InputShapes(num_word_ids=NUM_WORDS, embedding=embedding)), point


def make_batch(model, frames=9, words=6):
    rng = np.random.default_rng(1)
    everything = {
        "speech": rng.normal(size=(4, frames, 34)).astype(np.float32),
        "speech_lengths": np.array([frames, 3, 0, 1], np.int32),
        "text": np.array([[5, 6, 7, 8, 9, 1], [4, 3, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [0] * 6], np.int32),
        "mocap": rng.normal(size=(4, 200, 189)).astype(np.float32),
        "mocap_lengths": np.array([200, 30, 0, 1], np.int32),
    }
    return {tensor.name: everything[tensor.name] for tensor in model.inputs}


def lengthen(batch):
    longer = dict(batch)
    if "speech" in batch:
        longer["speech"] = np.pad(batch["speech"], [(0, 0), (0, 5), (0, 0)], constant_values=3.0)
    if "text" in batch:
        longer["text"] = np.pad(batch["text"], [(0, 0), (0, 4)])
    return longer


def has_attention(name):
    return "attention" in PAPER_SYSTEMS[name].hyperparameters.__dataclass_fields__


VARIANTS = [
    pytest.param(name, attention, directions, id=f"{name}-{attention}-{directions}")
    for name in PAPER_SYSTEMS
    for attention in (["decoder", "pooling"] if has_attention(name) else [None])
    for directions in ([1, 2] if attention else [None])
]


@pytest.mark.parametrize(("name", "attention", "directions"), VARIANTS)
def test_a_model_gives_probabilities_that_padding_does_not_change(name, attention, directions):
    model, _ = small_model(name, attention=attention, directions=directions)
    batch = make_batch(model)
    probabilities = model(batch).numpy()
    assert probabilities.shape == (4, 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(model(lengthen(batch)).numpy(), probabilities, atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("name", PAPER_SYSTEMS)
def test_a_saved_model_gives_the_same_numbers(name, tmp_path):
    model, _ = small_model(name)
    batch = make_batch(model)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(again(batch).numpy(), model(batch).numpy())


@pytest.mark.parametrize("modality", ["speech", "text", "mocap"])
def test_fusion_reads_every_modality(modality):
    model, _ = small_model("fusion", attention="pooling")
    batch = make_batch(model)
    changed = dict(batch)
    changed[modality] = batch[modality][::-1].copy()
    assert np.abs(model(changed).numpy() - model(batch).numpy()).max() > 1e-4


def test_the_paper_s_sizes_are_the_defaults():
    system = PAPER_SYSTEMS["fusion"]
    point = read_hyperparameters(system, {}, PROTOCOLS["paper"])
    model = build_model(system, point, InputShapes(embedding=np.zeros((100, 300), np.float32)))
    assert {tensor.name: tuple(tensor.shape) for tensor in model.inputs} == {
        "text": (None, None),
        "speech": (None, None, 34),
        "speech_lengths": (None,),
        "mocap": (None, 200, 189),
    }
    assert model.get_layer("mocap_conv5").output.shape == (None, 7, 6, 128)
    assert model.get_layer("fusion").output.shape == (None, 768)
    assert model.get_layer("speech_decoder").output.shape == (None, None, 256)


def test_frozen_word_vectors_are_not_trained():
    frozen, _ = small_model("text2", word_vectors="frozen")
    trained, _ = small_model("text2", word_vectors="trained")
    assert len(trained.trainable_variables) == len(frozen.trainable_variables) + 1


@pytest.mark.parametrize(
    ("name", "kind", "rate"), [("text2", "adadelta", 1.0), ("mocap1", "adam", 0.001), ("fusion", "adam", 0.0004)]
)
def test_the_optimiser_is_the_paper_s_at_the_point_s_rate(name, kind, rate):
    values = {"adamlr": rate} if name == "fusion" else {}
    optimizer = build_optimizer(read_hyperparameters(PAPER_SYSTEMS[name], values, PROTOCOLS["paper"]))
    assert type(optimizer).__name__.lower() == f"fused{kind}"
    assert float(optimizer.learning_rate) == pytest.approx(rate, rel=1e-5)


def test_the_published_code_has_its_own_defaults():
    point = read_hyperparameters(PAPER_SYSTEMS["fusion"], {}, PROTOCOLS["published-code"])
    assert (point.recurrent_dropout, point.directions, str(point.gates)) == (0.2, 1, "hard_sigmoid")


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (
            {"speechlstn": 3},
            UnknownNameError,
            "unknown hyperparameter of system 'mocap1': 'speechlstn'; expected one of ['batch_size', "
            "'class_weight_power', 'clip_norm', 'dense', 'dropout', 'gates', 'input_dropout', 'label_smoothing', "
            "'learning_rate', 'noise', 'optimizer', 'recurrent_dropout', 'scene_robustness', 'soft_labels', "
            "'time_masks', 'weight_decay', 'word_dropout']",
        ),
        (
            {"dense": 2.5},
            ExperimentFileError,
            "system 'mocap1': hyperparameter 'dense' is 2.5; expected an integer",
        ),
        (
            {"dropout": "much"},
            ExperimentFileError,
            "system 'mocap1': hyperparameter 'dropout' is 'much'; expected a number",
        ),
        (
            {"optimizer": "adm"},
            UnknownNameError,
            "unknown value of hyperparameter 'optimizer': 'adm'; expected one of ['adadelta', 'adam', 'momentum', "
            "'sgd']",
        ),
    ],
    ids=["name", "integer", "number", "choice"],
)
def test_a_wrong_point_gets_one_sentence(values, error, message):
    with pytest.raises(error) as caught:
        read_hyperparameters(PAPER_SYSTEMS["mocap1"], values, PROTOCOLS["paper"])
    assert str(caught.value) == message


def test_an_unknown_system_gets_one_sentence():
    with pytest.raises(UnknownNameError, match="unknown system 'fusoin'; expected one of"):
        find_system("fusoin")


WEIGHT_SHAPES = [(7, 5), (11,), (4, 3)]


def take_steps(optimizer, num_steps=5):
    """Weights after some steps whose gradients depend on them; the last weight's gradient is sparse."""
    rng = np.random.default_rng(0)
    variables = [keras.Variable(rng.normal(size=shape).astype(np.float32)) for shape in WEIGHT_SHAPES]
    optimizer.build(variables)

    @tf.function
    def step(noise):
        gradients = [
            tf.convert_to_tensor(variable) * 0.5 + part
            for variable, part in zip(variables, noise, strict=True)
        ]
        gradients[-1] = tf.IndexedSlices(gradients[-1][1:3], tf.constant([0, 2]), tf.constant(WEIGHT_SHAPES[-1]))
        optimizer.apply(gradients, variables)

    for _ in range(num_steps):
        step([tf.constant(rng.normal(size=shape), tf.float32) for shape in WEIGHT_SHAPES])
    return [variable.numpy() for variable in variables]


@pytest.mark.parametrize(
    ("fused", "stock", "learning_rate"),
    [(FusedAdam, keras.optimizers.Adam, 0.01), (FusedAdadelta, keras.optimizers.Adadelta, 1.0)],
    ids=["adam", "adadelta"],
)
def test_fused_optimizer_takes_the_steps_of_the_stock_one(fused, stock, learning_rate):
    ours, expected = take_steps(fused(learning_rate)), take_steps(stock(learning_rate))
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    start = np.random.default_rng(0).normal(size=WEIGHT_SHAPES[0])
    assert np.abs(ours[0] - start).max() > 1e-3


def test_the_branches_of_the_papers_text_are_those_of_its_single_systems():
    code, _ = small_model("fusion", textlstm=6)
    text, _ = small_model("fusion", textlstm=6, branches="paper")

    def widths(model):
        names = ("text_lstm", "text_lstm2", "text_dense", "speech_dense", "mocap_dense")
        return [model.get_layer(name).units for name in names]

    def activations(model):
        return {model.get_layer(f"{branch}_dense").activation.__name__ for branch in ("text", "speech", "mocap")}

    assert (widths(code), activations(code)) == ([6, 6, 8, 8, 8], {"linear"})
    assert (widths(text), activations(text)) == ([6, 3, 8, 8, 4], {"relu"})


def test_a_linear_decoder_begins_as_large_as_a_pooled_lstm():
    """As published, each number of a decoded step is about one over the number of units."""
    spreads = {}
    for attention in ("decoder", "linear-decoder", "pooling"):
        model, _ = small_model("speech4", attention=attention, speechlstm=64)
        name = "speech_attention" if attention == "pooling" else "speech_decoder"
        read = keras.Model(model.inputs, model.get_layer(name).output)
        vectors = np.asarray(read(make_batch(model)))[0]
        spreads[attention] = vectors.std()
    assert spreads["linear-decoder"] > 20 * spreads["decoder"]
    assert spreads["linear-decoder"] > spreads["pooling"] / 5


@pytest.mark.parametrize(("name", "word_vectors"), [("text1", "trained"), ("text2", "frozen"), ("uni_svm", "trained")])
def test_words_of_a_file_move_no_number_and_are_saved(name, word_vectors, tmp_path):
    """A model that knows words of the file answers training's words as one that does not, whatever is trained."""
    system, outputs = find_system(name), []
    values = {**SMALL, "word_vectors": word_vectors, "filters": 8, "vectors": "text"}
    known = {key: value for key, value in values.items() if key in system.hyperparameters.__dataclass_fields__}
    point = read_hyperparameters(system, known, PROTOCOLS["paper"])
    embedding = np.random.default_rng(0).normal(size=(NUM_WORDS, 10)).astype(np.float32)
    ids = {"text": np.array([[5, 6, 0], [3, 0, 0]], np.int32)}
    for num_words in (NUM_WORDS - 3, NUM_WORDS):
        keras.utils.set_random_seed(0)
        num_file_words = num_words - (NUM_WORDS - 3)
        shapes = InputShapes(num_word_ids=num_words, num_file_words=num_file_words, embedding=embedding[:num_words])
        model = build_model(system, point, shapes)
        outputs.append(model(ids).numpy())
        names = [variable.path for variable in model.trainable_variables]
        assert ("text_vectors/embeddings" in names) == (word_vectors == "trained")
    np.testing.assert_array_equal(*outputs)
    save_network(tmp_path, model)
    scored = {"text": np.array([[NUM_WORDS - 1, NUM_WORDS - 2]], np.int32)}
    np.testing.assert_array_equal(load_network(tmp_path)(scored), model(scored))
