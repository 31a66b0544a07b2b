import subprocess
import sys
from collections.abc import Iterator

import pytest
import vl_convert

from harness.report import page as library


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    kept = (library.start_bundling, library.bundle_library)
    for function in kept:
        function.cache_clear()
    yield
    for function in kept:
        function.cache_clear()


def test_scripts_put_together_beside_are_those_put_together_here() -> None:
    version = library.vegalite_version()
    assert version.removeprefix("v") in vl_convert.get_vegalite_versions()
    here = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version)
    script = library.bundle_library()
    assert script.replace("<\\/script", "</script").replace("<\\!--", "<!--") == here
    assert "</script" not in script


@pytest.mark.long
def test_scripts_are_put_together_here_where_the_process_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"], stdout=subprocess.PIPE)
    monkeypatch.setattr(library, "start_bundling", lambda: failing)
    assert "window.vegaEmbed" in library.bundle_library()
