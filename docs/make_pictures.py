"""Make the guide's pictures anew, with the commands that the guide shows: python docs/make_pictures.py [FOLDER]

Writes a synthetic corpus, searches, evaluates on its test session, and takes a quarter of an hour on two cores. Needs
Chromium for the picture of the report. Everything but the pictures goes to FOLDER, or to a scratch folder that is
removed.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.text import Text

PICTURES = Path(__file__).parent / "pictures"
COMMANDS = Path(sys.executable).parent

#: What a small search takes from the file that `harness init` writes, and what is changed.
CHANGES = {"corpus": "corpus", "n_samples": 12, "max_epochs": 12}
#: Finished trials after which the running search is drawn.
NUM_FINISHED = 5
#: The report's pictures that the guide shows; there are others.
SHOWN = (
    "history",
    "learning-curves",
    "expected-best",
    "importance",
    "hyperparameters",
    "parallel-coordinates",
    "confusion",
    "costs",
    "reliability",
)
WIDTH_PIXELS, NUM_COLOURS = 900, 32
#: Width and height of the report's first screen.
SCREEN_PIXELS = "1000,720"
#: Stands below every picture, wherever it is copied to.
LABEL, LABEL_PIXELS = "synthetic corpus: no score here is a score on IEMOCAP", 22

#: rich's own, but for the fonts that it would have a browser fetch.
SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: Menlo, Consolas, 'DejaVu Sans Mono', monospace; font-size: {char_height}px;
line-height: {line_height}px; }}
.{unique_id}-title {{ font-family: Helvetica, Arial, 'DejaVu Sans', sans-serif; font-size: 18px; font-weight: bold; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""


def main(folder: Path) -> None:
    """Make every picture; ``folder`` is new or empty."""
    type_command(folder.parent, "harness", "init", str(folder))
    type_command(folder, "harness", "synth", "corpus", "--scale", "0.05")
    path = folder / "experiment.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **CHANGES}, indent=2), "utf-8")
    with subprocess.Popen([COMMANDS / "aup", "experiment.json"], cwd=folder) as search:
        while search.poll() is None and count_finished(folder) < NUM_FINISHED:
            time.sleep(1)
        watched = type_command(folder, "harness", "watch", "results/", "--once", FORCE_COLOR="1")
    if search.returncode:
        sys.exit(f"the search ended with exit code {search.returncode}; its sentence is above")
    PICTURES.mkdir(exist_ok=True)
    write_terminal(PICTURES / "watch.svg", "harness watch results/", watched)
    type_command(folder, "harness", "retrain-best", "--test", "--seeds", "2")
    type_command(folder, "harness", "report", "results/", "--figures", "pictures")
    photograph(folder / "results" / "report.html", folder / "pictures" / "report.png")
    for name in (*SHOWN, "report"):
        shrink(folder / "pictures" / f"{name}.png", PICTURES / f"{name}.png")
    print(f"{sum(path.stat().st_size for path in PICTURES.iterdir()) / 1000:.0f} kB of pictures in {PICTURES}")


def type_command(folder: Path, *words: str, **variables: str) -> str:
    """Run what a user types, and return what it prints; its errors go where this program's go."""
    command = [str(COMMANDS / words[0]), *words[1:]]
    environment = {**os.environ, "COLUMNS": "80", **variables}
    return subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def count_finished(folder: Path) -> int:
    """Count the finished trials, 0 before there is a search."""
    command = [str(COMMANDS / "harness"), "watch", "results/", "--once", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return int(json.loads(done.stdout)["trials"]["finished"]) if done.returncode == 0 else 0


def write_terminal(path: Path, title: str, printed: str) -> None:
    """Write what a command printed as a picture of a terminal."""
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(printed), end="")
    path.write_text(console.export_svg(title=title, code_format=SVG, unique_id="guide"), "utf-8")


def photograph(page: Path, picture: Path) -> None:
    """Take the first screen of a page in headless Chromium."""
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars")
    screen = (f"--window-size={SCREEN_PIXELS}", f"--screenshot={picture}", "--virtual-time-budget=5000")
    subprocess.run(["chromium", *flags, *screen, page.as_uri()], stderr=subprocess.DEVNULL, check=True)


def shrink(source: Path, target: Path) -> None:
    """Write a picture as wide as a page, with the few colours that it has, and what it is of below it."""
    with Image.open(source) as image:
        height = round(image.height * WIDTH_PIXELS / image.width)
        small = image.convert("RGB").resize((WIDTH_PIXELS, height), Image.Resampling.LANCZOS)
    labelled = Image.new("RGB", (WIDTH_PIXELS, height + LABEL_PIXELS), "white")
    labelled.paste(small, (0, 0))
    font = ImageFont.load_default(size=LABEL_PIXELS - 8)
    ImageDraw.Draw(labelled).text((4, height + 2), LABEL, fill="#777777", font=font)
    labelled.quantize(NUM_COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]).absolute())
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch) / "lesson")
