"""`harness init`: the files of a new experiment, for a package that was installed without its repository."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

#: The files of an experiment.
PATTERNS = ("experiment.json", "jobs/*.py", "search_spaces/*.json", "search_spaces/careful/*.json")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Write experiment.json, jobs/ and search_spaces/ into the folder DIR, which is made if it does not exist.

    Existing files are never overwritten.

    \b
    Example:
      harness init my-search
      cd my-search
      aup experiment.json
    """
    from harness.errors import HarnessError
    from harness.files import write_then_rename

    source = find_project_files()
    names = sorted(
        path.relative_to(source) for pattern in PATTERNS for path in source.glob(pattern) if path.is_file()
    )
    if not names:
        raise HarnessError(f"'{source}': holds no experiment files; install the package again")
    for name in names:
        if (folder / name).exists():
            raise HarnessError(f"'{folder}': holds {str(name)!r} already; expected a folder without it")
    try:
        for name in names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with write_then_rename(target) as stream:
                stream.write((source / name).read_bytes())
            target.chmod((source / name).stat().st_mode & 0o777 | 0o200)
    except OSError as error:
        raise HarnessError(
            f"'{folder}': cannot be written ({error.strerror}); expected a folder that can be made or "
            "written to"
        ) from error
    click.echo(f"Wrote {len(names)} files to {folder}. Next:  cd {shlex.quote(str(folder))}  and  aup experiment.json")


def find_project_files() -> Path:
    """Return the folder with the files that `harness init` copies.

    The repository's own are the only ones that are edited; a wheel carries copies of them inside the package.
    """
    package = Path(__file__).parents[1]
    shipped = package / "project_files"
    return shipped if shipped.is_dir() else package.parent
