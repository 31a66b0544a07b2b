"""Classifiers over one vector an utterance: functionals of speech, TF-IDF, or the mean of frames or word vectors."""

from __future__ import annotations

from dataclasses import replace

import keras
from keras import layers

from harness.models.decision import KernelSvm, LogisticRegression, Network, SparseLogisticRegression
from harness.models.fusion import classify
from harness.models.hyperparameters import (
    Centring,
    FunctionalsClassifier,
    FunctionalsHyperparameters,
    SvmCost,
    TextTermsHyperparameters,
    TextVectorHyperparameters,
    VectorHyperparameters,
)
from harness.models.inputs import Branch, InputShapes, drop_inputs, drop_words, speech_input, text_input
from harness.models.layers import MeanOfSteps, TermFrequencies
from harness.models.uni_svm import Functionals

#: Of the running mean and deviation of each functional: with the 0.99 of Keras a training of a few hundred utterances
#: ends before they are those of the training utterances.
_MOMENTUM = 0.9


def build_speech_functionals(hyperparameters: FunctionalsHyperparameters, shapes: InputShapes) -> Network:
    """Build the functionals, and the classifier that the hyperparameters name; each standardises them first."""
    branch = speech_input(shapes, hyperparameters)
    inputs, functionals = branch.inputs, Functionals(name="speech_vector")(branch.output, branch.mask)
    if hyperparameters.centring is Centring.SPEAKER:
        centre = keras.Input((functionals.shape[-1],), name="speaker_functionals")
        inputs = {**inputs, "speaker_functionals": centre}
        functionals = layers.Subtract(name="centred")([functionals, centre])
    if hyperparameters.classifier is FunctionalsClassifier.NETWORK:
        steps = layers.BatchNormalization(momentum=_MOMENTUM, name="standardised")(functionals)
        steps = layers.Dropout(hyperparameters.dropout, name="dropout")(steps)
        steps = layers.Dense(hyperparameters.dense, activation="relu", name="dense")(steps)
        steps = layers.Dropout(hyperparameters.dropout, name="dropout2")(steps)
        return Network(keras.Model(inputs, classify(steps), name="speech_functionals"))
    if hyperparameters.classifier is FunctionalsClassifier.SVM:
        cost = None if hyperparameters.svm_cost_choice is SvmCost.CROSS_VALIDATED else hyperparameters.svm_cost
        decision = KernelSvm(shapes.num_training, cost, hyperparameters.svm_width, name="svm")
    else:
        decision = LogisticRegression(hyperparameters.logistic_cost, name="logistic")
    answer = layers.Softmax(name="emotion")(decision(functionals))
    return Network(keras.Model(inputs, answer, name="speech_functionals"))


def build_text_terms(hyperparameters: TextTermsHyperparameters, shapes: InputShapes) -> Network:
    """Build TF-IDF of words, sentence marks and pairs, and a softmax over it: a logistic regression."""
    text = keras.Input((None,), dtype="int32", name="text")
    table = TermFrequencies(shapes.num_word_ids, name="text_terms")
    table.set_weights([shapes.embedding])
    if hyperparameters.is_fitted_at_once:
        logits = SparseLogisticRegression(hyperparameters.logistic_cost, name="logistic")(table(text))
        return Network(keras.Model({"text": text}, layers.Softmax(name="emotion")(logits), name="text_terms"))
    terms = drop_inputs(table(drop_words(text, hyperparameters)), hyperparameters, "text")
    terms = layers.Dropout(hyperparameters.dropout, name="text_dropout")(terms)
    return Network(keras.Model({"text": text}, classify(terms), name="text_terms"))


def build_speech_vector(hyperparameters: VectorHyperparameters, shapes: InputShapes) -> Branch:
    """The mean of the frames of speech, which is the vector itself of a file with one vector an utterance."""
    return _add_layers(speech_input(shapes, hyperparameters), hyperparameters, "speech")


def build_text_vector(hyperparameters: TextVectorHyperparameters, shapes: InputShapes) -> Branch:
    """The mean of the word vectors, or of the frames of a user's file in place of words."""
    return _add_layers(text_input(shapes, hyperparameters), hyperparameters, "text")


def _add_layers(branch: Branch, hyperparameters: VectorHyperparameters, name: str) -> Branch:
    """Dense relu over the mean of the steps, with dropout before it and behind it."""
    vector = MeanOfSteps(name=f"{name}_vector")(branch.output, branch.mask)
    vector = layers.Dropout(hyperparameters.dropout, name=f"{name}_dropout")(vector)
    hidden = layers.Dense(hyperparameters.dense, activation="relu", name=f"{name}_dense")(vector)
    output = layers.Dropout(hyperparameters.dropout, name=f"{name}_dropout2")(hidden)
    return replace(branch, output=output, mask=None)
