"""The hyperparameters of each system: frozen dataclasses whose fields are all that may be searched or set."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.features.context import Context, ContextTurns


class Attention(StrEnum):
    """The layer after the first recurrent layer of an attentive speech branch."""

    DECODER = "decoder"  # the published Bahdanau decoder, one softmax over its units a step, flattened
    POOLING = "pooling"  # a second LSTM and the attention-weighted mean of its steps


class Optimizer(StrEnum):
    ADAM = "adam"
    ADADELTA = "adadelta"
    SGD = "sgd"


class Gates(StrEnum):
    SIGMOID = "sigmoid"
    HARD_SIGMOID = "hard_sigmoid"  # the default of 2018's Keras


class WordVectors(StrEnum):
    TRAINED = "trained"
    FROZEN = "frozen"


class Residual(StrEnum):
    """The path of a turn's own vector around the recurrent layer of a network over dialogues."""

    BASELINE = "baseline"  # the logarithms of the context baseline's probabilities, added to the softmax's inputs
    PROBABILITIES = "probabilities"  # those of the probabilities of the turn's own classifier
    ADDED = "added"  # through a linear layer, added before the softmax
    NONE = "none"  # as published


class TurnVectors(StrEnum):
    """The inputs of a turn's own classifier, and the vector of the turn that a network over dialogues reads."""

    TFIDF = "tfidf"  # TF-IDF of its words
    FUNCTIONALS = "functionals"  # mean and deviation of each number of its frames of speech
    BOTH = "both"  # one classifier each, whose probabilities are averaged

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that are read."""
        return {"tfidf": ("text",), "functionals": ("speech",), "both": ("text", "speech")}[self.value]


@dataclass(frozen=True)
class Hyperparameters:
    """The base of the hyperparameters of every system."""

    @property
    def batch_size(self) -> int:
        """Utterances, or dialogues, a training step."""
        raise NotImplementedError


@dataclass(frozen=True)
class NetworkHyperparameters(Hyperparameters):
    """The hyperparameters of every network.

    Attributes:
        dropout: share of activations dropped
        gates: of the recurrent layers
        recurrent_dropout: share of a recurrent layer's state dropped at each step
        batch_size: utterances a training step
    """

    dropout: float = 0.2
    gates: Gates = Gates.SIGMOID
    recurrent_dropout: float = 0.0
    optimizer: Optimizer = Optimizer.ADAM
    batch_size: int = 64

    @property
    def rate(self) -> float:
        """The optimiser's learning rate, under whichever name the system searches it."""
        raise NotImplementedError


@dataclass(frozen=True)
class SingleHyperparameters(NetworkHyperparameters):
    """Those of the systems of one modality; the convolutions over motion and the motion Dense layer have no more.

    Attributes:
        learning_rate: 0.001 is Adam's own
        dense: units of the last layer before the softmax
    """

    learning_rate: float = 0.001
    dense: int = 256

    @property
    def rate(self) -> float:
        return self.learning_rate


@dataclass(frozen=True)
class AdadeltaHyperparameters(SingleHyperparameters):
    """Those of the systems that the paper trains with Adadelta.

    Attributes:
        learning_rate: 1.0 is Adadelta's own; Keras's default of 0.001 hardly learns
    """

    optimizer: Optimizer = Optimizer.ADADELTA
    learning_rate: float = 1.0


@dataclass(frozen=True)
class Speech1Hyperparameters(AdadeltaHyperparameters):
    """Three Dense layers; ``dense`` is the third."""

    dense1: int = 1024
    dense2: int = 512


@dataclass(frozen=True)
class Speech2Hyperparameters(AdadeltaHyperparameters):
    """Two stacked LSTMs."""

    speechlstm: int = 512
    speechlstm2: int = 256
    dense: int = 512


@dataclass(frozen=True)
class Speech3Hyperparameters(AdadeltaHyperparameters):
    """An LSTM and an attentive recurrent layer, each of ``speechlstm`` units, in one or two directions."""

    speechlstm: int = 128
    dense: int = 512
    attention: Attention = Attention.DECODER
    directions: int = 1


