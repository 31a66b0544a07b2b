"""Vega's scripts, which draw the pictures of a page."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import altair as alt
import vl_convert

_SNIPPET = "window.vegaEmbed = vegaEmbed;"
_PROGRAM = """
import sys, vl_convert
sys.stdout.buffer.write(vl_convert.javascript_bundle(sys.argv[1], sys.argv[2]).encode())
"""


def vegalite_version() -> str:
    """Return the version of Vega-Lite that altair writes, as vl-convert names it: ``"v6.4"``."""
    return str(alt.SCHEMA_VERSION).rsplit(".", 1)[0]


@cache
def start_bundling() -> subprocess.Popen[bytes]:
    """Begin to put the scripts together in a process of its own; ``bundle_library`` waits for it.

    It takes a second, whatever is drawn, and holds the interpreter all the while: beside reading and drawing
    it costs no time where there is a second core. The process ends by itself, read or not.
    """
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, _SNIPPET, vegalite_version()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


@cache
def bundle_library() -> str:
    """Return the scripts, for inside a script element: they set ``window.vegaEmbed``."""
    process = start_bundling()
    output, _ = process.communicate()
    if process.returncode == 0:
        script = output.decode()
    else:
        # What went wrong there is said here, unless it goes well.
        script = vl_convert.javascript_bundle(_SNIPPET, vegalite_version())
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")
