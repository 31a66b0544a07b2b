"""What each choice from `paper` to `careful` is worth: `python -m benchmarks.choices CORPUS --into FOLDER`.

Each row is an experiment of its own, run by the commands that a user types: `aup` with one trial in each fold of
`"folds": "sessions"`, then `harness retrain-best --test`. Every row adds one choice to the row before it. Printed are
the pooled scores over all test sets: the mean of the seeds with its interval over dialogues, the score of the seeds'
mean probabilities, and the best baseline of the same test evaluations. A row that is finished in FOLDER is not run
again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.files import hash_json
from harness.scoring.assessment import Assessment, name_baseline
from harness.scoring.folds import read_folded_scores
from harness.store.store import ResultsStore

REPOSITORY = Path(__file__).parents[1]
COMMANDS = {
    "aup": "import sys; from harness.cli.aup import main; sys.argv[0] = 'aup'; main()",
    "harness": "import sys; from harness.cli.main import main; sys.argv[0] = 'harness'; main()",
}


@dataclass(frozen=True)
class Row:
    """One experiment.

    Attributes:
        title: the choice that it adds
        point: the hyperparameters of its only trial; those that are not named keep their defaults
        added: what `retrain-best --with` adds to it
    """

    title: str
    system: str
    protocol: Mapping[str, Any] = field(default_factory=lambda: {"base": "paper"})
    point: Mapping[str, Any] = field(default_factory=dict)
    speech_features: str | None = None
    added: tuple[str, ...] = ()

    def then(
        self, title: str, point: Mapping[str, Any] | None = None, speech_features: str | None = None, **protocol: Any
    ) -> Row:
        """Return the row that adds one choice."""
        return replace(
            self,
            title=title,
            protocol={**self.protocol, **protocol},
            point={**self.point, **(point or {})},
            speech_features=speech_features or self.speech_features,
        )


def speech_rows() -> Iterator[Row]:
    """The rows of speech4, whose hyperparameters but for the named ones are alike, and those of the functionals."""
    alike = {"optimizer": "adam", "learning_rate": 0.001, "batch_size": 32}
    yield (row := Row("paper", "speech4", point=alike))
    yield (row := row.then("pooled by attention", {"attention": "pooling"}))
    yield (row := row.then("the epoch chosen by new speakers", base="strict"))
    yield (row := row.then("each speaker's speech scaled by his or her own turns", speaker_scaling="own"))
    yield (row := row.then("loudness", speech_features="loud"))
    yield (row := row.then("pitch, voicing and short frames", speech_features="detailed"))
    yield (row := row.then("the epoch chosen by smoothed accuracy", kept_weights="smoothed"))
    yield (row := row.then("label smoothing, time masks", {"label_smoothing": 0.1, "time_masks": 2}))
    yield replace(row, title="a support vector machine over functionals answers too", added=("svm",))
    yield (row := replace(row, title="functionals in place of the network", system="speech_functionals", point={}))
    yield row.then(
        "functionals centred by speaker, C and a width of their own",
        {"centring": "speaker", "svm_cost_choice": "cross-validated", "svm_width": 0.5},
    )


def text_rows() -> Iterator[Row]:
    """The rows of text2, and those of a regression in its place."""
    alike = {"optimizer": "adam", "learning_rate": 0.001}
    yield (row := Row("paper", "text2", point=alike))
    yield (row := row.then("the epoch chosen by new speakers", base="strict"))
    yield (row := row.then("the epoch chosen by smoothed accuracy", kept_weights="smoothed"))
    yield (row := row.then("input dropout, dropout 0.5", {"input_dropout": 0.3, "dropout": 0.5}))
    yield (row := row.then("word dropout, label smoothing", {"word_dropout": 0.1, "label_smoothing": 0.1}))
    yield (row := row.then("two directions, pooled by attention", {"directions": 2, "text_output": "pooling"}))
    regression = {"classifier": "logistic"}
    title = "a logistic regression over TF-IDF in place of the network"
    yield (row := replace(row, title=title, system="text_terms", point=regression))
    yield (row := row.then("a lexicon", {"lexicon": "vader"}))
    yield row.then("the scored scene left out, classes balanced", scenes="disjoint")


ROWS = {"speech": speech_rows, "text": text_rows}


def run_row(row: Row, folder: Path, corpus: Path, max_epochs: int, num_seeds: int) -> None:
    """Search and test one row in its own folder; what is finished there is not run again."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(REPOSITORY / "jobs", folder / "jobs", dirs_exist_ok=True)
    point = dict(row.point) or {"dropout": 0.5}
    experiment = {
        "name": "row",
        "system": row.system,
        "protocol": dict(row.protocol),
        "folds": "sessions",
        "corpus": str(corpus.absolute()),
        "script": "jobs/trial.py",
        "resource": "cpu",
        "n_parallel": 2,
        "proposer": "random",
        "n_samples": 1,
        "target": "max",
        "max_epochs": max_epochs,
        "parameter_config": [{"name": name, "type": "choice", "range": [value]} for name, value in point.items()],
    }
    if row.speech_features is not None:
        experiment["speech_features"] = row.speech_features
    (folder / "experiment.json").write_text(json.dumps(experiment, indent=2))
    added = [word for kind in row.added for word in ("--with", kind)]
    retrain = ("harness", "retrain-best", "--test", "--seeds", str(num_seeds), *added)
    for command in (("aup", "experiment.json"), retrain):
        run_command(row.title, folder, *command)


