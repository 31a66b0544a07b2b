"""A classifier over the functionals of an utterance's speech: a machine, a regression or a small network."""

from __future__ import annotations

import keras
from keras import layers

from harness.models.decision import KernelSvm, LogisticRegression, Network
from harness.models.fusion import classify
from harness.models.hyperparameters import FunctionalsClassifier, FunctionalsHyperparameters, SvmCost
from harness.models.inputs import InputShapes, speech_input
from harness.models.uni_svm import Functionals

#: Of the running mean and deviation of each functional: with the 0.99 of Keras a training of a few hundred utterances
#: ends before they are those of the training utterances.
_MOMENTUM = 0.9


def build_speech_functionals(hyperparameters: FunctionalsHyperparameters, shapes: InputShapes) -> Network:
    """Build the functionals, and the classifier that the hyperparameters name; each standardises them first."""
    branch = speech_input(shapes, hyperparameters)
    functionals = Functionals(name="speech_vector")(branch.output, branch.mask)
    if hyperparameters.classifier is FunctionalsClassifier.NETWORK:
        steps = layers.BatchNormalization(momentum=_MOMENTUM, name="standardised")(functionals)
        steps = layers.Dropout(hyperparameters.dropout, name="dropout")(steps)
        steps = layers.Dense(hyperparameters.dense, activation="relu", name="dense")(steps)
        steps = layers.Dropout(hyperparameters.dropout, name="dropout2")(steps)
        return Network(keras.Model(branch.inputs, classify(steps), name="speech_functionals"))
    if hyperparameters.classifier is FunctionalsClassifier.SVM:
        cost = None if hyperparameters.svm_cost_choice is SvmCost.CROSS_VALIDATED else hyperparameters.svm_cost
        decision = KernelSvm(shapes.num_training, cost, hyperparameters.svm_width, name="svm")
    else:
        decision = LogisticRegression(hyperparameters.logistic_cost, name="logistic")
    answer = layers.Softmax(name="emotion")(decision(functionals))
    return Network(keras.Model(branch.inputs, answer, name="speech_functionals"))
