"""Settings stand in setup.cfg; here is only how a wheel carries the files that `harness init` writes."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithProjectFiles(build_py):
    """Copy the repository's experiment files into the package of a wheel, so that there is one source of them."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "harness" / "project_files"
        for name in ("jobs", "search_spaces"):
            shutil.copytree(
                ROOT / name, target / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(ROOT / "experiment.json", target)


setup(cmdclass={"build_py": BuildWithProjectFiles})
