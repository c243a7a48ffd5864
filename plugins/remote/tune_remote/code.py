"""The code directory as it is sent to machines: what belongs to it, its names and hashes, its bytes.

`scan` makes the manifest that `tune.host.code_tree` describes: sorted by path, a folder before what is
in it. Of a file's mode only one thing matters to a trial, whether its owner may execute it (0o700 or
0o600), so only that makes the code another one. Files are asked for by their index in the manifest.

Left out are `.git`, `__pycache__`, folders of experiments and links to them, and what `.tuneignore`
and `.nniignore` say, in any folder and by the rules of gitignore; where a folder has both,
`.tuneignore` comes last and so decides. Links are links: they are not followed. One to a place
outside is sent as it is, since that place may be there on the machine too; an absolute one to a
place inside is made relative, since the copy is elsewhere. Code that was rewritten for its trials has
links to what was not: these are taken for what they lead to.
"""

# Names from the disk stay text: there may be many, with any bytes in them.
# ruff: noqa: PTH110, PTH115, PTH117, PTH118, PTH119, PTH120

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tune_core import TrainingServiceError
from tune_core.annotation import ORIGIN
from tune_core.services.ignore import IGNORE_FILES, RulesAbove, is_left_out, parse_rules

__all__ = ["PIECE", "CodeChangedError", "CodeTree", "Entry", "scan"]

PIECE = 128 * 1024
_CHUNK = 1 << 20
_LARGEST = 10
_RESTLESS_TRIES = 3
_RACY_S = 2.0  # a file changed again within the clock's tick would look the same
_ALWAYS_OUT = (".git", "__pycache__")
_RECORD = "experiment.sqlite"  # a folder that has it is an experiment


_Seen = tuple[str, int, int, int, int]  # path, inode, size, times of the last change and status change


class CodeChangedError(TrainingServiceError):
    """A file is not any more what it was when the code was looked at."""


@dataclass(frozen=True)
class Entry:
    """One file, folder or link.

    Attributes:
        seen: What `stat` said of the file when it was hashed; None if it had just been changed.
        place: Where it lies, if that is not at `path` in the code directory.
    """

    path: str
    kind: str
    size: int = 0
    mode: int = 0
    sha256: str = ""
    target: str = ""
    seen: _Seen | None = field(default=None, compare=False)
    place: str = field(default="", compare=False)

    def to_json(self) -> dict[str, Any]:
        """As it stands in the manifest."""
        if self.kind == "link":
            return {"path": self.path, "kind": "link", "target": self.target}
        plain = {"path": self.path, "kind": self.kind, "mode": self.mode}
        return {**plain, "size": self.size, "sha256": self.sha256} if self.kind == "file" else plain


class CodeTree:
    """The code as it was when it was looked at.

    Attributes:
        digest: Names it; code with the same content has the same one.
        remarks: What a person should know: what could not be taken along as it is.
    """

    def __init__(self, root: Path, entries: Sequence[Entry], remarks: Sequence[str]) -> None:
        self.root = root
        self.entries = entries
        self.remarks = remarks
        self.manifest = json.dumps([entry.to_json() for entry in entries], separators=(",", ":")).encode(
            "ascii"
        )
        self.digest = hashlib.sha256(self.manifest).hexdigest()

    def manifest_pieces(self) -> list[bytes]:
        return [self.manifest[start : start + PIECE] for start in range(0, len(self.manifest), PIECE)]

    def size_of(self, index: int) -> int:
        """Bytes of a file; 0 for what is none."""
        return self.entries[index].size

    def read_pieces(self, index: int) -> Iterator[tuple[bytes, bool]]:
        """The content of a file, and with each piece whether it is the last; at least one piece.

        Raises:
            CodeChangedError: It is not what it was. Told before the last piece is given.
        """
        entry = self.entries[index]
        changed = CodeChangedError(f"{_shown(entry.path)} was changed while it was being sent")
        digest, left = hashlib.sha256(), entry.size
        try:
            with open(entry.place or os.path.join(self.root, entry.path), "rb", opener=_plain_file) as file:
                while left > PIECE:
                    piece = file.read(PIECE)
                    if len(piece) < PIECE:
                        raise changed
                    digest.update(piece)
                    left -= PIECE
                    yield piece, False
                piece = file.read(left + 1)
        except OSError as err:
            raise changed from err
        digest.update(piece)
        if digest.hexdigest() != entry.sha256:
            raise changed
        yield piece, True


