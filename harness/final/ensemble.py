"""An ensemble of the best trials of one or several searches as one model: the mean of its members' probabilities.

Its folder, ``models/experiment-1-top-3-svm-0a1b2c3d`` for instance, has a record and a card: each member is the final
training of one trial, in a folder of its own beside it, as `harness retrain-best` makes it for the best one. Only the
models that are added without a search, ``tfidf/`` and ``svm/``, are the ensemble's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from harness.errors import ModelError
from harness.features.manifest import MODALITIES
from harness.features.store import FeatureStore
from harness.files import hash_json
from harness.final.added import has_added, save_added, weigh_added
from harness.final.best_point import BestPoint, find_best_points
from harness.final.retrain import (
    FinalTraining,
    describe_model,
    is_same_making,
    plan_trial,
    train_final_models,
)
from harness.final.saved_model import AddedKind, AddedModel, Member, ModelRecord
from harness.scoring.calibration import apply_temperature
from harness.store.store import ResultsStore
from harness.training.recipe import open_parts


@dataclass(frozen=True)
class Ensemble:
    """The final trainings of the best trials, and the folder of their mean.

    Attributes:
        members: of each search the best trial's first; the first search is the one that the ensemble stands for
        model_dir: its name ends in a hash of the members and their seeds
        added: models without a search of their own that answer too, each with a weight
    """

    members: tuple[FinalTraining, ...]
    model_dir: Path
    added: tuple[AddedKind, ...] = ()

    @property
    def num_models(self) -> int:
        """The models whose mean it is; where scenes are disjoint each of them has one network a group."""
        return sum(len(member.seeds) for member in self.members)


def plan_ensemble(
    results: ResultsStore,
    results_dir: Path,
    eids: Sequence[int],
    num_trials: int,
    num_seeds: int,
    *,
    added: Sequence[AddedKind] = (),
) -> Ensemble:
    """Plan the final trainings of the best trials; nothing is trained or written.

    The test session stays sealed while they train, whatever the protocol.

    Args:
        eids: the experiments; empty for the latest alone
        num_trials: members of each experiment; a single member needs an added model
        num_seeds: of each member
        added: as ``Ensemble`` has them

    Raises:
        WorkFailedError: fewer trials have finished
        ModelError: as ``plan_final_training``; or the experiments differ in what they were searched on; or the corpus
            lacks what an added model reads
        FeatureError, StoreError: as ``plan_final_training``
    """
    points = [
        point for eid in eids or (None,) for point in find_best_points(results, results_dir, eid, num_trials)
    ]
    for point in points[1:]:
        require_alike(points[0], point)
    members: tuple[FinalTraining, ...] = ()
    for point in points:
        # Searches with the same seed have trials with the same seeds, and a score is known by its seed.
        taken = {seed for member in members for seed in member.seeds}
        member = plan_trial(point, results_dir, num_seeds)
        free = [seed for seed in point.new_seeds(num_seeds + len(taken)) if seed not in taken]
        members += (replace(member, seeds=tuple(free[:num_seeds])),)
    store = members[0].open_features()
    for kind in added:
        if kind.modality not in store.modalities:
            raise ModelError(f"--with {kind}: the corpus has no {kind.modality}; expected a corpus that has it")
    kinds = tuple(sorted(added))
    decides = [[member.model_dir.name, list(member.seeds)] for member in members]
    # By what is between the experiment and the hash, the same ensembles of several folds are known.
    numbers = "-and-".join(str(eid) for eid in dict.fromkeys(member.experiment.eid for member in members))
    name = "-".join(["experiment", numbers, "top", str(num_trials), *kinds, hash_json([*decides, *kinds], 8)])
    return Ensemble(members, results_dir / "models" / name, kinds)


def require_alike(first: BestPoint, other: BestPoint) -> None:
    """Refuse members that were not trained and validated on the same features of the same utterances.

    Of different systems each must read single utterances: what is said of a dialogue's turns is said of the first one.
    """
    for what, known, found in (
        ("protocol", first.spec.protocol, other.spec.protocol),
        ("prepared features", first.spec.prepared_dir, other.spec.prepared_dir),
        ("corpus", first.experiment.corpus_hash, other.experiment.corpus_hash),
        ("auxiliary corpora", first.spec.auxiliary, other.spec.auxiliary),
    ):
        if known != found:
            raise ModelError(
                f"experiments {first.experiment.eid} and {other.experiment.eid}: differ in their {what}; expected the "
                "same for all members of an ensemble"
            )
    for point in (first, other):
        if point.system.contexts and first.system != other.system:
            raise ModelError(
                f"experiment {point.experiment.eid}: its system {point.system.name!r} reads the dialogue; expected "
                "systems of single utterances in an ensemble of several systems"
            )


def train_ensemble(
    ensemble: Ensemble,
    results: ResultsStore,
    on_epoch: Callable[[int, int], None] = lambda seed, epoch: None,
) -> None:
    """Train the members that are not saved yet, and write the ensemble's record last.

    Raises:
        ModelError, FeatureError, StoreError: as ``train_final_models``; or no training utterance has what an added
            model reads
    """
    for member in ensemble.members:
        train_final_models(member, results, on_epoch=on_epoch)
    store = ensemble.members[0].open_features()
    before = ModelRecord.read(ensemble.model_dir) if (ensemble.model_dir / "model.json").exists() else None
    groups = ensemble.members[0].group_numbers
    is_saved = all(has_added(ensemble.model_dir, kind, group) for kind in ensemble.added for group in groups)
    # The folder's name says what was trained how, so what is saved there is what would be fitted again.
    added = before.added if before is not None and is_saved else _add_models(ensemble, results, store)
    record = describe_ensemble(ensemble, store, added)
    ensemble.model_dir.mkdir(parents=True, exist_ok=True)
    if before is None or not is_same_making(before, record):
        record.write(ensemble.model_dir)


def _add_models(ensemble: Ensemble, results: ResultsStore, store: FeatureStore) -> tuple[AddedModel, ...]:
    """Save the added models, one for each group of scenes, and weigh them by the members' answers, one seed each."""
    if not ensemble.added:
        return ()
    best = ensemble.members[0]
    recipe, parts = best.recipe(best.seeds[0]), open_parts(best.spec.protocol, store)
    for group, fold in zip(best.group_numbers, parts.final_folds(()), strict=True):
        for kind in ensemble.added:
            save_added(ensemble.model_dir, kind, group, recipe, store.load(fold.train))
    train, validation = store.load(parts.train), store.load(parts.validation)
    of_members = []
    for member in ensemble.members:
        predictions = results.validation_predictions(member.trial.trial_id)
        known = {found.utterance_id: found.probabilities for found in predictions}
        of_member = np.array([known[name] for name in validation.utterance_ids])
        of_members.append(apply_temperature(of_member, member.trial.temperature))
    return weigh_added(ensemble.added, recipe, train, validation, np.mean(of_members, axis=0))


