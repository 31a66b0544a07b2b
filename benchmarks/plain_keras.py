"""The published models as anyone would write them: stock Keras layers, padded, without a mask.

Layers carry the names of the package's own, by which weights are copied.
"""

import zlib

import keras
from keras import layers, ops

from harness.models.layers import draw_kept
from harness.splits.protocol import MocapOrder


class PlainDecoder(layers.Layer):
    """Bahdanau's attention decoder in the published order of operations, step by step."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        columns, units = shape[-1], self.units
        shapes = {"W_a": (units, units), "U_a": (columns, units), "b_a": (1, units), "V_a": (units, 1)}
        shapes |= {"W_s": (columns, units), "W": (units, 4 * units), "U": (units, 4 * units)}
        shapes |= {"C": (columns, 4 * units), "b": (1, 4 * units)}
        self.table = {name: self.add_weight(shape=size, name=name) for name, size in shapes.items()}

    def call(self, encoded):
        table, units = self.table, self.units
        projected = encoded @ table["U_a"] + table["b_a"]
        state = ops.tanh(encoded[:, 0] @ table["W_s"])
        output, outputs = ops.zeros_like(state), []
        for _ in range(encoded.shape[1]):
            repeated = ops.repeat(state[:, None], encoded.shape[1], axis=1) @ table["W_a"]
            exponentials = ops.exp(ops.tanh(repeated + projected) @ table["V_a"])
            context = ops.sum(exponentials / ops.sum(exponentials, axis=1, keepdims=True) * encoded, axis=1)

            def gate(number, recurrent, output=output, context=context):
                part = slice(number * units, (number + 1) * units)
                return (
                    output @ table["W"][:, part]
                    + recurrent @ table["U"][:, part]
                    + context @ table["C"][:, part]
                    + table["b"][:, part]
                )

            reset, update = ops.sigmoid(gate(0, state)), ops.sigmoid(gate(1, state))
            proposal = ops.tanh(gate(2, reset * state))
            emitted = ops.softmax(gate(3, state))
            state, output = (1 - update) * state + update * proposal, emitted
            outputs.append(emitted)
        return ops.stack(outputs, axis=1)


def lstm(units, choices, name, steps):
    return layers.LSTM(
        units,
        return_sequences=steps,
        recurrent_activation=str(choices.gates),
        recurrent_dropout=choices.recurrent_dropout,
        name=name,
    )


def two_lstms(steps, first, second, choices, name):
    steps = drop(choices, f"{name}_dropout")(lstm(first, choices, f"{name}_lstm", True)(steps))
    return drop(choices, f"{name}_dropout2")(lstm(second, choices, f"{name}_lstm2", False)(steps))


def drop(choices, name):
    return layers.Dropout(choices.dropout, name=name)


class DrawnAlike(layers.Dropout):
    """Dropout whose kept activations are those that the package draws before its convolutions' relu."""

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        kept, scale = draw_kept(ops.shape(inputs), self.rate, ops.cast(self.seed_generator.next(), "int32"))
        return inputs * ops.cast(kept, inputs.dtype) * scale


def attentive(frames, choices):
    encoder = lstm(choices.speechlstm, choices, "speech_lstm", True)
    if choices.directions == 2:
        encoder = layers.Bidirectional(encoder, name="speech_bilstm")
    steps = drop(choices, "speech_dropout")(encoder(frames))
    forward = PlainDecoder(choices.speechlstm, name="decoder_0")(steps)
    if choices.directions == 2:
        backward = PlainDecoder(choices.speechlstm, name="decoder_1")(ops.flip(steps, axis=1))
        forward = layers.Concatenate()([forward, ops.flip(backward, axis=1)])
    return layers.Flatten()(drop(choices, "speech_dropout2")(forward))


def vectors(words, shapes, dimension):
    return layers.Embedding(shapes.num_word_ids, dimension, name="text_vectors")(words)


def convolved(windows, choices, shapes, dropout):
    if shapes.mocap_order is MocapOrder.HEAD_HAND_FACE:
        windows = ops.concatenate([windows[..., 183:], windows[..., 165:183], windows[..., :165]], axis=-1)
    features = layers.Reshape((*windows.shape[1:], 1))(windows)
    for number, filters in enumerate((32, 64, 64, 128, 128), start=1):
        features = layers.Conv2D(filters, 3, strides=2, padding="same", name=f"mocap_conv{number}")(features)
        features = layers.Activation("relu")(
            dropout(choices.dropout, name=f"mocap_dropout{number}")(features)
        )
    return layers.Flatten()(features)


