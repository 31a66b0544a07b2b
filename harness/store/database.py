"""sqlite-utils without pandas, which it imports only to know the type of a timestamp: a quarter of a second."""

from __future__ import annotations

import sys

_HIDES_PANDAS = "pandas" not in sys.modules
if _HIDES_PANDAS:
    # None makes an import fail as if the package were not there, and sqlite-utils allows for that.
    sys.modules["pandas"] = None  # type: ignore[assignment]
try:
    from sqlite_utils import Database
    from sqlite_utils.db import quote_identifier
finally:
    if _HIDES_PANDAS:
        del sys.modules["pandas"]

__all__ = ["Database", "quote_identifier"]
