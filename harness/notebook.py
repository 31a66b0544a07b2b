"""A results folder for Python and notebooks: pandas tables, figures that display themselves, and a search that is run.

Users reach it as ``harness.open`` and ``harness.run``.
"""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.errors import HarnessError, WorkFailedError, unknown_name
from harness.store.export import ColumnType, ExportedRows, choose_experiments, read_rows
from harness.store.store import DATABASE, ResultsStore

if TYPE_CHECKING:
    from harness.report.page import Picture

#: Types of columns in which a value may be missing.
_DTYPES = {
    ColumnType.WHOLE_NUMBER: "Int64",
    ColumnType.NUMBER: "float64",
    ColumnType.TEXT: "string",
    ColumnType.TRUTH: "boolean",
}
_AUP = "import sys; from harness.cli.aup import main; sys.argv[0] = 'aup'; main()"
_INTERRUPTED = 130


@dataclass(frozen=True)
class Results:
    """A results folder. It is read anew by every call, so a running search can be followed.

    Every table has one row a thing, headings with units, and the column ``is_synthetic``, which marks what is not of
    IEMOCAP. A missing value is ``pd.NA``, of a number with a fraction NaN.

    Attributes:
        path: of the folder
    """

    path: Path

    def experiments(self) -> pd.DataFrame:
        """Return every experiment of the folder: searches, folds and what came after them.

        Returns:
            one row an experiment, with its number ``eid``, its settings and its status
        """
        return self._read(ExportedRows.EXPERIMENTS, None, is_whole=True)

    def trials(self, experiment: int | None = None) -> pd.DataFrame:
        """Return the trials, with a column ``hyperparameter_...`` for every hyperparameter.

        Args:
            experiment: its number; None for the latest search with its other folds

        Returns:
            one row an attempt at a trial; ``score`` is the validation accuracy from 0 to 1, missing without a score

        Raises:
            StoreError: no such experiment, or no search yet
        """
        return self._read(ExportedRows.TRIALS, experiment)

    def epochs(self, experiment: int | None = None) -> pd.DataFrame:
        """Return the epochs of every trial: losses in nats, accuracies from 0 to 1, seconds.

        Args, Raises: as ``trials``
        """
        return self._read(ExportedRows.EPOCHS, experiment)

    def predictions(self, experiment: int | None = None) -> pd.DataFrame:
        """Return what every trial answered of the validation utterances: one row an utterance and trial.

        Args, Raises: as ``trials``
        """
        return self._read(ExportedRows.PREDICTIONS, experiment)

    def test_scores(self, experiment: int | None = None) -> pd.DataFrame:
        """Return the scores of the test evaluations that are on record, with who chose their epoch; opens no test set.

        Args, Raises: as ``trials``
        """
        return self._read(ExportedRows.TEST_SCORES, experiment)

    def figure(self, name: str = "history", experiment: int | None = None) -> DisplayedFigure:
        """Return a chart of the report; as the last line of a notebook's cell it displays itself.

        Args:
            name: as in the report: ``history``, ``learning-curves``, ``confusion``, ...
            experiment: its number; None for the latest search

        Raises:
            UnknownNameError: no such chart
            StoreError: no such experiment, or no search yet
        """
        from harness.report.findings import read_findings
        from harness.report.page import render_pictures

        with ResultsStore.open_readonly(self.path / DATABASE) as store:
            findings = read_findings(store, experiment)
        seen = []
        for picture in render_pictures(findings):
            if picture.name == name:
                return DisplayedFigure(picture)
            seen.append(picture.name)
        raise unknown_name("figure", name, seen)

    def _read(self, what: ExportedRows, experiment: int | None, is_whole: bool = False) -> pd.DataFrame:
        with ResultsStore.open_readonly(self.path / DATABASE) as store, store.snapshot():
            chosen = choose_experiments(store, () if experiment is None else (experiment,), is_whole)
            rows = read_rows(store, what, [each.eid for each in chosen])
            values = list(zip(*rows.rows, strict=True)) or [()] * len(rows.columns)
        columns = zip(rows.columns, values, strict=True)
        return pd.DataFrame({each.name: pd.Series(of_it, dtype=_DTYPES[each.type]) for each, of_it in columns})


@dataclass(frozen=True)
class DisplayedFigure:
    """A chart that a notebook displays by itself.

    Attributes:
        picture: its name, its text, and the chart as SVG and PNG
    """

    picture: Picture

    def save(self, path: str | Path) -> Path:
        """Write the chart into a file that ends in .svg or .png, and return its path.

        Raises:
            HarnessError: another kind of file, or there is nothing to draw yet
        """
        from harness.files import write_then_rename

        path = Path(path)
        contents = {".svg": self.picture.svg.encode("utf-8"), ".png": self.picture.png}
        if path.suffix not in contents:
            raise HarnessError(f"figure '{path}': ends in {path.suffix!r}; expected one of {sorted(contents)}")
        if not contents[path.suffix]:
            raise HarnessError(f"figure {self.picture.name!r}: {self.picture.text}")
        with write_then_rename(path) as stream:
            stream.write(contents[path.suffix])
        return path

    def __repr__(self) -> str:
        return self.picture.text

    def _repr_mimebundle_(self, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> dict[str, Any]:
        shown: dict[str, Any] = {"text/plain": self.picture.text}
        if self.picture.svg:
            shown |= {"image/svg+xml": self.picture.svg, "image/png": base64.b64encode(self.picture.png).decode()}
        return shown


def open(path: str | Path = "results/") -> Results:
    """Open a results folder, as ``aup`` writes it beside an experiment file.

    Raises:
        StoreError: it holds no results.db, or one that this version cannot read
    """
    results = Results(Path(path))
    with ResultsStore.open_readonly(results.path / DATABASE):
        return results


def run(path: str | Path = "experiment.json", *, fresh: bool = False) -> Results:
    """Run a search, or resume it, as ``aup`` does, and return its results; its output is printed as it comes.

    The search is a process of its own, and TensorFlow stays out of this one. An interruption (Ctrl-C, a notebook's stop
    button) lets the running trials finish; a second one ends them.

    Args:
        path: of the experiment file
        fresh: begin a new experiment even where there is one of that name

    Raises:
        HarnessError: the experiment file is wrong
        WorkFailedError: too many trials failed
        KeyboardInterrupt: the search was interrupted; the same call resumes it
    """
    path = Path(path)
    last = ""
    with (
        _interruptions_left_to_the_search(),
        subprocess.Popen(
            [sys.executable, "-c", _AUP, str(path), *(["--fresh"] if fresh else [])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            last = line.strip() or last
            print(line, end="", flush=True)
    if process.returncode == _INTERRUPTED:
        raise KeyboardInterrupt
    if process.returncode:
        error = HarnessError if process.returncode == HarnessError.exit_code else WorkFailedError
        raise error(last.removeprefix("error: ") or f"aup: ended with exit code {process.returncode}")
    return open(path.absolute().parent / "results")


@contextmanager
def _interruptions_left_to_the_search() -> Iterator[None]:
    """Ignore SIGINT in this process: the search, of the same process group, gets it too and ends in its own time.

    An exception in the middle of reading would lose what the search says last. Only a main thread ever sees the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # A function, unlike SIG_IGN, is not handed down to the search.
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
