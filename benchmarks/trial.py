"""One epoch of training and of validation: ours, plain Keras, PyTorch, and the floor.

3000 utterances train and 838 validate, invented, of the corpus's real lengths. Against

- plain Keras: the same model of stock layers, padded (to 500 words, 50 as published; to 100 frames),
  without a mask, without XLA; some batches a round, scaled to an epoch;
- PyTorch: packed sequences in the same batches of like length; one batch in five a round, scaled;
- the floor: the operations of real steps (see `benchmarks.floor`) over the speed of a matrix product
  measured in the same rounds.

Plain Keras and the floor are for the paper's own models. The systems that the paper compares with have PyTorch beside
them where it has their layers (see `benchmarks.torch_compared`).

Each runs in a process of its own, in turn, round after round; medians, their range, and the medians of
the rounds' ratios are printed, beside what is asked of it; of the clock, and of the processor's time in all threads,
which other work on the machine changes less. Before that it is shown that our model
under published-code maths gives plain Keras's numbers, and that PyTorch's gives ours.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.floor import FUNCTION, EpochWork, count_epoch
from benchmarks.interleaved import Timing, print_machine, ratio, require_same
from benchmarks.measured_models import MEASURED, MeasuredModel, Targets
from benchmarks.trial_competitors import EPOCHS
from benchmarks.trial_process import Process
from benchmarks.trial_setting import Epoch, Setting
from benchmarks.utterance_lengths import InventedCorpus

#: Largest difference of numbers that are held to be the same.
SAME = 1e-5

#: Threads that the targets are for.
THREADS_OF_TARGETS = 2

#: Competitors that run whole epochs of the package's own trainer.
OF_THE_PACKAGE = ("ours", "uncompiled")


@dataclass
class Measurement:
    """The results of the rounds of one model, by competitor.

    Attributes:
        peak_operations, peak_functions: a second, one a round
        first_seconds: of the epoch or the batches before the rounds, with what is traced and compiled
    """

    epochs: dict[str, list[Epoch]] = field(default_factory=dict)
    peak_operations: list[float] = field(default_factory=list)
    peak_functions: list[float] = field(default_factory=list)
    first_seconds: dict[str, float] = field(default_factory=dict)

    def timing(self, name: str) -> Timing:
        return Timing(tuple(epoch.total for epoch in self.epochs[name]))

    def processor(self, name: str) -> Timing:
        """As ``timing``, the processor's time."""
        return Timing(tuple(epoch.processor for epoch in self.epochs[name]))

    def floor(self, work: EpochWork) -> Timing:
        return Timing(tuple(work.operations / peak for peak in self.peak_operations))

    def floor_with_functions(self, work: EpochWork) -> Timing:
        """As ``floor``, tanh and its like at the speed of TensorFlow's tanh instead of at 20 operations."""
        products = work.operations - FUNCTION * work.functions
        return Timing(
            tuple(
                products / peak + work.functions / functions
                for peak, functions in zip(self.peak_operations, self.peak_functions, strict=True)
            )
        )


