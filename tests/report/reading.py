"""A page as a test reads it: what it loads, its text, its pictures; and a server that another tool starts."""

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from tests.search.searches import environment

#: What a search of ten trials that was never scored on the test set has: too few for their importance.
PICTURES = [
    "history",
    "learning-curves",
    "expected-best",
    "hyperparameters",
    "parallel-coordinates",
    "confusion",
    "costs",
    "failures",
]


class Reader(HTMLParser):
    """Collects what a page loads, its ids, and its text outside of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.headings: list[int] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        loaded = [str(values[name]) for name in ("src", "href") if values.get(name)]
        self.loaded += [address for address in loaded if not address.startswith("#")]
        self.tags.append((tag, values))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.ids += [str(values["id"])] if "id" in values else []
        if tag in ("script", "style"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))


def specs_in(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="specs">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    specs: dict[str, Any] = json.loads(found[1])
    return specs


@contextmanager
def serving(*command: str, folder: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in ``folder``; the block ends it, with all that it started."""
    server = subprocess.Popen(
        command, cwd=folder, env=environment() | variables, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def ask(port: int, path: str, body: dict[str, Any] | None = None) -> Any:
    """Return the answer of a server; None where there is none yet."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=data, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()
    except OSError:
        return None
