"""`harness schema`: the JSON Schema of experiment.json, by which editors complete and check its keys."""

from __future__ import annotations

import click


@click.command()
@click.option("--search-space", is_flag=True, help="Print the schema of the files in search_spaces/ instead.")
def schema(search_space: bool) -> None:
    """Print the JSON Schema (draft 7) of experiment.json: keys, types, bounds, allowed names and descriptions.

    An editor that reads it completes the keys of the file and marks what `aup` would refuse. `aup` checks more: whether
    files exist, and whether values go together.

    \b
    Example:
      harness schema
    """
    import json

    from harness.search.known_keys import EXPERIMENT, SEARCH_SPACE, schema_of

    found = schema_of(SEARCH_SPACE, "search space") if search_space else schema_of(EXPERIMENT, "experiment.json")
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))
