"""Short frames of speech against librosa's, and their pitch against public trackers, on the recordings of a corpus.

The recordings are those of the utterances in a folder that has the release's layout. Three things are measured:

- the time of all 46 numbers of ours against that of librosa's mel bands, MFCC, energy and zero crossings with the same
  filters. Before that, mel bands and MFCC are checked to be the same as ours
- the time of all 46 numbers of ours against that of pitch alone: librosa's yin and pyin, and Praat's autocorrelation
  through parselmouth. For each two trackers also the difference in cents on the frames that both call voiced, and the
  share of frames on whose voicing they agree
- the processor's time for all recordings, and the time of one and of two processes, scaled to the 12.4 hours of the
  real corpus

librosa and praat-parselmouth are the extra `benchmarks`; what is not installed is left out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from benchmarks.interleaved import print_machine, ratio, require_same, time_in_turn
from harness.corpus.audio import SAMPLING_RATE, read_recording
from harness.corpus.layout import CorpusLayout, find_root
from harness.features.frames import MAX_MEL_HERTZ, MAX_PITCH, MEL, MFCC, MIN_PITCH, NUM_BANDS, frame_columns
from harness.features.speech import SPEECH_VARIANTS, extract_speech

#: Speech in all 10039 utterances of the real corpus.
CORPUS_HOURS = 12.4
SETTINGS = SPEECH_VARIANTS["frames"]
WINDOW, HOP, NUM_FFT = SETTINGS.window_samples, SETTINGS.hop_samples, 512
#: Samples of a window of librosa's trackers: 64 ms, the shortest power of two above three periods of the lowest pitch.
TRACKER_WINDOW = 1024
#: Samples before the first window that librosa's FFT of 512 reads: its window of 400 is in the middle.
BEFORE = (NUM_FFT - WINDOW) // 2
#: Natural logarithms: ours has the power of rounding under it, and float32.
TOLERANCE = 0.02

#: From samples to the pitch at the middle of each of our frames, hertz; 0 where it is not voiced.
Tracker = Callable[[np.ndarray], np.ndarray]


def read_samples(paths: Sequence[Path]) -> list[np.ndarray]:
    """Read recordings, cut to what is kept of one."""
    longest = SETTINGS.max_frames * HOP
    recordings = [read_recording(path)[0] for path in paths]
    return [recording.samples[:longest] for recording in recordings if recording is not None]


def spectral_of_librosa(samples: np.ndarray) -> np.ndarray:
    """Mel bands, MFCC, energy and zero crossings, float64 (num_frames, 41)."""
    import librosa

    centred, window = samples - samples.mean(), np.hamming(WINDOW)
    spectrum = librosa.stft(
        centred, n_fft=NUM_FFT, hop_length=HOP, win_length=WINDOW, window=window, center=False
    )
    filters = librosa.filters.mel(
        sr=SAMPLING_RATE, n_fft=NUM_FFT, n_mels=NUM_BANDS, fmax=MAX_MEL_HERTZ, htk=True, norm=None
    )
    filters /= filters.sum(axis=1, keepdims=True)
    bands = np.log(filters @ np.abs(spectrum) ** 2 + 1e-10)
    mfcc = librosa.feature.mfcc(S=bands, n_mfcc=len(MFCC) + 1, dct_type=2, norm="ortho")[1:]
    framing = {"frame_length": WINDOW, "hop_length": HOP, "center": False}
    rms, crossings = librosa.feature.rms(y=samples, **framing), librosa.feature.zero_crossing_rate(samples, **framing)
    num_frames = bands.shape[1]
    return np.concatenate([bands, mfcc, rms[:, :num_frames], crossings[:, :num_frames]]).T


def track_ours(samples: np.ndarray) -> np.ndarray:
    return extract_speech(samples, SETTINGS)[:, frame_columns("pitch")[0]]


def track_yin(samples: np.ndarray) -> np.ndarray:
    """librosa.yin, which calls every frame voiced."""
    import librosa

    return _fit_frames(
        samples,
        librosa.yin(
            samples[WINDOW // 2 :],
            fmin=MIN_PITCH,
            fmax=MAX_PITCH,
            sr=SAMPLING_RATE,
            frame_length=TRACKER_WINDOW,
            hop_length=HOP,
        ),
    )


def track_pyin(samples: np.ndarray) -> np.ndarray:
    import librosa

    pitch, _, _ = librosa.pyin(
        samples[WINDOW // 2 :],
        fmin=MIN_PITCH,
        fmax=MAX_PITCH,
        sr=SAMPLING_RATE,
        frame_length=TRACKER_WINDOW,
        hop_length=HOP,
    )
    return _fit_frames(samples, np.nan_to_num(pitch))


def track_praat(samples: np.ndarray) -> np.ndarray:
    """Praat's autocorrelation method with its own settings, but for the range."""
    import parselmouth

    pitch = parselmouth.Sound(samples, float(SAMPLING_RATE)).to_pitch_ac(
        time_step=HOP / SAMPLING_RATE, pitch_floor=MIN_PITCH, pitch_ceiling=MAX_PITCH
    )
    middles = (np.arange(_num_frames(samples)) * HOP + WINDOW / 2) / SAMPLING_RATE
    return np.nan_to_num([pitch.get_value_at_time(middle) for middle in middles])


