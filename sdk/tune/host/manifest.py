"""The manifest of a tree of code: what belongs into it.

A JSON array of entries,

    {"path": "a", "kind": "dir", "mode": 493}
    {"path": "a/run.py", "kind": "file", "mode": 420, "size": 12, "sha256": "..."}
    {"path": "latest", "kind": "link", "target": "a/run.py"}

and its digest, the SHA-256 of its bytes, names the tree. No path leads out of the tree.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Iterator

from tune.host.layout import RefusedError

__all__ = ["MAX_MANIFEST", "Entry", "folders_above", "read_manifest"]

MAX_MANIFEST = 64 << 20  # bytes


@dataclass(frozen=True)
class Entry:
    """One file, folder or link of a tree."""

    path: str
    kind: str
    mode: int = 0
    size: int = 0
    sha256: str = ""
    target: str = ""


def read_manifest(data: bytes, digest: str) -> list[Entry]:
    """The entries of a manifest.

    Raises:
        RefusedError: It is not the one called `digest`, or one that might write outside its tree.
    """
    if hashlib.sha256(data).hexdigest() != digest:
        raise RefusedError("the manifest is not the one that its digest names")
    try:
        entries = [_entry(**values) for values in json.loads(data.decode())]
    except RefusedError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise RefusedError(f"this is no manifest: {error}") from error
    kinds: dict[str, str] = {}
    for entry in entries:
        if entry.path in kinds:
            raise RefusedError(f"the manifest names {entry.path!r} twice")
        kinds[entry.path] = entry.kind
    for entry in entries:
        for folder in folders_above(entry.path):
            if kinds.get(folder, "dir") != "dir":
                raise RefusedError(f"the manifest has {entry.path!r} below {folder!r}, which is no folder")
    return entries


def _entry(path: Any, kind: Any, mode: Any = 0, size: Any = 0, sha256: Any = "", target: Any = "") -> Entry:
    if not isinstance(path, str) or "\0" in path or any(p in {"", ".", ".."} for p in path.split("/")):
        raise RefusedError(f"the manifest has a path that is refused: {path!r}")
    is_good = type(mode) is int and not mode & ~0o777 and kind in {"dir", "file", "link"}
    if kind == "file":
        is_good &= type(size) is int and size >= 0 and _is_sha256(sha256)
    elif kind == "link":
        is_good &= isinstance(target, str) and target != "" and "\0" not in target
    if not is_good:
        raise RefusedError(f"the manifest has an entry that is refused: {path!r}")
    return Entry(path, kind, mode, size, sha256, target)


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def folders_above(path: str) -> Iterator[str]:
    """The folders above a path, the topmost first."""
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))
