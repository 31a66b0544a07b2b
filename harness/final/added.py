"""Models that join an ensemble without a search of their own: fitted, weighed on validation, and saved."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from harness.features.auxiliary import join_words
from harness.features.store import Features
from harness.files import DIGESTS_NAME, write_digests
from harness.final.answers import added_dir, ask_added, mix
from harness.final.saved_model import AddedKind, AddedModel, save_trained
from harness.models.hyperparameters import Centring, FunctionalsHyperparameters, SvmCost, TurnVectors
from harness.models.systems import find_system
from harness.models.turns import TurnClassifier, TurnInputs
from harness.training.loop import mean_cross_entropy
from harness.training.recipe import Recipe, Trained, load_auxiliary, train_for_epochs

#: The weight of an added model is a multiple of 1 / NUM_STEPS. Ours.
NUM_STEPS = 20
#: Parts of the training utterances choose its C, as they do for the baseline.
_SVM = FunctionalsHyperparameters(svm_cost_choice=SvmCost.CROSS_VALIDATED)
#: Centred functionals score higher with this width (EmoDB, Sessions 1 to 4). Ours.
_CENTRED_SVM = replace(_SVM, centring=Centring.SPEAKER, svm_width=0.5)


def save_added(model_dir: Path, kind: AddedKind, group: int | None, recipe: Recipe, train: Features) -> None:
    """Fit an added model, and save it where ``answer_added`` looks for it.

    Args:
        group: of scenes, which ``train`` lacks; None where scenes are shared
        recipe: of an ensemble's member, whose protocol and auxiliary corpora count
        train: train and validation utterances
    """
    folder, fitted = added_dir(model_dir, kind, group), _fit(kind, recipe, train)
    if isinstance(fitted, TurnClassifier):
        # Until the new files are whole, the folder holds no model.
        (folder / DIGESTS_NAME).unlink(missing_ok=True)
        fitted.save(folder)
        write_digests(folder)
    else:
        save_trained(folder, fitted)


def has_added(model_dir: Path, kind: AddedKind, group: int | None) -> bool:
    """Return whether an added model has been fitted and saved whole."""
    return (added_dir(model_dir, kind, group) / DIGESTS_NAME).is_file()


def weigh_added(
    kinds: tuple[AddedKind, ...], recipe: Recipe, train: Features, validation: Features, mean: np.ndarray
) -> tuple[AddedModel, ...]:
    """Return added models with the weights of the highest likelihood on the search's validation utterances.

    Args:
        train: the search's training utterances; what is fitted on them is asked, and not kept
        mean: what the members of the ensemble answer of the validation utterances, floating (num_validation, 4)
    """
    answers = [ask_added(_fit(kind, recipe, train), validation) for kind in kinds]
    weighed = [
        {AddedModel(kind, step / NUM_STEPS): of_it for kind, step, of_it in zip(kinds, steps, answers)}
        for steps in product(range(NUM_STEPS + 1), repeat=len(kinds))
        if sum(steps) <= NUM_STEPS
    ]
    costs = [mean_cross_entropy(mix(mean, each), validation.emotions) for each in weighed]
    return tuple(weighed[int(np.argmin(costs))])


def _fit(kind: AddedKind, recipe: Recipe, train: Features) -> TurnClassifier | Trained:
    if kind is AddedKind.SVM:
        of_speech = find_system("speech_functionals")
        svm = _CENTRED_SVM if recipe.protocol.can_centre_functionals else _SVM
        alone = replace(recipe, system=of_speech, hyperparameters=svm, turn_model=None, auxiliary=None)
        return train_for_epochs(alone, train, num_epochs=1)[0]
    others = load_auxiliary(recipe)
    if others is not None:
        train = join_words(train, others)
    inputs, names = TurnInputs.read(train, TurnVectors.TFIDF), [turn.name for turn in train.utterances]
    return TurnClassifier.fit(inputs, train.emotions, class_weights=recipe.protocol.class_weights, names=names)
