"""The hyperparameters of each system: frozen dataclasses whose fields are all that may be searched or set."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, TypeVar

from harness.features.context import Context, ContextTurns
from harness.features.lexica import Lexicon

_Value = TypeVar("_Value")

#: The largest floating-point number: no model can have NaN, an infinity or a longer integer.
_LARGEST = sys.float_info.max


def is_number(value: object) -> bool:
    """Return whether a value is a finite number that a hyperparameter can be, and no truth value.

    Example:
        >>> is_number(3), is_number(True), is_number(float("nan")), is_number(10**400)
        (True, False, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _later(default: _Value) -> _Value:
    """Mark a hyperparameter that was added when experiments were already on record without it.

    ``Hyperparameters.chosen``, which is written into records and identities, leaves it out while it has its default, so
    that those experiments are still found again.

    Args:
        default: trains exactly what was trained before the hyperparameter was added

    Returns:
        a dataclass field
    """
    return field(default=default, metadata={"is_later": True})


class Attention(StrEnum):
    """The layer after the first recurrent layer of an attentive speech branch."""

    DECODER = "decoder"  # the published Bahdanau decoder, one softmax over its units a step, flattened
    LINEAR_DECODER = "linear-decoder"  # the same, whose inputs of that softmax are flattened: they begin far larger
    POOLING = "pooling"  # a second LSTM and the attention-weighted mean of its steps


class FusedBranches(StrEnum):
    """The branches of a combined model, where the paper's text and its code differ."""

    CODE = "published-code"  # both text LSTMs of one width; each branch ends in a linear layer of one width
    TEXT = "paper"  # as the single systems: the second text LSTM half as wide, last layers with relu, motion's half


class Optimizer(StrEnum):
    ADAM = "adam"
    ADADELTA = "adadelta"
    SGD = "sgd"
    MOMENTUM = "momentum"  # SGD with a momentum of 0.9


class Gates(StrEnum):
    SIGMOID = "sigmoid"
    HARD_SIGMOID = "hard_sigmoid"  # the default of 2018's Keras


class WordVectors(StrEnum):
    TRAINED = "trained"
    FROZEN = "frozen"


class LabelDecision(StrEnum):
    """How a network of label sequences answers."""

    EXACT = "exact"  # the label of the highest likelihood
    BEST_PATH = "best-path"  # the label with the most frames where each frame has its most probable output


class Transfer(StrEnum):
    """What a classifier takes over from a speech recogniser of the same layers."""

    FROZEN = "frozen"  # its weights, which stay as they are
    FINE_TUNED = "fine-tuned"  # its weights, from which training goes on
    SCRATCH = "scratch"  # nothing: the weights begin at random


class Decider(StrEnum):
    """The classifier of an utterance over the class probabilities of its segments or frames."""

    ELM = "elm"  # an extreme learning machine over four statistics of each class
    KELM = "kelm"  # its kernel form
    POSTERIOR = "posterior"  # the highest mean


class PathLoss(StrEnum):
    """The sum over the paths of a chain of states that is trained by."""

    LOG_SUM = "log-sum"  # the logarithm of the sum of their probabilities
    LITERAL = "literal"  # the sum of their logarithms, as the equation is printed


class Boundaries(StrEnum):
    """The frames in which a voiced segment may have its emotion."""

    NONE = "none"  # any, in the order of the segments
    SEGMENTS = "segments"  # its own


class FrameFeatures(StrEnum):
    """The numbers of a short frame that a network reads."""

    LOG_MEL = "log-mel"  # the logarithms of 26 mel bands' power
    MFCC = "mfcc"  # 13 coefficients


class Views(StrEnum):
    """What a network answers while it is trained."""

    MULTI = "multi"  # emotion, activation and valence
    SINGLE = "single"  # the emotion alone


class PooledAttention(StrEnum):
    """The vector beside the pooled maps of convolutions."""

    SOFTMAX = "softmax"  # the mean of the pooled steps, weighted by a softmax over them
    NONE = "none"


class Residual(StrEnum):
    """The path of a turn's own vector around the recurrent layer of a network over dialogues."""

    BASELINE = "baseline"  # the logarithms of the context baseline's probabilities, added to the softmax's inputs
    PROBABILITIES = "probabilities"  # those of the probabilities of the turn's own classifier
    ADDED = "added"  # through a linear layer, added before the softmax
    NONE = "none"  # as published


class FunctionalsClassifier(StrEnum):
    """The classifier over the functionals of an utterance."""

    SVM = "svm"  # a support vector machine with a radial basis function
    LOGISTIC = "logistic"  # a logistic regression
    NETWORK = "network"  # one Dense layer, with dropout before and behind it


class Centring(StrEnum):
    """What is subtracted from the functionals of an utterance."""

    NONE = "none"
    SPEAKER = "speaker"  # the mean of the functionals of the speaker's turns


class TermsClassifier(StrEnum):
    """How the softmax over the terms of an utterance is fitted."""

    NETWORK = "network"  # by an optimiser, epoch by epoch
    LOGISTIC = "logistic"  # at once: a logistic regression with a C


class SvmCost(StrEnum):
    """The origin of a machine's C."""

    GIVEN = "given"  # the hyperparameter
    CROSS_VALIDATED = "cross-validated"  # training utterances that the machine was fitted without


class TurnVectors(StrEnum):
    """The inputs of a turn's own classifier, and the vector of the turn that a network over dialogues reads."""

    TFIDF = "tfidf"  # TF-IDF of its words
    FUNCTIONALS = "functionals"  # mean and deviation of each number of its frames of speech
    BOTH = "both"  # one classifier each, whose probabilities are averaged

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that are read."""
        return {"tfidf": ("text",), "functionals": ("speech",), "both": ("text", "speech")}[self.value]


class UnimodalVectors(StrEnum):
    """The modalities of an utterance whose vectors a support vector machine reads."""

    TEXT = "text"
    SPEECH = "speech"
    MOCAP = "mocap"
    TEXT_SPEECH = "text+speech"
    TEXT_MOCAP = "text+mocap"
    SPEECH_MOCAP = "speech+mocap"
    ALL = "text+speech+mocap"

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that are read."""
        return tuple(self.value.split("+"))


class TextOutput(StrEnum):
    """The vector of an utterance's words."""

    LAST = "last"  # the last state of the second LSTM
    POOLING = "pooling"  # the attention-weighted mean of its steps


@dataclass(frozen=True)
class Hyperparameters:
    """The base of the hyperparameters of every system."""

    @property
    def chosen(self) -> dict[str, Any]:
        """Every hyperparameter by name, but those that came later and have their default."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if "is_later" not in each.metadata or getattr(self, each.name) != each.default
        }

    @property
    def batch_size(self) -> int:
        """Utterances, or dialogues, a training step."""
        raise NotImplementedError

    @property
    def is_fitted_at_once(self) -> bool:
        """True where there are no training steps, so that every epoch would be the same one."""
        return False


@dataclass(frozen=True)
class TrainingHyperparameters(Hyperparameters):
    """Those that the training of every network reads, whatever its layers.

    Attributes:
        batch_size: utterances a training step
        label_smoothing: share of a target that is spread over the four classes
        soft_labels: share of a target that is the raters' votes in place of the label that most of them gave
        scene_robustness: the step by which scenes that training does badly on gain weight in the loss
        weight_decay: decoupled from the gradient: a step takes this times the learning rate of every weight but biases
        class_weight_power: a class's weight in the loss is its inverse frequency to this power: with 0 all utterances
            weigh the same, with 1 all classes do
        clip_norm: the longest gradient, of all weights together; a longer one is scaled down to it. 0 for no limit
    """

    optimizer: Optimizer = Optimizer.ADAM
    batch_size: int = 64
    label_smoothing: float = _later(0.0)
    soft_labels: float = _later(0.0)
    scene_robustness: float = _later(0.0)
    weight_decay: float = _later(0.0)
    class_weight_power: float = _later(0.0)
    clip_norm: float = _later(0.0)

    @property
    def rate(self) -> float:
        """The optimiser's learning rate, under whichever name the system searches it."""
        raise NotImplementedError


@dataclass(frozen=True)
class OwnHyperparameters(TrainingHyperparameters):
    """The base of the hyperparameters of a model of one's own, whose dataclass adds those of its layers."""

    learning_rate: float = 0.001

    @property
    def rate(self) -> float:
        return self.learning_rate


@dataclass(frozen=True)
class NetworkHyperparameters(TrainingHyperparameters):
    """The hyperparameters of every network here.

    Attributes:
        dropout: share of activations dropped
        gates: of the recurrent layers
        recurrent_dropout: share of a recurrent layer's state dropped at each step
        word_dropout: share of the words that training reads as the unknown word, whose vector nothing else trains
        input_dropout: share of the numbers dropped that the first layer reads: of word vectors, frames and motion
        noise: deviation of the Gaussian noise that training adds to the scaled numbers of speech and motion
        time_masks: spans of each utterance's frames that training reads as zeros; ``layers.TimeMasks`` has their width
    """

    dropout: float = 0.2
    gates: Gates = Gates.SIGMOID
    recurrent_dropout: float = 0.0
    word_dropout: float = _later(0.0)
    input_dropout: float = _later(0.0)
    noise: float = _later(0.0)
    time_masks: int = _later(0)


@dataclass(frozen=True)
class RateHyperparameters(NetworkHyperparameters):
    """Those of the networks that search their learning rate under this name.

    Attributes:
        learning_rate: 0.001 is Adam's own
    """

    learning_rate: float = 0.001

    @property
    def rate(self) -> float:
        return self.learning_rate


@dataclass(frozen=True)
class SingleHyperparameters(RateHyperparameters):
    """Those of the systems of one modality; the convolutions over motion and the motion Dense layer have no more.

    Attributes:
        dense: units of the last layer before the softmax
    """

    dense: int = 256


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
    """Two stacked LSTMs over given word vectors, each of ``textlstm`` and ``textlstm2`` units a direction."""

    textlstm: int = 512
    textlstm2: int = 256
    dense: int = 512
    word_vectors: WordVectors = WordVectors.TRAINED
    embedding_dimension: int = 300
    directions: int = _later(1)
    text_output: TextOutput = _later(TextOutput.LAST)


@dataclass(frozen=True)
class Text3Hyperparameters(AdadeltaHyperparameters):
    """Two stacked LSTMs over word vectors that begin at random."""

    textlstm: int = 512
    textlstm2: int = 256
    dense: int = 512
    random_dimension: int = 128


@dataclass(frozen=True)
class TextTermsHyperparameters(RateHyperparameters):
    """Those of the softmax over TF-IDF.

    Attributes:
        dropout: share of the terms' numbers dropped
        lexicon: whose groups of words, and polarity of the utterance, are terms too
        optimizer, learning_rate: ours. Adam, which steps as far for a rare term as for a frequent one, scores two
            points less on television dialogues
        classifier: ``LOGISTIC`` reads ``logistic_cost``, ``lexicon`` and ``class_weight_power`` alone
        logistic_cost: C of the regression: the smaller, the smaller its weights; 1 is scikit-learn's default
    """

    dropout: float = 0.0
    optimizer: Optimizer = Optimizer.MOMENTUM
    learning_rate: float = 0.5
    lexicon: Lexicon = _later(Lexicon.NONE)
    classifier: TermsClassifier = _later(TermsClassifier.NETWORK)
    logistic_cost: float = _later(1.0)

    @property
    def is_fitted_at_once(self) -> bool:
        return self.classifier is TermsClassifier.LOGISTIC


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
        textlstm: units of both text LSTMs, or of the first
        speechlstm: units of the speech LSTM and of its attention
        finalfc: units of the layer before the softmax
        adamlr: learning rate
        branch_dense: units of each branch's last layer
        branches: the default is the published code's under every protocol; with ``paper``, ``textlstm`` 512 and
            ``branch_dense`` 512 the branches are those of sections 4.1 to 4.3
    """

    textlstm: int = 256
    speechlstm: int = 128
    finalfc: int = 256
    adamlr: float = 0.001
    branch_dense: int = 256
    branches: FusedBranches = _later(FusedBranches.CODE)
    attention: Attention = Attention.DECODER
    directions: int = 2
    word_vectors: WordVectors = WordVectors.TRAINED
    embedding_dimension: int = 300

    @property
    def rate(self) -> float:
        return self.adamlr

    @property
    def branch_activation(self) -> str | None:
        """The activation of each branch's last layer; None where it is linear."""
        return "relu" if self.branches is FusedBranches.TEXT else None


@dataclass(frozen=True)
class OneLabelHyperparameters(SingleHyperparameters):
    """Those of the two BLSTM layers of Chernykh and Prikhodko, and of what follows them.

    Attributes:
        speechlstm, speechlstm2: units of each direction
        max_frames: the frames after these are cut off; 78 is about the 90th percentile
        dropout: the paper names none
    """

    dropout: float = 0.0
    dense: int = 512
    speechlstm: int = 64
    speechlstm2: int = 64
    max_frames: int = 78


@dataclass(frozen=True)
class CtcHyperparameters(OneLabelHyperparameters):
    """Those of the same network over label sequences."""

    decision: LabelDecision = LabelDecision.EXACT


@dataclass(frozen=True)
class AcnnHyperparameters(RateHyperparameters):
    """Those of the attentive convolutional network of Neumann and Vu.

    Attributes:
        dropout: share dropped of what the softmax layers read. The paper says 0.8 of its "last hidden layer", and not
            whether that is dropped or kept: here it is dropped
        batch_size: 50 in the paper with ``FrameFeatures.MFCC``
        learning_rate: Adam's own; the paper names none
        maps: kernels of each width
        width, width2: frames that a kernel spans; the paper says two widths, and not which
        max_frames: the frames after these are cut off; 7.5 s
        activation_weight, valence_weight: of those losses beside the emotion's; the paper names none
    """

    dropout: float = 0.8
    batch_size: int = 30
    features: FrameFeatures = FrameFeatures.LOG_MEL
    views: Views = Views.MULTI
    attention: PooledAttention = PooledAttention.SOFTMAX
    maps: int = 100
    width: int = 10
    width2: int = 15
    max_frames: int = 750
    activation_weight: float = 1.0
    valence_weight: float = 1.0


@dataclass(frozen=True)
class AsrTransferHyperparameters(RateHyperparameters):
    """Those of a classifier over the layers of a speech recogniser.

    Attributes:
        dropout, recurrent_dropout, learning_rate: of the classifier; the recogniser has none, and Adam's own rate
        asr_layer: the recurrent layer, 1 or 2, whose steps the classifier reads
        asr_units: filters of each convolution, and units of each direction
        asr_epochs: that the recogniser is trained for
    """

    batch_size: int = 32
    transfer: Transfer = Transfer.FROZEN
    asr_layer: int = 2
    asr_units: int = 128
    asr_epochs: int = 15


@dataclass(frozen=True)
class UniSvmHyperparameters(SingleHyperparameters):
    """Those of the support vector machine over the vectors of one utterance.

    Attributes:
        vectors: the modalities that are read
        filters: of each of the first convolutions over words, of width 3 and of width 4
        filters2: of the second convolution
        dense: numbers of the vector of words
        mocap_dense: numbers of the vector of motion
        dropout: before the vector of words, and after each convolution over motion; the paper names none
        svm_cost: C of the machine, the larger, the closer training utterances are met; the paper names none, and 1
            fits some thousand utterances with hundreds of numbers too closely
    """

    vectors: UnimodalVectors = UnimodalVectors.TEXT_SPEECH
    filters: int = 50
    filters2: int = 100
    dense: int = 500
    mocap_dense: int = 256
    dropout: float = 0.0
    svm_cost: float = 0.01
    word_vectors: WordVectors = WordVectors.TRAINED
    embedding_dimension: int = 300

    @property
    def is_fitted_at_once(self) -> bool:
        return self.vectors is UnimodalVectors.SPEECH


@dataclass(frozen=True)
class FunctionalsHyperparameters(SingleHyperparameters):
    """Those of a classifier over the functionals of speech; each reads its own.

    Attributes:
        svm_cost: C of the machine
        svm_cost_choice: whether it is that C, or one that parts of the training utterances choose, as for the baseline
        svm_width: g of its exp(-g distance^2 / numbers of a vector); 1 is scikit-learn's default
        logistic_cost: C of the regression: the smaller, the smaller its weights
        dropout, dense, learning_rate: of the network. All defaults are ours, from recordings that are not IEMOCAP's
        centring: ``SPEAKER`` needs a protocol that scales each speaker's speech by all turns
    """

    classifier: FunctionalsClassifier = FunctionalsClassifier.SVM
    dropout: float = 0.5
    dense: int = 128
    svm_cost: float = 3.0
    svm_width: float = 1.0
    logistic_cost: float = 0.03
    svm_cost_choice: SvmCost = _later(SvmCost.GIVEN)
    centring: Centring = _later(Centring.NONE)

    @property
    def is_fitted_at_once(self) -> bool:
        return self.classifier is not FunctionalsClassifier.NETWORK


@dataclass(frozen=True)
class VectorHyperparameters(SingleHyperparameters):
    """Those of a small network over one vector an utterance.

    Attributes:
        dropout: before the layer ``dense`` and behind it. All defaults are ours
    """

    dropout: float = 0.5
    dense: int = 128


@dataclass(frozen=True)
class TextVectorHyperparameters(VectorHyperparameters):
    """Those of the same over words; the two here have no meaning where a file stands for the words."""

    word_vectors: WordVectors = WordVectors.TRAINED
    embedding_dimension: int = 300


@dataclass(frozen=True)
class DeciderHyperparameters(RateHyperparameters):
    """Those of a network over segments or frames, and of the classifier over its probabilities.

    Attributes:
        dropout: the papers name none
        learning_rate: the papers give none
        decision: the classifier
        elm_units: random units of an extreme learning machine
        regularisation, width: of its kernel form, as ``KernelMachine`` takes them; the papers give none
    """

    dropout: float = 0.0
    decision: Decider = Decider.KELM
    elm_units: int = 120
    regularisation: float = 10.0
    width: float = 1.0


@dataclass(frozen=True)
class SegmentHyperparameters(DeciderHyperparameters):
    """Those of the network over segments of Han, Yu and Tashev.

    Attributes:
        dense: units of each of the three layers
        segment_share: of an utterance's segments, those of the highest energy; Lee and Tashev's best is 0.3
        learning_rate, batch_size: ours, as is the momentum; a batch of 16 utterances has some 600 segments
    """

    optimizer: Optimizer = Optimizer.MOMENTUM
    learning_rate: float = 0.01
    batch_size: int = 16
    decision: Decider = Decider.ELM
    dense: int = 256
    segment_share: float = 0.1


@dataclass(frozen=True)
class NullStateHyperparameters(DeciderHyperparameters):
    """Those of the two BLSTM layers of Lee and Tashev, and of the chain of states over their outputs.

    Attributes:
        speechlstm, speechlstm2: units of each direction
        learning_rate: Adam's own
        batch_size: ours; 64 of the longest utterances, 1500 frames each, would need 2.4 GB
    """

    batch_size: int = 32
    speechlstm: int = 64
    speechlstm2: int = 64
    loss: PathLoss = PathLoss.LOG_SUM
    boundaries: Boundaries = Boundaries.NONE


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

    @property
    def is_fitted_at_once(self) -> bool:
        return True


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
