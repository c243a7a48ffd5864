"""JSON as it is kept in the record, and text that SQLite takes."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["dump_json", "storable"]


def dump_json(value: Any) -> str:
    """Strict, compact JSON in ASCII, so that half a surrogate pair (a file name that is no UTF-8) passes.

    Raises ValueError for NaN and infinities, TypeError for objects.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def storable(text: str) -> str:
    """`text` with what UTF-8 cannot hold written out."""
    return text.encode("utf-8", "backslashreplace").decode()
