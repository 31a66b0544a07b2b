"""The model card: a saved model and its scores, described for people who did not train it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.corpus.utterances import Happiness
from harness.files import write_then_rename
from harness.final.saved_model import Member, ModelRecord, name_in_results
from harness.report.evaluations import tabulate_evaluations
from harness.report.findings import Replication, read_replication
from harness.report.follow_ups import describe_replication
from harness.report.statements import (
    Statement,
    count_openings,
    describe_context,
    describe_fold,
    describe_kept_weights,
    describe_own_features,
    describe_published,
    describe_scenes,
    describe_seal,
    describe_source,
    describe_speakers,
    describe_split,
    describe_temperature,
    name_final_length,
    percent,
    title_model,
)
from harness.report.tables import Table
from harness.report.test_set import describe_scores, order_scores, tabulate_opening, tabulate_openings
from harness.scoring.assessment import ScoredOpening, draw_intervals, leading_score, read_scored_opening
from harness.splits.protocol import EpochChoice, Scenes
from harness.store.evaluations import read_evaluations
from harness.store.records import EvaluationRow, FoldedExperimentRow, Prediction, TestOpeningRow, TrialStatus
from harness.store.store import ResultsStore
from harness.wording import SYNTHETIC_SENTENCE, plural

FITTED_ON_TEST_SENTENCE = "The vocabulary contains the words of the test session, as in the published code."

LIMITS_OF_SYNTHETIC = """\
Only for trying out the package. The corpus consists of tones, invented words and invented motion, in which this
package planted cues to the four classes: nobody spoke, and nobody felt anything. The model knows nothing about
people's voices, words or movements; its scores show only that the code learns the planted cues. Do not use it for
decisions about people."""

LIMITS = """\
For research on emotion recognition. The corpus holds ten speakers, each acting in American English in a studio, in
scripted and improvised scenes; four of its eleven labels are modelled, and `exc` is {excitement}.
The test set has at most the two speakers of one session. Expect other voices, languages, microphones and real
feelings to score lower. Do not use it for decisions about people."""

_EXCITEMENT = {
    Happiness.EXCITED: "excitement without happiness",
    Happiness.MERGED: "excitement and happiness together",
}


@dataclass(frozen=True)
class CardFacts:
    """Everything that the results folder knows of a model besides its own record.

    Attributes:
        model: path of the model's folder inside the results folder, by which its scores are known
        searched_scenes: the choice of the search's protocol
        trial_score: validation accuracy of the trial whose hyperparameters it has, from 0 to 1; None where unknown
        num_finished: trials that it was the best of
        openings: every test evaluation of this corpus, oldest first, by whatever command
        scored: the latest test evaluation of this very model, broken down; None before there is one
        evaluations: of this very model on other corpora, oldest first
        replication: new seeds of the search's best trial, where that is this model's; None without any
        folded: the experiment of several folds that the search is one of; None for a whole one
        embedding_source, best_epoch: as the trial's result has them
        features_note: on the files of a user's own features that the search read, as the experiment has it
        validation: the trial's predictions on validation, where a temperature was fitted on them
    """

    model: str
    searched_scenes: Scenes
    trial_score: float | None
    num_finished: int
    openings: tuple[TestOpeningRow, ...]
    scored: ScoredOpening | None
    evaluations: tuple[EvaluationRow, ...]
    replication: Replication | None
    folded: FoldedExperimentRow | None
    embedding_source: str | None = None
    best_epoch: int | None = None
    validation: tuple[Prediction, ...] = ()
    features_note: str | None = None


def write_model_card(model_dir: Path, results: ResultsStore) -> ScoredOpening | None:
    """Write ``MODEL_CARD.md`` beside the models, with every test evaluation so far.

    Returns:
        the latest test evaluation of this very model, whose bootstrap is drawn here once; None before there is one

    Raises:
        ModelError: the folder holds no whole model
        StoreError: the results cannot be read
    """
    record = ModelRecord.read(model_dir)
    facts = read_card_facts(model_dir, record, results)
    with write_then_rename(model_dir / "MODEL_CARD.md") as stream:
        stream.write(describe_card(record, facts).encode("utf-8"))
    return facts.scored


def read_card_facts(model_dir: Path, record: ModelRecord, results: ResultsStore) -> CardFacts:
    """Read the facts of the model in ``model_dir``."""
    model = name_in_results(model_dir)
    finished = [trial for trial in results.trials(record.eid) if trial.status is TrialStatus.FINISHED]
    own = [trial for trial in finished if trial.trial_index == record.trial_index]
    openings = [opening for opening in results.openings() if opening.corpus_hash == record.corpus_hash]
    experiment = results.experiment(record.eid)
    replication = read_replication(results, experiment)
    is_of_this = replication is not None and replication.best.trial_index == record.trial_index
    return CardFacts(
        model=model,
        searched_scenes=Scenes(json.loads(experiment.protocol).get("scenes", Scenes.SHARED)),
        trial_score=own[0].score if own else None,
        num_finished=len(finished),
        openings=tuple(openings),
        scored=read_scored_opening(results, record.eid, model),
        evaluations=tuple(row for row in read_evaluations(results, record.eid) if row.model == model),
        replication=replication if is_of_this else None,
        folded=results.folded(experiment),
        embedding_source=own[0].embedding_source if own else None,
        best_epoch=own[0].best_epoch if own else None,
        validation=(
            tuple(results.validation_predictions(own[0].trial_id)) if own and record.temperature is not None else ()
        ),
        features_note=experiment.features_note,
    )


def describe_card(record: ModelRecord, facts: CardFacts) -> str:
    """Return the card as Markdown."""
    hyperparameters = tuple((name, str(value)) for name, value in sorted(record.settings.items()))
    systems = tuple(dict.fromkeys(member.system for member in record.members))
    if record.members:
        hyperparameters = tuple(
            (f"{_name_member(member, record)}: {name}", str(value))
            for member in record.members
            for name, value in sorted(member.hyperparameters.items())
        )
    limits = LIMITS.format(excitement=_EXCITEMENT[record.protocol.happiness])
    parts = [
        f"# {title_model(' and '.join(systems) or record.system, record.hyperparameters)}",
        f"**{SYNTHETIC_SENTENCE}**" if record.is_synthetic else "",
        "" if record.corpus_note is None else f"**{record.corpus_note}**",
        record.variant or "",
        _describe_training(record, facts.best_epoch),
        FITTED_ON_TEST_SENTENCE if record.is_fitted_on_test else "",
        _describe_interface(record),
        "## Who chose what",
        _list_statements(_describe_choices(record, facts)),
        "## Hyperparameters",
        write_markdown(Table("", ("name", "value"), hyperparameters)),
        "## Test session",
        _describe_openings(record, facts.openings),
        *_describe_scores(record, facts),
        "## Other corpora",
        _describe_evaluations(facts.evaluations),
        "## Use and limits",
        LIMITS_OF_SYNTHETIC if record.is_synthetic else limits,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _name_member(member: Member, record: ModelRecord) -> str:
    """Name a member of an ensemble by its trial, and by its system and experiment where the members have several."""
    if len({each.eid for each in record.members}) == 1:
        return f"trial {member.trial_index}"
    return f"trial {member.trial_index} of experiment {member.eid}, {member.system}"


def _describe_training(record: ModelRecord, best_epoch: int | None) -> str:
    if record.members:
        trials = ", ".join(
            f"{_name_member(member, record)} ({plural(member.num_epochs, 'epoch')}, "
            f"{plural(len(member.seeds), 'seed')}, `{member.model}`)"
            for member in record.members
        )
        return (
            "Its members were trained again on train + validation "
            f"({plural(record.num_train_utterances, 'utterance')}):\n{trials}.\n"
            "`harness predict` answers with what is described above. The members' folders belong to this one."
        )
    seeds = ", ".join(str(seed) for seed in record.seeds)
    return (
        f"Best trial {record.trial_index} of experiment {record.eid}, trained again on train + validation\n"
        f"({plural(record.num_train_utterances, 'utterance')}) for {plural(record.num_epochs, 'epoch')}, "
        f"{name_final_length(record.protocol.to_json(), best_epoch)},\n"
        f"with {plural(len(record.seeds), 'seed')}: {seeds}.\n"
        "`harness predict` averages their probabilities."
    ) + (
        f"\nEach seed has {len(record.scene_groups)} models, each trained without one group of scenes."
        if record.scene_groups
        else ""
    )


def _describe_interface(record: ModelRecord) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    own = record.own_system
    built = "" if own is None else f"- **Built by:** {record.system} in this folder, SHA-256 `{own['sha256']}`\n"
    return (
        f"{built}- **Input:** {', '.join(record.modalities)}\n"
        f"- **Output:** probabilities of {', '.join(record.classes)}, in this order\n"
        f"- **Protocol:** `{record.protocol.name}` ({record.protocol.protocol_hash})\n"
        f"- **Corpus:** content hash `{record.corpus_hash}`\n"
        f"- **Made:** {record.created_at}, {versions}"
    )


def _describe_choices(record: ModelRecord, facts: CardFacts) -> list[Statement]:
    protocol = record.protocol.to_json()
    statements = [
        Statement("Split", " ".join([*describe_split(protocol, record.is_on_iemocap), describe_seal(protocol)])),
        *describe_speakers(protocol),
        describe_scenes(protocol, record.scene_groups, searched=facts.searched_scenes),
    ]
    statements += describe_own_features(facts.features_note)
    if facts.folded is not None:
        statements.append(describe_fold(facts.folded))
    if facts.trial_score is not None:
        whose = "Those of the best member were" if record.members else "They were"
        text = (
            f"{whose} the best of {plural(facts.num_finished, 'finished trial')} by validation accuracy, with "
            f"{percent(facts.trial_score)}."
        )
        if facts.num_finished > 1:
            text += " The best of several trials is also the luckiest, so this figure is optimistic."
        statements.append(Statement("Hyperparameters", text))
    if facts.replication is not None:
        statements.append(describe_replication(facts.replication))
    best_epoch = record.num_epochs if facts.best_epoch is None else facts.best_epoch
    text = f"Validation chose {plural(best_epoch, 'epoch')} in that trial. {describe_kept_weights(protocol)}"
    statements.append(Statement("Epoch", text.rstrip()))
    statements += describe_temperature(record.temperature, facts.validation)
    statements += describe_source(record.system, facts.embedding_source)
    statements += describe_context(record.system, record.hyperparameters)
    if record.protocol.epoch_choice is EpochChoice.TEST_MAXIMUM:
        text = (
            "This protocol also reports the best epoch on the test set, as the published code does: such a score is "
            "optimistic, and labelled as such."
        )
        statements.append(Statement("Test maximum", text, is_warning=True))
    return statements


def _describe_openings(record: ModelRecord, openings: Sequence[TestOpeningRow]) -> str:
    if not openings:
        return f"{record.protocol.test_set} of this corpus has never been scored from this results folder."
    sentence = f"{count_openings(openings)} on this corpus from this results folder:"
    return f"{sentence}\n\n{write_markdown(tabulate_openings(openings))}"


def _describe_scores(record: ModelRecord, facts: CardFacts) -> list[str]:
    if facts.scored is None:
        return ["These models have no recorded scores."] if facts.openings else []
    parts = [
        "### Scores",
        _list_statements(describe_scores(facts.scored)),
        write_markdown(_tabulate_seeds(record, facts)),
    ]
    tables = [table for table in tabulate_opening(facts.scored) if table.rows]
    parts += [f"#### {table.title}\n\n{write_markdown(table)}" for table in tables]
    if record.is_on_iemocap:
        published = describe_published()
        parts += [f"### {published.heading}", published.text]
    return parts


def _describe_evaluations(evaluations: Sequence[EvaluationRow]) -> str:
    if not evaluations:
        return "These models have not been scored on any other corpus; `harness evaluate` does that."
    intervals = {evaluation.evaluation_id: draw_intervals(evaluation) for evaluation in evaluations}
    return write_markdown(tabulate_evaluations(evaluations, intervals))


def _tabulate_seeds(record: ModelRecord, facts: CardFacts) -> Table:
    ordered = order_scores(leading_score(record.protocol.to_json()))
    rows = [
        (
            str(opening.opening_id),
            "" if score.kind.is_mean_of_models else str(score.seed),
            str(score.kind),
            "" if score.epoch is None else str(score.epoch),
            *(f"{100 * getattr(score, field):.2f}" for field in ordered.values()),
        )
        for opening in facts.openings
        for score in opening.scores
        if opening.eid == record.eid and score.model == facts.model
    ]
    corpus = "the synthetic corpus, no score on IEMOCAP" if record.is_synthetic else f"corpus {record.corpus_hash[:8]}"
    columns = ("no.", "seed", "epoch chosen by", "epoch", *ordered)
    note = (
        f"One row for each test evaluation, by its number: every score of these seeds on {record.protocol.test_set} of "
        f"{corpus}, in per cent."
    )
    return Table("", columns, tuple(rows), frozenset({"epoch", *columns[4:]}), note)


def _list_statements(statements: Sequence[Statement]) -> str:
    return "\n".join(f"- **{statement.heading}:** {statement.text}" for statement in statements)


def write_markdown(table: Table) -> str:
    """Write a table as Markdown, its note below it.

    Example:
        >>> print(write_markdown(Table("", ("a", "b"), (("x|y", "1"),), frozenset({"b"}), "Of two.")))
        | a | b |
        |---|---:|
        | x\\|y | 1 |
        <BLANKLINE>
        Of two.
    """
    marks = ["---:" if column in table.numbers else "---" for column in table.columns]
    lines = [_write_row(table.columns), f"|{'|'.join(marks)}|", *map(_write_row, table.rows)]
    return "\n".join(lines) + (f"\n\n{table.note}" if table.note else "")


def _write_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"