def scan(folder: Path, limit: int, experiment: Path, earlier: CodeTree | None = None) -> CodeTree:
    """Look at a code directory. Takes as long as reading it takes: call it in a thread.

    Args:
        limit: The most bytes of all files together.
        experiment: The folder of the experiment, which may lie inside.
        earlier: What an earlier look at the same directory saw: files that were not touched since
            are not read again.

    Raises:
        TrainingServiceError: It is not there, is too large or cannot be read; says what to do.
    """
    root = Path(os.path.realpath(folder))
    if not root.is_dir():
        raise TrainingServiceError(f"the code directory {folder} does not exist")
    walk = _Walk(root, experiment)
    walk.descend("", ())
    _check_size(root, walk.entries, limit)
    before = earlier.entries if earlier else ()
    known: dict[_Seen | None, str] = {entry.seen: entry.sha256 for entry in before if entry.seen}
    hashed = [_hash(root, entry, known) if entry.kind == "file" else entry for entry in walk.entries]
    entries = sorted((entry for entry in hashed if entry is not None), key=lambda entry: entry.path)
    return CodeTree(root, entries, walk.remarks())


class _Walk:
    """Collects what belongs to the code, without reading any of it."""

    def __init__(self, root: Path, experiment: Path) -> None:
        self.entries: list[Entry] = []
        self._root = str(root)
        self._experiment = os.path.realpath(experiment)
        self._origin = _origin(root) if str(root.parent) == self._experiment else ""
        self._outside: list[str] = []
        self._special: list[str] = []

    def descend(self, folder: str, above: RulesAbove, place: str = "") -> None:
        """Look at one folder and, unless they are left out, at those below.

        Args:
            place: Where it lies, if that is elsewhere.
        """
        place = place or os.path.join(self._root, folder)
        try:
            with os.scandir(place) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            names = {entry.name for entry in entries}
            if folder and (_RECORD in names or place == self._experiment):
                self.entries.pop()  # the folder itself
                return
            files = [Path(place, name) for name in IGNORE_FILES if name in names]
            text = b"\n".join(file.read_bytes() for file in files if file.is_file())
        except FileNotFoundError:
            return  # removed at this moment
        except OSError as err:
            raise _unreadable(err) from err
        rules = (*above, (folder, parse_rules(text))) if text else above
        for entry in entries:
            self._add(os.path.join(folder, entry.name), self._place(entry, folder), rules)

    def _place(self, entry: os.DirEntry[str], folder: str) -> str:
        """Where something lies: elsewhere, if a link only stands for it in rewritten code."""
        if self._origin and entry.is_symlink():
            like = os.path.join(self._origin, folder, entry.name)
            if os.readlink(entry.path) == like:
                return like
        return entry.path

    def remarks(self) -> list[str]:
        told = []
        if self._outside:
            told.append(
                f"links that lead out of the code directory are sent as they are: {_some(self._outside)}"
            )
        if self._special:
            told.append(f"neither files, folders nor links, and not sent: {_some(self._special)}")
        return told

    def _is_out(self, path: str, is_folder: bool, rules: RulesAbove) -> bool:
        if os.path.basename(path) in _ALWAYS_OUT or (self._origin and path == ORIGIN):
            return True
        return is_left_out(path, is_folder, rules)

    def _add(self, path: str, place: str, rules: RulesAbove) -> None:
        elsewhere = place if place != os.path.join(self._root, path) else ""
        try:
            info = os.lstat(place)
            if self._is_out(path, stat.S_ISDIR(info.st_mode), rules):
                return
            if stat.S_ISDIR(info.st_mode):
                self.entries.append(Entry(path, "dir", mode=0o700))
                self.descend(path, rules, elsewhere)
            elif stat.S_ISLNK(info.st_mode):
                if os.path.exists(os.path.join(place, _RECORD)):
                    return
                self.entries.append(Entry(path, "link", target=self._target(path, place)))
            elif stat.S_ISREG(info.st_mode):
                self.entries.append(replace(_plain(path, info), place=elsewhere))
            else:
                self._special.append(path)
        except FileNotFoundError:
            return

    def _target(self, path: str, link: str) -> str:
        """Where a link leads, in words that hold in a copy of the directory."""
        target = os.readlink(link)
        folder = os.path.dirname(link)
        root = self._root if link == os.path.join(self._root, path) else self._origin
        place = os.path.normpath(os.path.join(folder, target))
        if place != root and not place.startswith(root + os.sep):
            self._outside.append(path)
            return target
        return os.path.relpath(place, folder) if os.path.isabs(target) else target


