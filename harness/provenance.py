"""The provenance of a number: versions, revision of the code, user, memory."""

from __future__ import annotations

import getpass
import os
import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from harness.files import hash_file

#: Packages whose version can change a score.
PACKAGES = (
    "harness-iemocap",
    "auptimizer",
    "gensim",
    "keras",
    "numpy",
    "pyAudioAnalysis",
    "scikit-learn",
    "scipy",
    "tensorflow",
    "vaderSentiment",
)


def package_versions() -> dict[str, str]:
    """Return the version of Python and of each of ``PACKAGES`` that is installed."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def hash_word_vectors(path: Path | None) -> str | None:
    """Return the SHA-256 of a file of word vectors, which identifies it; None for vectors trained on the text.
    """
    return None if path is None else hash_file(path)


def git_revision() -> str | None:
    """Return the revision of the code's repository, ``+`` after it where tracked files differ; None outside one."""
    folder = Path(__file__).resolve().parent
    described = _git(folder, "rev-parse", "HEAD")
    if described is None or _git(folder, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    return described + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def user_name() -> str:
    """Return the user's name, or the number of a user without one, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def peak_memory_bytes() -> int:
    """Return the peak of this process's resident memory, shared pages of memory-mapped features included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
