"""The model card: what a saved model is, for people who did not train it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.files import write_then_rename
from harness.saved_model import ModelRecord
from harness.store.records import ScoreKind, TestOpeningRow

SYNTHETIC_SENTENCE = (
    "**Trained on the synthetic corpus, not on IEMOCAP: no score on it is a score on IEMOCAP.**"
)

FITTED_ON_TEST_SENTENCE = "The vocabulary knows the words of the test session, as the published code's does."

#: Whose scores belong to a model that was trained from its beginning, and to one that came from others.
WHOLE_KINDS = frozenset({ScoreKind.VALIDATION_CHOSEN, ScoreKind.TEST_MAXIMUM})
VARIANT_KINDS = frozenset({ScoreKind.FUSION_RETRAINED, ScoreKind.BRANCH_REPLACED})


def write_model_card(model_dir: Path, record: ModelRecord, openings: Sequence[TestOpeningRow]) -> None:
    """Write ``MODEL_CARD.md`` beside the models.

    Args:
        openings: every opening of the test session that the results folder knows of
    """
    with write_then_rename(model_dir / "MODEL_CARD.md") as stream:
        stream.write(describe_card(record, openings).encode("utf-8"))


def describe_card(record: ModelRecord, openings: Sequence[TestOpeningRow]) -> str:
    """Return the card as Markdown."""
    of_experiment = [opening for opening in openings if opening.eid == record.eid]
    choices = "\n".join(f"| {name} | {value} |" for name, value in sorted(record.hyperparameters.items()))
    seeds = ", ".join(str(seed) for seed in record.seeds)
    return f"""# {record.system}: an emotion classifier for acted, dyadic speech

{SYNTHETIC_SENTENCE if record.is_synthetic else ""}

{record.variant or ""}

Best trial {record.trial_index} of experiment {record.eid}, trained again on train + validation
({record.num_train_utterances} utterances) for {record.num_epochs} epochs, the number that validation chose,
with {len(record.seeds)} seed(s): {seeds}. Predictions average their probabilities.
{FITTED_ON_TEST_SENTENCE if record.is_fitted_on_test else ""}

- **Input:** {", ".join(record.modalities)}
- **Output:** probabilities of {", ".join(record.classes)}, in this order
- **Protocol:** `{record.protocol.name}` ({record.protocol.protocol_hash})
- **Corpus:** content hash `{record.corpus_hash}`
- **Made:** {record.created_at}, {", ".join(f"{name} {version}" for name, version in record.versions.items())}

## Hyperparameters

| name | value |
|---|---|
{choices}

## Test session

{_describe_openings(record, of_experiment)}

## Use and limits

For research on emotion recognition. The corpus holds ten actors who speak American English in a studio, in
scripted and improvised scenes; four of its eleven labels are modelled, and `exc` is excitement without happiness.
Expect other voices, languages, microphones and real feelings to score lower. Not for decisions about people.
"""


def _describe_openings(record: ModelRecord, openings: Sequence[TestOpeningRow]) -> str:
    session = f"Session {record.protocol.test_session}"
    if not openings:
        return f"{session} has not been opened for this experiment."
    times = "\n".join(f"- {opening.opened_at}, `{opening.command}`" for opening in openings)
    opened = f"{session} has been opened {len(openings)} time(s) for this experiment:\n\n{times}"
    kinds = WHOLE_KINDS if record.variant is None else VARIANT_KINDS
    rows = [
        f"| {opening.opened_at} | {score.seed} | {score.kind} | {score.epoch} | {100 * score.weighted_accuracy:.2f} "
        f"| {100 * score.unweighted_accuracy:.2f} | {100 * score.macro_f1:.2f} |"
        for opening in openings
        for score in opening.scores
        if score.seed in record.seeds and score.kind in kinds
    ]
    if not rows:
        return f"{opened}\n\nNo score of these models is on record."
    return "\n".join(
        [
            f"{opened}\n\nScores on {session} of these seeds, in per cent:\n",
            "| opened at | seed | epoch chosen by | epoch | weighted accuracy | unweighted accuracy | macro F1 |",
            "|---|---|---|---|---|---|---|",
            *rows,
        ]
    )
