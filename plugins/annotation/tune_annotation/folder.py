"""The folder with a user's code: which of its files may be annotated, and another folder like it.

What is not code is linked. Files of Python and of the shell are copied even where nothing is annotated:
they find one another by where they really lie (`python main.py` looks for modules beside the file that a
link leads to), so that linked ones would find the code as it was before it was rewritten.
"""

# Names from the disk stay text: there may be many, with any bytes in them.
# ruff: noqa: PTH101, PTH103, PTH116, PTH112, PTH113, PTH115, PTH118, PTH119, PTH120, PTH211

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tune_core.annotation import ORIGIN
from tune_core.services.ignore import IGNORE_FILES, RulesAbove, is_left_out, parse_rules

__all__ = ["Folder", "fill", "survey"]

_CODE = (".py", ".sh")
_DROPPED = ("__pycache__", ORIGIN)
_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")  # what a folder has that is one of Python's
_EXPERIMENT = {"created", "doorbell", "trials"}


@dataclass
class Folder:
    """A folder as it was found.

    Attributes:
        path: From the code's own folder, with `/`; empty for that itself.
        code: Names of files that are copied, and read if they are Python.
        others: Names of files that belong to the code and are no code.
        apart: Names of what is not looked into: hidden, left out by `.tuneignore`, environments of Python.
        links: Names of links.
        is_whole: Nothing below is copied or dropped, so that one link does for all of it.
    """

    path: str
    code: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)
    is_whole: bool = True

    def walk(self) -> Iterator[Folder]:
        """This folder and all below, each before what is in it."""
        waiting = [self]
        while waiting:
            folder = waiting.pop()
            yield folder
            waiting += reversed(folder.folders.values())


def survey(root: Path, target: Path | None = None) -> Folder:
    """Look at a folder and those below; no file is read but those that say what to leave alone.

    Links are not followed, but for those to a single file of code elsewhere.

    Args:
        target: Where the other one is made, which may lie inside and does not belong to the code.

    Raises:
        OSError: The folder itself cannot be read.
    """
    return _Survey(Path(os.path.realpath(root)), target).top


_Above = tuple[Folder, ...]


class _Survey:
    def __init__(self, root: Path, target: Path | None) -> None:
        self.top = Folder("")
        self._root = str(root)
        self._target = os.path.realpath(target) if target else None
        self._waiting: list[tuple[Folder, _Above, RulesAbove]] = [(self.top, (), ())]
        while self._waiting:
            self._look(*self._waiting.pop())

    def _look(self, folder: Folder, above: _Above, rules: RulesAbove) -> None:
        place = os.path.join(self._root, folder.path)
        try:
            with os.scandir(place) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except PermissionError:
            if not above:
                raise
            _set_apart(folder, above)
            return
        names = {entry.name for entry in entries}
        if above and (place == self._target or names >= _EXPERIMENT):
            del above[-1].folders[os.path.basename(folder.path)]
            _break_up(above)
            return
        if above and names.intersection(_ENVIRONMENTS):
            _set_apart(folder, above)
            return
        if text := _ignore_text(place, names):
            rules = (*rules, (folder.path, parse_rules(text)))
        line = (*above, folder)
        for entry in entries:
            if entry.name in _DROPPED:
                _break_up(line)
            elif is_left_out(
                os.path.join(folder.path, entry.name), entry.is_dir(follow_symlinks=False), rules
            ):
                folder.apart.append(entry.name)
            else:
                self._add(entry, line)
        self._waiting += [(inner, line, rules) for inner in reversed(folder.folders.values())]

    def _add(self, entry: os.DirEntry[str], line: _Above) -> None:
        """Put an entry where it belongs in the last folder of a line from the top."""
        folder, name = line[-1], entry.name
        is_code = name.endswith(_CODE) and not name.startswith(".")
        if entry.is_symlink():
            place = os.path.realpath(entry.path)
            is_inside = place == self._root or place.startswith(self._root + os.sep)
            if is_inside or not (is_code and os.path.isfile(place)):
                folder.links.append(name)
                if is_inside and (is_code or os.path.isdir(place)):
                    _break_up(line)  # what it leads to may be copied
                return
        if entry.is_dir():
            if name.startswith("."):
                folder.apart.append(name)
            else:
                folder.folders[name] = Folder(os.path.join(folder.path, name))
        elif is_code and entry.is_file() and os.access(entry.path, os.R_OK):
            folder.code.append(name)
            _break_up(line)
        else:
            folder.others.append(name)


def fill(root: Path, top: Folder, target: Path, rewritten: Mapping[str, bytes], *, copies: bool) -> None:
    """Fill an empty folder with what a survey found.

    Args:
        rewritten: New content of files, by their paths.
        copies: Copy what belongs to the code, rather than link what can be linked.
    """
    root = Path(os.path.realpath(root))
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        source, place = os.path.join(root, folder.path), os.path.join(target, folder.path)
        os.makedirs(place, exist_ok=True)
        for name in folder.code:
            _write(os.path.join(source, name), os.path.join(place, name), rewritten.get(_join(folder, name)))
        for name in folder.links:
            os.symlink(_destination(os.path.join(source, name), root), os.path.join(place, name))
        for name in folder.others:
            found = os.path.join(source, name)
            if copies and stat.S_ISREG(os.lstat(found).st_mode):
                shutil.copy2(found, os.path.join(place, name))
            else:
                os.symlink(found, os.path.join(place, name))
        for name in folder.apart:
            os.symlink(os.path.join(source, name), os.path.join(place, name))
        for name, inner in folder.folders.items():
            if inner.is_whole and not copies:
                os.symlink(os.path.join(source, name), os.path.join(place, name))
            else:
                waiting.append(inner)


def _join(folder: Folder, name: str) -> str:
    return f"{folder.path}/{name}" if folder.path else name


def _break_up(line: _Above) -> None:
    """No folder of a line from the top is whole."""
    for folder in reversed(line):
        if not folder.is_whole:
            return
        folder.is_whole = False


def _set_apart(folder: Folder, above: _Above) -> None:
    name = os.path.basename(folder.path)
    del above[-1].folders[name]
    above[-1].apart.append(name)


def _ignore_text(place: str, names: set[str]) -> bytes:
    files = [os.path.join(place, name) for name in IGNORE_FILES if name in names]
    return b"\n".join(Path(file).read_bytes() for file in files if os.path.isfile(file))


def _write(source: str, place: str, content: bytes | None) -> None:
    """A copy that its owner can write, with new content if there is some."""
    if content is None:
        shutil.copyfile(source, place)
    else:
        Path(place).write_bytes(content)
    mode = os.stat(source).st_mode
    os.chmod(place, stat.S_IMODE(mode) | stat.S_IWUSR)


def _destination(link: str, root: Path) -> str:
    """Where a user's link is to lead in the other folder: to the like place there, or where it leads now."""
    folder = os.path.dirname(link)
    words = os.readlink(link)
    place = os.path.normpath(os.path.join(folder, words))
    if place == str(root) or place.startswith(str(root) + os.sep):
        return os.path.relpath(place, folder)
    return place
