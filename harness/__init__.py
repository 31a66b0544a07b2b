"""Find, train and honestly score multimodal emotion classifiers on IEMOCAP."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from harness.store.reported import report_epoch, report_predictions

__all__ = ["report_epoch", "report_predictions"]


def __getattr__(name: str) -> object:
    """Import what a trial's script reports with, where it is asked for: every command starts sooner without it."""
    if name not in __all__:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    from harness.store import reported

    return getattr(reported, name)