@dataclass(frozen=True)
class Speech4Hyperparameters(Speech3Hyperparameters):
    """As ``speech3``, in both directions."""

    directions: int = 2


@dataclass(frozen=True)
class Text1Hyperparameters(SingleHyperparameters):
    """Four convolutions over the words.

    Attributes:
        filters: of the first convolution; each further one has half as many
    """

    filters: int = 256
    word_vectors: WordVectors = WordVectors.TRAINED
    embedding_dimension: int = 300


@dataclass(frozen=True)
class Text2Hyperparameters(AdadeltaHyperparameters):
    """Two stacked LSTMs over given word vectors."""

    textlstm: int = 512
    textlstm2: int = 256
    dense: int = 512
    word_vectors: WordVectors = WordVectors.TRAINED
    embedding_dimension: int = 300


@dataclass(frozen=True)
class Text3Hyperparameters(AdadeltaHyperparameters):
    """Two stacked LSTMs over word vectors that begin at random."""

    textlstm: int = 512
    textlstm2: int = 256
    dense: int = 512
    random_dimension: int = 128


@dataclass(frozen=True)
class MotionLstmHyperparameters(AdadeltaHyperparameters):
    """One LSTM over the windows."""

    mocaplstm: int = 256


@dataclass(frozen=True)
class Face1Hyperparameters(AdadeltaHyperparameters):
    """Two stacked LSTMs over the windows."""

    mocaplstm: int = 512
    mocaplstm2: int = 256
    dense: int = 512


@dataclass(frozen=True)
class FusionHyperparameters(NetworkHyperparameters):
    """The combined models; ``dropout`` and the first four here are what the authors searched.

    Attributes:
        textlstm: units of both text LSTMs
        speechlstm: units of the speech LSTM and of its attention
        finalfc: units of the layer before the softmax
        adamlr: learning rate
        branch_dense: units of each branch's last, linear layer
    """

    textlstm: int = 256
    speechlstm: int = 128
    finalfc: int = 256
    adamlr: float = 0.001
    branch_dense: int = 256
    attention: Attention = Attention.DECODER
    directions: int = 2
    word_vectors: WordVectors = WordVectors.TRAINED
    embedding_dimension: int = 300

    @property
    def rate(self) -> float:
        return self.adamlr


@dataclass(frozen=True)
class ChainHyperparameters(Hyperparameters):
    """Those of the chain of emotions.

    Attributes:
        vectors: the inputs of the turn's own classifier
        context: the turns that an answer depends on; under ``NONE`` the answer is the turn's own classifier's
        turns: that a dialogue consists of
    """

    vectors: TurnVectors = TurnVectors.TFIDF
    context: Context = Context.DIALOGUE
    turns: ContextTurns = ContextTurns.ALL

    @property
    def batch_size(self) -> int:
        return 1


@dataclass(frozen=True)
class DialogueNetworkHyperparameters(SingleHyperparameters):
    """Those of a network over the turns of a dialogue; a batch is of dialogues.

    Attributes:
        contextlstm: units of each direction; 100, ``dense`` and the rate are of a public reimplementation that
            chooses its epoch on validation dialogues, for the paper gives none
        batch_size: dialogues a training step, as the authors' code
        context, turns: as the chain has them
    """

    batch_size: int = 10
    contextlstm: int = 100
    dense: int = 100
    residual: Residual = Residual.BASELINE
    context: Context = Context.DIALOGUE
    turns: ContextTurns = ContextTurns.ALL


@dataclass(frozen=True)
class ContextHyperparameters(DialogueNetworkHyperparameters):
    """Those of ``bc_lstm``, the network over both sides of a dialogue.

    Attributes:
        svd_dimension: numbers of a turn's words in its vector
        vectors: as the chain has it
    """

    svd_dimension: int = 50
    vectors: TurnVectors = TurnVectors.TFIDF


@dataclass(frozen=True)
class PastHyperparameters(ContextHyperparameters):
    """Those of ``sc_lstm``, the network over the turns so far."""

    context: Context = Context.PAST


#: Of the systems that read the dialogue of an utterance.
DialogueHyperparameters = ChainHyperparameters | DialogueNetworkHyperparameters
