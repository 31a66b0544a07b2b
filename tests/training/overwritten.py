"""Prepared features of which some turns are not what they were: what reads none of them has the same numbers."""

import json
import shutil

import numpy as np

from harness.features.store import FeatureStore

OTHER_CLASS = {"ang": "sad", "sad": "neu", "neu": "exc", "exc": "ang"}


def overwrite(prepared, copied, is_changed):
    """Copy prepared features, with other words, sounds, motion and emotions in the turns that ``is_changed`` names."""
    shutil.copytree(prepared, copied)
    store, others = FeatureStore.open(prepared), FeatureStore.open(copied)
    for session in store.sessions:
        folder = others.session_dir(session)
        # Arrays and lines have the rows of all turns, by id.
        rows = [row for row, turn in enumerate(store.turns([session])) if is_changed(turn)]
        for path in folder.glob("*.npy"):
            array = np.load(path)
            array[rows] = 1 if "length" in path.name or "rows" in path.name else 1e3
            np.save(path, array)
        lines = [json.loads(line) for line in (folder / "utterances.jsonl").read_text().splitlines()]
        for row in rows:
            lines[row]["transcript"] = "shibboleth " * 9
            lines[row]["emotion"] = OTHER_CLASS.get(lines[row]["emotion"], lines[row]["emotion"])
        (folder / "utterances.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return copied