def _num_frames(samples: np.ndarray) -> int:
    return 1 + (len(samples) - WINDOW) // HOP


def _fit_frames(samples: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Its frames are centred at multiples of the hop, and go on to the end of the samples."""
    return pitch[: _num_frames(samples)]


def run_all(extract: Callable[[np.ndarray], object], signals: Sequence[np.ndarray]) -> None:
    for samples in signals:
        extract(samples)


def compare_spectral(signals: Sequence[np.ndarray], num_runs: int) -> None:
    for samples in signals:
        theirs = spectral_of_librosa(samples)
        centred = samples - samples.mean()
        ours = extract_speech(centred[BEFORE:], SETTINGS)[: len(theirs), frame_columns(*MEL, *MFCC)]
        # What is quieter than rounding is under our floor, and not compared.
        is_loud = theirs[:, : len(MEL)].min(axis=1) > np.log(1e-6)
        difference = np.abs(ours - theirs[:, : ours.shape[1]])[is_loud].max(initial=0.0)
        require_same(f"librosa's mel bands and MFCC, by {difference:.3g}", difference < TOLERANCE)
    print("\nmel bands, MFCC, energy, zero crossings by librosa (the first two the same as ours); all 46 by harness")
    candidates = {"harness, all 46": partial(extract_speech, settings=SETTINGS), "librosa, 41": spectral_of_librosa}
    _time(candidates, signals, num_runs, "librosa, 41")


def compare_trackers(trackers: dict[str, Tracker], signals: Sequence[np.ndarray], num_runs: int) -> None:
    print("\npitch of the same frames; all 46 by harness")
    others = {name: track for name, track in trackers.items() if name != "harness"}
    _time({"harness, all 46": track_ours, **others}, signals, num_runs, *others)
    found = {name: np.concatenate([track(samples) for samples in signals]) for name, track in trackers.items()}
    print("\nframes that both call voiced: cents between them (median), more than 20 % apart, an octave apart; alike")
    for one, other in combinations(found, 2):
        describe_difference(f"{one} and {other}", found[one], found[other])


def describe_difference(names: str, one: np.ndarray, other: np.ndarray) -> None:
    """Print how far apart two trackers are."""
    both = (one > 0) & (other > 0)
    ratios = one[both] / other[both]
    cents = np.abs(1200 * np.log2(ratios))
    is_gross = np.abs(ratios - 1) > 0.2
    is_octave = np.abs(cents - 1200) < 100
    alike = ((one > 0) == (other > 0)).mean()
    print(
        f"  {names}: {np.median(cents):.1f} cents, {is_gross.mean():.2%} gross, {is_octave.mean():.2%} an octave; "
        f"{alike:.1%} alike (voiced: {(one > 0).mean():.1%} and {(other > 0).mean():.1%})"
    )


def _time(
    candidates: dict[str, Callable[[np.ndarray], object]], signals: Sequence[np.ndarray], num_runs: int, *others: str
) -> None:
    hours = sum(map(len, signals)) / SAMPLING_RATE / 3600
    timings = time_in_turn(
        {name: partial(run_all, extract, signals) for name, extract in candidates.items()}, num_runs
    )
    for name, timing in timings.items():
        print(f"  {name}: {timing} for {hours * 60:.1f} minutes, {timing.median / hours:.3g} s an hour")
    for name in others:
        print(f"  {name} against harness: {ratio(timings[name], timings['harness, all 46'])}")


def extract_dialogue(layout: CorpusLayout, dialogue_id: str) -> None:
    """Extract each recording's frames, as `harness prepare` does."""
    for path in layout.utterance_wav_paths(dialogue_id):
        recording, _ = read_recording(path)
        if recording is not None:
            extract_speech(recording.samples, SETTINGS)


def measure_corpus(layout: CorpusLayout, num_runs: int) -> None:
    """Scale the time of all recordings to the real corpus: the processor's, and that of one and two processes."""
    names = [name for session in layout.sessions() for name in layout.dialogue_ids(session)]

    def extract_all(jobs: int) -> None:
        Parallel(n_jobs=jobs)(delayed(extract_dialogue)(layout, name) for name in names)

    signals = read_samples([path for name in names for path in layout.utterance_wav_paths(name)])
    num_seconds = sum(map(len, signals)) / SAMPLING_RATE
    scale = CORPUS_HOURS * 3600 / num_seconds
    print(f"\nall {num_seconds / 60:.1f} minutes, scaled to {CORPUS_HOURS} hours as if a second always cost the same")
    seconds = []
    for _ in range(num_runs):
        began = time.process_time()
        run_all(track_ours, signals)
        seconds.append(time.process_time() - began)
    used = statistics.median(seconds) * scale
    print(f"  {used:.0f} s of the processor, {used / 2:.0f} s on each of two free cores")
    timings = time_in_turn({f"{jobs} processes": partial(extract_all, jobs) for jobs in (1, 2)}, num_runs)
    for name, timing in timings.items():
        print(f"  {name}, reading included: {timing}; {timing.median * scale:.0f} s for the corpus")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="a folder in the release's layout, with recordings")
    parser.add_argument("--every", type=int, default=8, help="of the recordings, each so many-th against the others")
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each (default: 3)")
    arguments = parser.parse_args()
    has_librosa, has_praat = find_spec("librosa") is not None, find_spec("parselmouth") is not None
    packages = [("librosa", has_librosa), ("praat-parselmouth", has_praat)]
    print_machine(["numpy", "scipy", *(name for name, is_there in packages if is_there)])
    for name, is_there in packages:
        if not is_there:
            print(f"{name} is not installed: it is left out.")
    layout = find_root(arguments.corpus)
    dialogues = [name for session in layout.sessions() for name in layout.dialogue_ids(session)]
    paths = [path for name in dialogues for path in layout.utterance_wav_paths(name)]
    signals = read_samples(paths[:: arguments.every])
    print(f"{len(signals)} of {len(paths)} recordings are compared")
    trackers: dict[str, Tracker] = {"harness": track_ours}
    if has_librosa:
        compare_spectral(signals, arguments.runs)
        trackers |= {"librosa.pyin": track_pyin, "librosa.yin": track_yin}
    if has_praat:
        trackers["Praat"] = track_praat
    if len(trackers) > 1:
        compare_trackers(trackers, signals, arguments.runs)
    if has_praat:
        # Our thresholds were chosen on each eighth recording of EmoDB, so the others are the fair comparison.
        others = read_samples([path for number, path in enumerate(paths) if number % arguments.every])
        found = [np.concatenate([track(samples) for samples in others]) for track in (track_ours, track_praat)]
        describe_difference(f"harness and Praat, the other {len(others)} recordings", *found)
    measure_corpus(layout, arguments.runs)


if __name__ == "__main__":
    main()