def describe_ensemble(ensemble: Ensemble, store: FeatureStore, added: Sequence[AddedModel] = ()) -> ModelRecord:
    """Return the record of an ensemble: that of the best trial's models, with the members and the added models."""
    best = ensemble.members[0]
    protocol = best.spec.protocol
    read = {modality for member in ensemble.members for modality in member.modalities}
    sentences = ""
    for each in added:
        title = each.kind.phrase[0].upper() + each.kind.phrase[1:]
        if each.weight:
            read.add(each.kind.modality)
            sentences += f" {title} answers with them: its weight, {each.weight:g} of 1, was chosen on validation."
        else:
            sentences += f" {title} got no weight on validation, and has no say."
    record = describe_model(best, store, len(open_parts(protocol, store).trained_on))
    return replace(
        record,
        modalities=tuple(modality for modality in MODALITIES if modality in read),
        speech_settings=store.manifest.speech_settings.to_json() if "speech" in read else None,
        seeds=tuple(seed for member in ensemble.members for seed in member.seeds),
        variant=(
            f"An ensemble: the mean of the probabilities of {ensemble.num_models} models, of the "
            f"{_name_trials(ensemble)}.{sentences}"
        ),
        added=tuple(added),
        temperature=None,
        members=tuple(
            Member(
                member.model_dir.name,
                member.system.name,
                member.experiment.eid,
                member.trial.trial_index,
                member.seeds,
                member.num_epochs,
                asdict(member.hyperparameters),
            )
            for member in ensemble.members
        ),
    )


def _name_trials(ensemble: Ensemble) -> str:
    """Name the trials of an ensemble, as its record and its card do."""
    eids = list(dict.fromkeys(member.experiment.eid for member in ensemble.members))
    num_trials = len(ensemble.members) // len(eids)
    trials = "best trial" if num_trials == 1 else f"{num_trials} best trials"
    if len(eids) == 1:
        return f"{trials} of experiment {eids[0]}"
    return f"{trials} of each of the experiments {' and '.join(map(str, eids))}"