def measure(model: MeasuredModel, setting: Setting, arguments: argparse.Namespace) -> None:
    """Measure one model on one device, and print what came out."""
    skipped = set(arguments.skip)
    if not model.is_of_paper:
        skipped.add("plain")
    if model.is_padded or not model.has_torch:
        skipped.add("torch")
    print(f"\n{model.description}\n  {model.choices}", flush=True)
    machine = Process("machine", setting)
    print(f"  on {machine.ask('device')}, {setting.threads} threads")
    competitors = {"ours": Process("ours", setting)}
    if "plain" not in skipped:
        few = {"fewest": 1, "most": 1} if arguments.quick else {}
        competitors["plain"] = Process("plain", setting, **few)
        differences = competitors["plain"].ask("compare")
        require_same(f"plain Keras, {differences}", max(differences.values()) < SAME)
        print(
            f"  published-code maths, dropout 0: ours differs from plain Keras by at most "
            f"{differences['probabilities']:.1e} (probabilities) and {differences['gradients']:.1e} (gradients)"
        )
    if "torch" not in skipped:
        competitors["torch"] = Process("torch", setting, share=1000 if arguments.quick else 5)
        compare_torch(competitors["ours"], competitors["torch"], model)
    if arguments.uncompiled:
        competitors["uncompiled"] = Process("ours", setting, num_epochs=0)
    work = None
    if model.is_of_paper:
        num_weights = competitors["ours"].ask("num_weights")
        work = count_epoch(model, setting.corpus, setting.cut(model.protocol).max_words, num_weights)
    measurement = run_rounds(competitors, None if work is None else machine, arguments.rounds)
    is_judged = setting.threads == THREADS_OF_TARGETS and not setting.is_on_gpu and not arguments.quick
    targets = model.targets if is_judged else Targets()
    if not is_judged:
        print(f"  no verdict: it takes {THREADS_OF_TARGETS} threads, no GPU, and utterances of full number and length")
    report(targets, measurement, work, competitors["ours"].peak_private_bytes / 1e9)
    if arguments.profile:
        for what, seconds in competitors["ours"].ask("profile").items():
            print(f"    {what:32s} {seconds:8.3g} s")
    for process in [machine, *competitors.values()]:
        process.end()


def compare_torch(ours: Process, torch: Process, model: MeasuredModel) -> None:
    """Print how far PyTorch's model is from ours where it can be the same: it has no hard sigmoid gates."""
    if str(model.choices.gates) != "sigmoid":
        print("  PyTorch's LSTM has sigmoid gates and no recurrent dropout: its numbers differ, its work is less")
        return
    expected = ours.ask("probabilities")
    difference = float(abs(torch.ask("probabilities_with", ours.ask("weights")) - expected).max())
    require_same(f"PyTorch, by {difference:g}", difference < SAME)
    print(f"  real lengths: PyTorch's probabilities differ from ours by at most {difference:.1e}")


def run_rounds(competitors: Mapping[str, Process], machine: Process | None, num_rounds: int) -> Measurement:
    """One round uncounted, in which everything is traced, and then the rounds; without a machine no peak."""
    measurement = Measurement()
    for name, process in competitors.items():
        began = time.perf_counter()
        process.ask("run_epoch", 0)
        measurement.first_seconds[name] = time.perf_counter() - began
        what = "epoch" if name in OF_THE_PACKAGE else "batches"
        print(f"  {name}: first {what}, with tracing, {measurement.first_seconds[name]:.3g} s", flush=True)
    for number in range(num_rounds):
        if machine is not None:
            peak = machine.ask("measure")
            measurement.peak_operations.append(peak.operations)
            measurement.peak_functions.append(peak.functions)
        for name, process in competitors.items():
            measurement.epochs.setdefault(name, []).append(process.ask("run_epoch", number))
    return measurement


def report(targets: Targets, measurement: Measurement, work: EpochWork | None, gigabytes: float) -> None:
    """Print seconds, ratios, and whether they are what was asked for; without ``work`` there is no floor."""
    ours = measurement.timing("ours")
    for name in measurement.epochs:
        of_training = statistics.median(epoch.training for epoch in measurement.epochs[name])
        print(f"  {name:10s} {measurement.timing(name)}, of which training {of_training:.3g} s")
        print(f"             {measurement.processor(name)} of the processor, all cores together")
    if targets.seconds is not None:
        verdict = "met" if ours.median <= targets.seconds else "MISSED"
        print(f"  an epoch of ours: asked: at most {targets.seconds:g} s: {verdict}")
    for name in measurement.first_seconds.keys() & OF_THE_PACKAGE:
        whole = measurement.first_seconds[name] + (EPOCHS - 1) * measurement.timing(name).median
        print(f"  {name:10s} {whole / EPOCHS:.4g} s an epoch of {EPOCHS}, with the first one's tracing and compiling")
    if work is not None:
        report_floor(measurement, work)
    if "plain" in measurement.epochs:
        print_ratio("plain / ours", measurement.timing("plain"), ours, targets.plain, is_least=True)
    if "torch" in measurement.epochs:
        print_ratio("torch / ours", measurement.timing("torch"), ours, targets.torch, is_least=True)
        processor = measurement.processor("torch"), measurement.processor("ours")
        print_ratio("torch / ours, the processor's time", *processor, None, is_least=True)
    if work is not None:
        print_ratio("ours / floor", ours, measurement.floor(work), targets.floor, is_least=False)
    verdict = "" if targets.memory_gigabytes is None else f"; asked: below {targets.memory_gigabytes:g} GB"
    if targets.memory_gigabytes is not None:
        verdict += ": met" if gigabytes < targets.memory_gigabytes else ": MISSED"
    print(f"  peak private memory of ours {gigabytes:.2f} GB{verdict}", flush=True)


