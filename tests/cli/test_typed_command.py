import shlex
import sys

import pytest

from harness.cli.options import typed_command


def test_what_was_typed_runs_again_whatever_stands_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["retrain-best", "my results", "--test", "--replace", "speech=it's here"]
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/harness", *words])
    assert typed_command() == "harness retrain-best 'my results' --test --replace 'speech=it'\"'\"'s here'"
    assert shlex.split(typed_command()) == ["harness", *words]
