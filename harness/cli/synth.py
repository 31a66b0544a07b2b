"""`harness synth`: the synthetic corpus."""

from __future__ import annotations

from pathlib import Path

import click

ALL_CUES = "speech,text,face,hand,head"
NO_CUES = "none"


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--scale",
    type=float,
    default=0.1,
    show_default=True,
    help="Share of the real corpus's 10039 utterances, from 0.01 to 1; 1 has the real class counts.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed that decides every byte, 0 or more."
)
@click.option(
    "--cues",
    metavar="NAMES",
    default=ALL_CUES,
    show_default=True,
    help="Cues that depend on the emotion, separated by commas, or none; the others carry no information.",
)
@click.option(
    "--seconds-per-utterance",
    type=float,
    metavar="SECONDS",
    default=1.2,
    show_default=True,
    help="Mean duration of an utterance; 4.6 in the real corpus, which needs four times the bytes.",
)
@click.option(
    "--mocap-rate",
    type=float,
    metavar="ROWS",
    default=25.0,
    show_default=True,
    help="Rows of motion per second; the real corpus has 119.9.",
)
@click.option(
    "--irregularities/--no-irregularities",
    default=True,
    show_default=True,
    help="The real corpus's irregularities and some damaged files, or none of them.",
)
@click.option(
    "--emotion-words",
    type=float,
    metavar="SHARE",
    default=0.7,
    show_default=True,
    help="Share of the lines whose emotion words show the emotion, from 0 to 1; they mean the same in all scenes.",
)
@click.option(
    "--scene-words",
    type=float,
    metavar="SHARE",
    default=0.9,
    show_default=True,
    help="Share of the lines whose scene words show the emotion, from 0 to 1; each scene has its own words.",
)
@click.option(
    "--scene-moods",
    type=float,
    metavar="STRENGTH",
    default=0.8,
    show_default=True,
    help="How strongly each scene favours the emotion that it brings out, from 0 to 1.",
)
@click.option(
    "--moods",
    type=float,
    metavar="CHANCE",
    default=0.95,
    show_default=True,
    help="Chance that a speaker deliberately keeps the emotion of his or her previous turn, from 0 to 1, in any scene.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help=(
        "Dialogues written at once, each by its own process; this changes only the running time.  "
        "[default: one per core]"
    ),
)
def synth(
    folder: Path,
    scale: float,
    seed: int,
    cues: str,
    seconds_per_utterance: float,
    mocap_rate: float,
    irregularities: bool,
    emotion_words: float,
    scene_words: float,
    scene_moods: float,
    moods: float,
    jobs: int | None,
) -> None:
    """Write a synthetic corpus into the folder DIR, in the layout of IEMOCAP_full_release.

    DIR must be new or empty, or hold what an earlier call with the same options began or finished. The command prints
    the size and checks the free disk space before it writes anything. No score on the corpus is a score on IEMOCAP.

    \b
    Example:
      harness synth synthetic --scale 0.1 --seed 0
    """
    from harness.cli.options import progress_bar
    from harness.corpus.synthetic.plan import plan_corpus
    from harness.corpus.synthetic.settings import SyntheticSettings, read_cue
    from harness.corpus.synthetic.writer import measure_plan, write_synthetic
    from harness.wording import SYNTHETIC_SENTENCE, write_bytes

    names = [name.strip() for name in cues.split(",") if name.strip()]
    settings = SyntheticSettings(
        scale=scale,
        seed=seed,
        cues=frozenset() if names == [NO_CUES] else frozenset(read_cue(name) for name in names),
        seconds_per_utterance=seconds_per_utterance,
        mocap_rate=mocap_rate,
        irregularities=irregularities,
        emotion_words=emotion_words,
        scene_words=scene_words,
        scene_moods=scene_moods,
        moods=moods,
    )
    plan = plan_corpus(settings)
    size = measure_plan(plan)
    click.echo(
        f"{plan.num_utterances} utterances, {plan.num_four_class} of them of the four classes, in "
        f"{len(plan.dialogues)} dialogues: {size.num_files} files, about {write_bytes(size.num_bytes)}."
    )
    with progress_bar("writing dialogues") as progress:
        write_synthetic(folder, settings, progress, jobs)
    click.echo(f"The synthetic corpus is in {folder}")
    click.echo(SYNTHETIC_SENTENCE)