def report_floor(measurement: Measurement, work: EpochWork) -> None:
    """Print the least that an epoch can cost, and what it consists of."""
    peak = statistics.median(measurement.peak_operations)
    print(f"  floor      {measurement.floor(work)}: {work.operations / 1e9:.0f} GFLOP at {peak / 1e9:.0f} GFLOP/s")
    print(
        f"             {measurement.floor_with_functions(work)} with {work.functions / 1e9:.1f} G tanh and the like "
        f"at {statistics.median(measurement.peak_functions) / 1e9:.1f} G a second"
    )


def print_ratio(what: str, slower: Timing, faster: Timing, target: float | None, *, is_least: bool) -> None:
    median = statistics.median(one / other for one, other in zip(slower.seconds, faster.seconds, strict=True))
    verdict = ""
    if target is not None:
        is_met = median >= target if is_least else median <= target
        verdict = f"; asked: {'at least' if is_least else 'at most'} {target:g}: {'met' if is_met else 'MISSED'}"
    print(f"  {what}: {ratio(slower, faster)}{verdict}")


def find_gpus() -> list[str]:
    """The names of the NVIDIA GPUs that are here."""
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return listed.stdout.splitlines() if listed.returncode == 0 else []


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trial", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", nargs="+", choices=MEASURED, default=list(MEASURED), metavar="MODEL", help=", ".join(MEASURED)
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, after one that does not [5]")
    parser.add_argument("--threads", type=int, default=2, help="of every competitor, bound to as many cores [2]")
    parser.add_argument("--skip", nargs="+", choices=("plain", "torch"), default=[], help="competitors to leave out")
    parser.add_argument("--uncompiled", action="store_true", help="ours without XLA beside it")
    parser.add_argument("--quick", action="store_true", help="few short utterances: shows that it runs, no more")
    parser.add_argument("--profile", action="store_true", help="seconds of each branch of ours alone as well")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the models that the command line names."""
    asked = read_arguments(arguments)
    packages = ["tensorflow", "keras", "numpy"]
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: it is left out.")
        asked.skip = [*asked.skip, "torch"]
    else:
        packages.append("torch")
    print_machine(packages)
    gpus = find_gpus()
    print("\n".join(gpus) if gpus else "There is no NVIDIA GPU here: the CPU alone is measured.")
    # Not oversubscribed: a competitor that waits must not spin on the cores of the one that works.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.models:
            corpus = find_corpus(MEASURED[name], Path(folder), is_quick=asked.quick)
            for is_on_gpu in [False, True] if gpus else [False]:
                setting = Setting(MEASURED[name], corpus, asked.threads, is_on_gpu, 20 if asked.quick else None)
                measure(MEASURED[name], setting, asked)


def find_corpus(model: MeasuredModel, folder: Path, *, is_quick: bool) -> InventedCorpus:
    """Return the utterances that a model reads; they are written unless a model before it has read the same."""
    features = model.system.speech_features
    size = {"num_train": model.num_train}
    if is_quick:
        # Some of the short frames are those of a whole utterance, which a recogniser needs.
        size = {"num_train": 128, "num_validation": 64, "max_frames": 200 if features == "frames" else 12}
    directory = folder / f"{features}-{model.num_train}"
    corpus = InventedCorpus(directory, speech_features=features, **size)
    if not directory.exists():
        directory.mkdir()
        corpus.write()
    return corpus


if __name__ == "__main__":
    main()