def run_command(title: str, folder: Path, *command: str) -> None:
    """Run `aup` or `harness` as a user types it.

    Raises:
        SystemExit: it failed; names ``title``
    """
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS[command[0]], *command[1:]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{title}: `{' '.join(command)}` ended with {done.returncode}: {done.stderr[-2000:]}")


def read_row(folder: Path) -> Assessment | None:
    """Read the pooled scores of a row's folds; None before all of them have been tested."""
    path = folder / "results" / "results.db"
    if not path.exists():
        return None
    with ResultsStore.open(path) as results:
        folded = results.folded_experiments()
        return read_folded_scores(results, folded[-1]).pooled if folded else None


def describe_row(number: int, row: Row, found: Assessment) -> str:
    """Return a line of the table, in Markdown."""
    cells = [f"{number}. {row.title}"]
    for score in found.scores[:2]:
        interval = score.interval
        cell = f"{100 * score.spread.mean:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
        # An ensemble is one model, whatever its seeds.
        cells.append(cell if found.num_seeds == 1 else f"{cell}; mean of seeds {100 * score.averaged:.1f}")
    best = max(found.comparisons, key=lambda each: each.weighted_accuracy.mean)
    weighted, unweighted = 100 * best.weighted_accuracy.mean, 100 * best.unweighted_accuracy.mean
    cells.append(f"{name_baseline(best.kind)}: {weighted:.1f}, {unweighted:.1f}")
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="a corpus in IEMOCAP's layout")
    parser.add_argument("--reads", choices=sorted(ROWS), default="speech")
    parser.add_argument("--into", type=Path, required=True, help="folder of the experiments")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max-epochs", type=int, default=30)
    asked = parser.parse_args(arguments)
    print("| each row adds | weighted, % | unweighted, % | best baseline: weighted, unweighted |")
    print("|---|---|---|---|", flush=True)
    for number, row in enumerate(ROWS[asked.reads](), start=1):
        decides = [asdict(row), str(asked.corpus.absolute()), asked.seeds, asked.max_epochs]
        folder = asked.into / f"{asked.reads}-{number}-{hash_json(decides, 8)}"
        if read_row(folder) is None:
            run_row(row, folder, asked.corpus, asked.max_epochs, asked.seeds)
        found = read_row(folder)
        assert found is not None, f"{row.title}: not every fold has been tested"
        print(describe_row(number, row, found), flush=True)


if __name__ == "__main__":
    main()