def relu(units, name):
    return layers.Dense(units, activation="relu", name=name)


def build_plain(name, choices, shapes, mocap_dropout=layers.Dropout):
    """The plain model of a system, its inputs of the full length."""
    speech = keras.Input((shapes.speech_frames, shapes.speech_columns), name="speech")
    text = keras.Input((shapes.max_words,), dtype="int32", name="text")
    mocap = keras.Input((200, 189), name="mocap")
    inputs = {"speech": speech} if name.startswith("speech") else {"text": text}
    if name == "speech1":
        hidden = relu(choices.dense1, "speech_dense1")(layers.Flatten()(speech))
        hidden = drop(choices, "speech_dropout")(hidden)
        hidden = drop(choices, "speech_dropout2")(relu(choices.dense2, "speech_dense2")(hidden))
        features = relu(choices.dense, "speech_dense")(hidden)
    elif name == "speech2":
        hidden = two_lstms(speech, choices.speechlstm, choices.speechlstm2, choices, "speech")
        features = relu(choices.dense, "speech_dense")(hidden)
    elif name in ("speech3", "speech4"):
        features = relu(choices.dense, "speech_dense")(attentive(speech, choices))
    elif name == "text1":
        steps = vectors(text, shapes, choices.embedding_dimension)
        for number in range(4):
            steps = layers.Conv1D(
                choices.filters >> number, 3, padding="same", name=f"text_conv{number + 1}"
            )(steps)
            steps = layers.Activation("relu")(drop(choices, f"text_dropout{number + 1}")(steps))
        flat = layers.Flatten()(drop(choices, "text_dropout")(steps))
        features = relu(choices.dense, "text_dense")(flat)
    elif name in ("text2", "text3"):
        dimension = choices.random_dimension if name == "text3" else choices.embedding_dimension
        steps = vectors(text, shapes, dimension)
        hidden = two_lstms(steps, choices.textlstm, choices.textlstm2, choices, "text")
        features = relu(choices.dense, "text_dense")(hidden)
    elif name == "mocap1":
        inputs = {"mocap": mocap}
        features = relu(choices.dense, "mocap_dense")(convolved(mocap, choices, shapes, mocap_dropout))
    else:
        inputs = {"text": text, "speech": speech, "mocap": mocap}
        steps = vectors(text, shapes, choices.embedding_dimension)
        hidden = two_lstms(steps, choices.textlstm, choices.textlstm, choices, "text")
        joined = [
            layers.Dense(choices.branch_dense, name="text_dense")(hidden),
            layers.Dense(choices.branch_dense, name="speech_dense")(attentive(speech, choices)),
            layers.Dense(choices.branch_dense, name="mocap_dense")(convolved(mocap, choices, shapes, mocap_dropout)),
        ]
        features = relu(choices.finalfc, "finalfc")(layers.Activation("relu")(layers.Concatenate()(joined)))
    return keras.Model(inputs, layers.Dense(4, activation="softmax", name="emotion")(features))


def copy_weights(source, target):
    """Copy every weight of the package's model into the plain one, by the layers' names."""
    for layer in target.layers:
        if isinstance(layer, PlainDecoder):
            direction = int(layer.name[-1])
            decoder = source.get_layer("speech_decoder")
            stacked = {weight.name: weight for weight in decoder.weights}
            for name, weight in layer.table.items():
                weight.assign(stacked[name][direction])
        elif layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())


def gradients_by_layer(model, gradients):
    """Name each gradient by its layer and weight; the decoders' come apart by direction."""
    table = {}
    owners = {
        id(weight): (layer.name, number)
        for layer in model.layers
        for number, weight in enumerate(layer.trainable_weights)
    }
    for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
        layer, number = owners[id(weight)]
        values = ops.convert_to_numpy(ops.convert_to_tensor(gradient))
        if layer == "speech_decoder":
            for direction, part in enumerate(values):
                table[f"decoder_{direction}", weight.name] = part
        elif layer.startswith("decoder_"):
            table[layer, weight.name] = values
        else:
            table[layer, number] = values
    return table


def fix_dropout_masks(model):
    """Give the generator of every dropout a state that depends on its layer's name alone."""
    names = []
    for layer in model.layers:
        both = isinstance(layer, layers.Bidirectional)
        for direction, part in enumerate([layer.forward_layer, layer.backward_layer] if both else [layer]):
            owner = part.cell if isinstance(part, layers.LSTM) else part
            if getattr(owner, "seed_generator", None) is not None:
                owner.seed_generator.state.assign([zlib.crc32(layer.name.encode()), direction])
                names.append((layer.name, direction))
    return sorted(names)
