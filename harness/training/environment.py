"""The environment of a training, as it is put on record: this process, its packages and its machine."""

from __future__ import annotations

import os
import platform

from harness.provenance import git_revision, package_versions
from harness.splits.parts import Parts
from harness.splits.scenes import name_groups
from harness.store.records import TrialEnvironment


def describe_environment(
    threads: int, corpus_hash: str, protocol_hash: str, parts: Parts | None = None
) -> TrialEnvironment:
    """Describe what a training's numbers depend on besides its recipe: this process, its packages and its machine.

    Args:
        parts: whose groups of scenes are put on record; None where scenes are shared
    """
    return TrialEnvironment(
        threads=threads,
        versions=package_versions(),
        git_revision=git_revision(),
        corpus_hash=corpus_hash,
        protocol_hash=protocol_hash,
        host=platform.node(),
        pid=os.getpid(),
        scene_groups=() if parts is None else name_groups(parts.groups),
        validated_scenes=() if parts is None else tuple(sorted(parts.validated_scenes)),
    )
