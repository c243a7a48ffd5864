"""tune-sdk's modules where a file of the user's is called tune.py, as nothing kept those of NNI from doing.

Such a file comes first on the path, and `import tune` finds it. In a trial it stays `tune`, and what
trials need of tune-sdk is imported beside it, under the full names of its modules: our own imports, all
of the form `from tune.trial import ...`, find these before anything is looked for. Where experiments are
managed all of tune-sdk is needed, and `tune` is that.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing's own constant would import typing
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Sequence

__all__ = ["keep_beside", "take_over"]

_OF_TRIALS = ("trial", "channel", "utils", "spaces", "annotated")

_ours: list[ModuleType] = []  # the package, where it is not `tune`


def keep_beside() -> None:
    """Import what trials need of tune-sdk, if the user's module hides it."""
    theirs = sys.modules.get("tune")
    entry = _entry_of_ours() if theirs is None or not hasattr(theirs, "__path__") else None
    if entry is None:
        return
    from importlib import import_module  # which takes longer than all the rest

    sys.modules.pop("tune", None)
    sys.path.insert(0, entry)
    try:
        _ours.append(import_module("tune"))
        for name in _OF_TRIALS:
            import_module("tune." + name)
    finally:
        sys.path.remove(entry)
        sys.modules.pop("tune", None)
        if theirs is not None:
            sys.modules["tune"] = theirs


def take_over() -> None:
    """Have all of tune-sdk be `tune` in this process.

    Raises:
        ImportError: The user's module is `tune` already.
    """
    if not _ours:
        return
    theirs = sys.modules.setdefault("tune", _ours[0])
    if theirs is not _ours[0]:
        raise ImportError(
            f"{getattr(theirs, '__file__', None)} has the name of tune-sdk's package, which nni.experiment "
            "needs: rename the file, or import nni.experiment before it"
        )


def _entry_of_ours() -> str | None:
    """The entry of the path with tune-sdk, if `import tune` finds a single file instead.

    A package may have modules that are called as ours; there is no keeping beside that.
    """
    found = _find("tune")
    if found is None or found.submodule_search_locations is not None:
        return None
    for entry in sys.path:
        found = _find("tune", [entry])
        if found is not None and _is_ours(found):
            return entry
    return None


def _is_ours(spec: ModuleSpec) -> bool:
    inside = spec.submodule_search_locations
    return inside is not None and _find("tune.channel", inside) is not None


def _find(name: str, path: Sequence[str] | None = None) -> ModuleSpec | None:
    """What an import would find, as `importlib.util.find_spec` does at more expense."""
    specs = (finder.find_spec(name, path) for finder in sys.meta_path)
    return next((spec for spec in specs if spec is not None), None)
