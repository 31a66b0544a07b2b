"""Find, train and honestly score multimodal emotion classifiers on IEMOCAP.

``harness.open("results/")`` reads a results folder as pandas tables and figures; ``harness.run("experiment.json")``
runs a search; a script of one's own reports with ``harness.report_epoch`` and ``harness.report_predictions``. Each is
imported when it is first used, so that ``import harness`` takes no time.
"""

from __future__ import annotations

# Type checkers take this name for true. Importing typing would take most of the time before a command hears Ctrl-C.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from harness.notebook import open as open
    from harness.notebook import run as run
    from harness.store.reported import report_epoch, report_predictions

__version__ = "0.1.0"
__all__ = ["__version__", "open", "report_epoch", "report_predictions", "run"]

_MODULES = {
    **dict.fromkeys(("open", "run"), "harness.notebook"),
    **dict.fromkeys(("report_epoch", "report_predictions"), "harness.store.reported"),
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