def _origin(root: Path) -> str:
    """The folder that rewritten code was made from; empty for code that is the user's own."""
    try:
        return os.fsdecode((root / ORIGIN).read_bytes().rstrip(b"\n"))
    except OSError:
        return ""


def _hash(root: Path, entry: Entry, known: Mapping[_Seen | None, str]) -> Entry | None:
    """The entry of a file with its content's hash; None if it is not there any more."""
    if entry.seen in known:
        return replace(entry, sha256=known[entry.seen])
    path = entry.place or os.path.join(root, entry.path)
    for _ in range(_RESTLESS_TRIES):
        try:
            with open(path, "rb", opener=_plain_file) as file:
                before = _plain(entry.path, os.fstat(file.fileno()))
                digest = _digest(file.fileno())
                after = os.fstat(file.fileno())
        except FileNotFoundError:
            return None
        except OSError as err:
            raise _unreadable(err) from err
        if _plain(entry.path, after).seen == before.seen:
            is_settled = time.time() - max(after.st_mtime, after.st_ctime) > _RACY_S
            seen = before.seen if is_settled else None
            return replace(before, sha256=digest, seen=seen, place=entry.place)
    raise TrainingServiceError(
        f"{_shown(path)}: is written to all the time, so it cannot be sent\n"
        "  leave it out: put its name into .tuneignore in the code directory"
    )


def _plain(path: str, info: os.stat_result) -> Entry:
    """The entry of a file that is not hashed yet."""
    seen = (path, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    return Entry(path, "file", info.st_size, 0o700 if info.st_mode & stat.S_IXUSR else 0o600, seen=seen)


def _digest(descriptor: int) -> str:
    digest = hashlib.sha256()
    while data := os.read(descriptor, _CHUNK):
        digest.update(data)
    return digest.hexdigest()


def _plain_file(path: str, flags: int) -> int:
    # What has become a pipe since must not be waited for, what has become a link not be followed.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _unreadable(err: OSError) -> TrainingServiceError:
    return TrainingServiceError(
        f"{_shown(err.filename)}: cannot be read, so it cannot be sent: {err.strerror}\n"
        "  leave it out: put its name into .tuneignore in the code directory"
    )


def _check_size(root: Path, entries: Sequence[Entry], limit: int) -> None:
    """Refuse what is too large, before any of it is read; says where the bytes are."""
    total = sum(entry.size for entry in entries)
    if total <= limit:
        return
    files = sorted((entry for entry in entries if entry.kind == "file"), key=lambda entry: -entry.size)
    folders: dict[str, int] = {}
    for entry in files:
        if "/" in entry.path:
            top = entry.path.partition("/")[0] + "/"
            folders[top] = folders.get(top, 0) + entry.size
    largest = sorted(folders.items(), key=lambda item: -item[1])[:_LARGEST]
    lines = [f"{_mib(entry.size)}  {_shown(entry.path)}" for entry in files[:_LARGEST]]
    lines += ["of folders:"] * bool(largest) + [f"{_mib(size)}  {_shown(name)}" for name, size in largest]
    raise TrainingServiceError(
        f"the code directory {root} has {_mib(total).strip()} in {len(files)} files, more than"
        f" codeSizeLimit ({_mib(limit).strip()}); the largest:\n    " + "\n    ".join(lines) + "\n"
        f"  leave out what trials need not have: put its name into {root / '.tuneignore'}, by the rules of\n"
        "  .gitignore; or raise trainingService.codeSizeLimit"
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:8.1f} MiB"


def _some(paths: Sequence[str], most: int = 5) -> str:
    names = ", ".join(map(_shown, paths[:most]))
    return f"{names} and {len(paths) - most} more" if len(paths) > most else names


def _shown(path: str) -> str:
    """A name that any log and terminal takes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in path)
