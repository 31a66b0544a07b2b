"""Features from a corpus of real lengths, against reading it as the published code does.

Dialogues with recordings and motion of real length (30 000 rows in each mocap file) are written into a
temporary folder. Then are measured, in turn:

- speech: the 34 features of every utterance, with one and with two processes, against pyAudioAnalysis as it
  comes, which makes its chroma table again for every frame; the numbers are shown to be equal to the bit
- motion: every file read and every utterance averaged into 200 windows, against what pandas' C reader needs
  for the same files, and against reading a file again for every utterance and stream, line by line
- `harness prepare` itself, with 1, 2, 4 and 8 dialogues and with one and two processes (one process reads
  what has no more than 256 MiB, some three dialogues, whatever --jobs says)
- windows of one utterance against np.array_split and np.nanmean, and a file of word vectors against gensim

Seconds are given per hour of speech and for the 12.4 hours of the real corpus.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from gensim.models import KeyedVectors
from joblib import Parallel, delayed

from benchmarks.interleaved import Timing, print_machine, ratio, require_same, time_in_turn
from benchmarks.long_corpus import link_dialogues, write_long_corpus
from benchmarks.published_reading import extract_as_published, read_motion_as_published
from harness.corpus.audio import read_recording
from harness.corpus.index import read_dialogue
from harness.corpus.layout import CorpusLayout, MocapStream
from harness.corpus.mocap import read_mocap
from harness.corpus.utterances import Utterance
from harness.features.ingest import window_motion
from harness.features.manifest import Manifest
from harness.features.mocap import NUM_WINDOWS, average_windows
from harness.features.speech import SpeechSettings, extract_speech
from harness.features.text import read_word_vectors

#: Speech in all 10039 utterances of the real corpus.
CORPUS_HOURS = 12.4
SETTINGS = SpeechSettings()
#: Millimetres and degrees: motion is kept as float32, and the files have five decimals.
MOTION_TOLERANCE = 1e-4
#: Utterances of one dialogue that are read as the published code does; the time is scaled to all of them.
NUM_READ_AS_PUBLISHED = 3
COMMAND = (sys.executable, "-c", "import sys; from harness.cli.main import main; sys.exit(main())")


@dataclass(frozen=True)
class Spoken:
    """The corpus that is measured.

    Attributes:
        utterances: of all labels, by dialogue
    """

    layout: CorpusLayout
    utterances: dict[str, tuple[Utterance, ...]]

    @property
    def hours(self) -> float:
        """Of speech, in all utterances."""
        return sum(one.end - one.start for group in self.utterances.values() for one in group) / 3600

    def first(self, num_dialogues: int) -> Spoken:
        """The corpus of its first dialogues alone."""
        return Spoken(self.layout, dict(list(self.utterances.items())[:num_dialogues]))


def describe(name: str, timing: Timing, hours: float, end: str = "") -> None:
    """Print what a candidate took, per hour of speech and for the real corpus."""
    per_hour = timing.median / hours
    print(
        f"  {name}: {timing}, {per_hour:.3g} s an hour, {per_hour * CORPUS_HOURS:.4g} s for 12.4 hours{end}"
    )


def extract_dialogue(layout: CorpusLayout, dialogue_id: str) -> list[np.ndarray]:
    """The frames of each recording, as `harness prepare` computes them."""
    frames = []
    for path in layout.utterance_wav_paths(dialogue_id):
        recording, _ = read_recording(path)
        if recording is None:
            raise SystemExit(f"{path}: not read; expected one of the recordings just written")
        frames.append(extract_speech(recording.samples, SETTINGS))
    return frames


def read_motion(layout: CorpusLayout, dialogue_id: str, utterances: Sequence[Utterance]) -> list[np.ndarray]:
    """The windows of each utterance, as `harness prepare` computes them."""
    tracks = {stream: read_mocap(layout.mocap_path(dialogue_id, stream), stream)[0] for stream in MocapStream}
    return [window_motion(tracks, utterance.start, utterance.end)[0] for utterance in utterances]


def read_with_pandas(layout: CorpusLayout, dialogue_ids: Sequence[str]) -> None:
    """Read the motion files as pandas does when it is told no more than the separator."""
    for dialogue_id in dialogue_ids:
        for stream in MocapStream:
            pd.read_csv(layout.mocap_path(dialogue_id, stream), sep=" ", skiprows=2, header=None)


def compare_speech(spoken: Spoken, num_runs: int) -> None:
    """One dialogue against the library as it comes, and all dialogues by one and two processes."""
    layout, names = spoken.layout, list(spoken.utterances)
    ours, theirs = extract_dialogue(layout, names[0]), extract_as_published(layout, names[0], SETTINGS)
    require_same("pyAudioAnalysis", all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True)))
    print("\nspeech, 34 features (equal to pyAudioAnalysis's own to the bit)")
    timings = time_in_turn(
        {
            "harness": partial(extract_dialogue, layout, names[0]),
            "the library as it comes": partial(extract_as_published, layout, names[0], SETTINGS),
        },
        num_runs,
    )
    for name, timing in timings.items():
        describe(f"one dialogue, {name}", timing, spoken.first(1).hours)
    print(f"  harness is faster: {ratio(timings['the library as it comes'], timings['harness'])}")

    def extract_all(jobs: int) -> None:
        Parallel(n_jobs=jobs)(delayed(extract_dialogue)(layout, name) for name in names)

    timings = time_in_turn({f"--jobs {jobs}": partial(extract_all, jobs) for jobs in (1, 2)}, num_runs)
    for name, timing in timings.items():
        describe(f"{len(names)} dialogues, {name}", timing, spoken.hours)


def compare_motion(spoken: Spoken, num_runs: int) -> None:
    """All dialogues against pandas, and one against a reading for each utterance and stream."""
    layout, names = spoken.layout, list(spoken.utterances)
    print("\nmotion, files to windows (equal to the published way's within 1e-4 mm where no marker was lost)")

    def read_all() -> None:
        for name, utterances in spoken.utterances.items():
            read_motion(layout, name, utterances)

    timings = time_in_turn(
        {"harness": read_all, "pandas": partial(read_with_pandas, layout, names)}, num_runs
    )
    describe(f"{len(names)} dialogues, harness", timings["harness"], spoken.hours)
    describe(f"{len(names)} dialogues, pandas, files alone", timings["pandas"], spoken.hours)
    print(f"  harness takes longer than pandas: {ratio(timings['harness'], timings['pandas'])}")

    every = spoken.utterances[names[0]]
    some = every[:: -(-len(every) // NUM_READ_AS_PUBLISHED)]
    for one, other in zip(
        read_motion(layout, names[0], some), read_motion_as_published(layout, names[0], some), strict=True
    ):
        seen = ~np.isnan(other)
        is_same = seen.any() and np.allclose(one[seen], other[seen], rtol=0, atol=MOTION_TOLERANCE)
        require_same("the published reading", bool(is_same))
    timings = time_in_turn(
        {
            "harness": partial(read_motion, layout, names[0], every),
            "published": partial(read_motion_as_published, layout, names[0], some),
        },
        num_runs,
    )
    scaled = Timing(tuple(seconds * len(every) / len(some) for seconds in timings["published"].seconds))
    hours = spoken.first(1).hours
    describe("one dialogue, harness", timings["harness"], hours)
    measured = f", of {len(some)} of {len(every)} utterances"
    describe("one dialogue, once per utterance and stream", scaled, hours, end=measured)
    print(f"  harness is faster: {ratio(scaled, timings['harness'])}")


def measure_growth(spoken: Spoken, folder: Path, num_runs: int) -> None:
    """The command as it is typed, on more and more dialogues, into a new folder every time."""
    candidates: dict[tuple[int, int], Callable[[], object]] = {}
    sizes = [size for size in (1, 2, 4, 8, 16, 32) if size <= len(spoken.utterances)]
    for size in sizes:
        corpus = link_dialogues(spoken.layout, spoken.first(size).utterances, folder / f"first {size}")
        for jobs in (1, 2):
            candidates[size, jobs] = partial(run_prepare, corpus, folder / f"prepared {size} {jobs}", jobs)
    timings = time_in_turn(candidates, num_runs)
    print("\nharness prepare, the whole command")
    for size in sizes:
        one, two = (Manifest.read(folder / f"prepared {size} {jobs}").sessions for jobs in (1, 2))
        require_same("two processes", one == two)
        for jobs in (1, 2):
            per_hour = timings[size, jobs].median / spoken.first(size).hours
            print(f"  dialogues {size}, --jobs {jobs}: {timings[size, jobs]}, {per_hour:.3g} s an hour")
    if sizes[-1] >= 8:
        # From the two largest: a small corpus is read by one process, and starting is most of its time.
        before, last = sizes[-2:]
        hours = spoken.first(last).hours
        for jobs in (1, 2):
            added = timings[last, jobs].median - timings[before, jobs].median
            per_hour = added / (hours - spoken.first(before).hours)
            whole = timings[last, jobs].median + per_hour * (CORPUS_HOURS - hours)
            print(
                f"  --jobs {jobs}, from {before} to {last} dialogues: {per_hour:.3g} s for each further hour "
                f"of speech, so {whole:.3g} s for 12.4 hours"
            )


def run_prepare(corpus: Path, into: Path, jobs: int) -> None:
    """Run `harness prepare` where nothing has been prepared before."""
    shutil.rmtree(into, ignore_errors=True)
    command = [*COMMAND, "prepare", str(corpus), "--into", str(into), "--jobs", str(jobs)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def compare_windows(generator: np.random.Generator, num_runs: int) -> None:
    """The rows of a mean utterance, 4.6 s at 119.9 rows a second, with and without lost markers."""
    print("\n200 windows of one utterance, against np.array_split and np.nanmean")
    for share in (0.0, 0.2):
        rows = generator.normal(size=(552, 189)).astype(np.float32)
        rows[generator.random(rows.shape) < share] = np.nan
        candidates = {
            "ours": lambda rows=rows: average_windows(rows, NUM_WINDOWS),
            "theirs": lambda rows=rows: np.stack(
                [np.nanmean(part.astype(float), axis=0) for part in np.array_split(rows, NUM_WINDOWS)]
            ),
        }
        ours, theirs = candidates["ours"](), candidates["theirs"]()
        require_same("np.nanmean", np.allclose(ours, theirs, rtol=1e-12, equal_nan=True))
        timings = time_in_turn(candidates, num_runs)
        faster = ratio(timings["theirs"], timings["ours"])
        print(f"  {share:.0%} of the values lost: {timings['ours']} against {timings['theirs']}, {faster}")


def compare_vectors(generator: np.random.Generator, folder: Path, num_words: int, num_runs: int) -> None:
    """A file of 300-d vectors of which a corpus's words are kept, against gensim's reading of all of it."""
    words = [f"word{number}" for number in range(num_words)]
    wanted = words[:: max(1, num_words // 3000)][:3000]
    path = folder / "vectors.txt"
    with path.open("w") as stream:
        for word in words:
            stream.write(word + " " + " ".join(f"{value:.5f}" for value in generator.normal(size=300)) + "\n")
    read_all = partial(KeyedVectors.load_word2vec_format, str(path), no_header=True)
    ours, theirs = read_word_vectors(path, wanted), read_all()
    require_same("gensim", all(np.array_equal(ours[word], theirs[word]) for word in wanted))
    timings = time_in_turn({"ours": partial(read_word_vectors, path, wanted), "gensim": read_all}, num_runs)
    print(f"\n{len(wanted)} of {num_words} word vectors, against gensim's reader of all of them")
    print(f"  {timings['ours']} against {timings['gensim']}, {ratio(timings['gensim'], timings['ours'])}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the corpus, and measure on it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dialogues", type=int, default=8, help="dialogues of the corpus (default 8)")
    parser.add_argument("--rows", type=int, default=30_000, help="of each mocap file (default 30000)")
    parser.add_argument("--words", type=int, default=20_000, help="of the file of vectors (default 20000)")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each candidate (default 5)")
    options = parser.parse_args(arguments)
    print_machine(("numpy", "scipy", "pandas", "pyAudioAnalysis", "gensim", "joblib"))
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        layout = CorpusLayout(folder / "corpus")
        names = write_long_corpus(layout, options.dialogues, options.rows)
        spoken = Spoken(layout, {name: read_dialogue(layout, name).utterances for name in names})
        num_utterances = sum(map(len, spoken.utterances.values()))
        print(
            f"{len(names)} dialogues of {options.rows} mocap rows, "
            f"{num_utterances} utterances of mean {spoken.hours * 3600 / num_utterances:.2f} s"
        )
        compare_speech(spoken, options.runs)
        compare_motion(spoken, options.runs)
        measure_growth(spoken, folder, options.runs)
        generator = np.random.default_rng(0)
        compare_windows(generator, options.runs)
        compare_vectors(generator, folder, options.words, options.runs)


if __name__ == "__main__":
    main()
