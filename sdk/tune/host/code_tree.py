"""Code on a host: a tree of files, named by the digest of its manifest.

A manifest is a JSON array of entries,

    {"path": "a", "kind": "dir", "mode": 493}
    {"path": "a/run.py", "kind": "file", "mode": 420, "size": 12, "sha256": "..."}
    {"path": "latest", "kind": "link", "target": "a/run.py"}

and its digest the SHA-256 of its bytes. A tree is put together in `code/<digest>.partial`: from what
an interrupted transfer left there, from files of other trees on this host, and from what the manager
sends. Each file's content is checked on its way in. Once everything is there and on the disk, the
folder gets its name in one step.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from typing import Any, Callable, Generator, Iterator, Sequence

from tune.host.jobs import Job
from tune.host.layout import ExperimentFolder, RefusedError, check_name, make_folder, private
from tune.host.output import regular

__all__ = ["CodeStore", "Entry", "read_manifest"]

_MAX_MANIFEST = 64 << 20
_CHUNK = 1 << 20
_OLD_TREES = 20  # that are looked through for files, newest first
_LOOKED_AT = 500  # entries of them in one step
_FOLDER_MODE = 0o755  # of folders that the manifest does not name


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
        for folder in _above(entry.path):
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


def _above(path: str) -> Iterator[str]:
    """The folders above a path, the topmost first."""
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))


class CodeStore:
    """Takes in code for one experiment; `send(kind, **fields)` tells the manager how it goes."""

    def __init__(
        self, folder: ExperimentFolder, send: Callable[..., None], add_job: Callable[[Job], None]
    ) -> None:
        self._folder = folder
        self._send = send
        self._add_job = add_job
        self._manifests: dict[str, bytearray] = {}  # that are coming
        self._trees: dict[str, _Assembly] = {}
        self._busy: set[str] = set()  # trees with a job

    def take_manifest(self, digest: Any, piece: bytes, *, is_last: bool) -> None:
        """A piece of the manifest of code that is to be here."""
        digest = check_name(digest, "code")
        manifest = self._manifests.setdefault(digest, bytearray())
        manifest += piece
        if len(manifest) > _MAX_MANIFEST:
            raise RefusedError(f"a manifest of more than {_MAX_MANIFEST} bytes")
        if is_last:
            del self._manifests[digest]
            if digest in self._busy:
                return  # and its answer is on the way
            self._abandon(digest)
            if os.path.isdir(self._folder.tree(digest)):
                self._send("code", digest=digest, missing=[])
                self._send("ready", digest=digest)
            else:
                self._work(digest, self._begin(digest, bytes(manifest)))

    def take_file(self, digest: Any, index: Any, piece: bytes, *, is_last: bool) -> None:
        """A piece of a file that was missing."""
        assembly = self._trees.get(digest)
        if assembly is None:
            return  # it has failed, and that was told
        try:
            assembly.take(index, piece, is_last=is_last)
        except (OSError, RefusedError) as error:
            self._fail(digest, error)
            return
        if not assembly.missing:
            del self._trees[digest]
            self._work(digest, self._end(digest, assembly))

    def close(self) -> None:
        for digest in list(self._trees):
            self._abandon(digest)

    def _work(self, digest: str, job: Job) -> None:
        def work() -> Job:
            self._busy.add(digest)
            try:
                yield from job
            finally:
                self._busy.discard(digest)

        self._add_job(work())

    def _begin(self, digest: str, manifest: bytes) -> Job:
        try:
            entries = read_manifest(manifest, digest)
            assembly = _Assembly(os.path.join(self._folder.code, digest), entries)
            yield from assembly.prepare(manifest, other_trees(self._folder.root, digest))
        except (OSError, RefusedError) as error:
            self._fail(digest, error)
            return
        self._send("code", digest=digest, missing=sorted(assembly.missing))
        if assembly.missing:
            self._trees[digest] = assembly
        else:
            yield from self._end(digest, assembly)

    def _end(self, digest: str, assembly: _Assembly) -> Job:
        try:
            yield from assembly.finish()
        except OSError as error:
            self._fail(digest, error)
        else:
            self._send("ready", digest=digest)

    def _fail(self, digest: str, error: Exception) -> None:
        self._abandon(digest)
        is_code = isinstance(error, RefusedError)
        reason = str(error) if is_code else f"{getattr(error, 'strerror', '') or error}: {self._folder.code}"
        self._send("code_failed", digest=digest, reason=reason, fault="code" if is_code else "host")

    def _abandon(self, digest: str) -> None:
        """What is whole stays, for the next time."""
        assembly = self._trees.pop(digest, None)
        if assembly is not None:
            assembly.drop_file()


class _Assembly:
    """One tree that is being put together.

    Attributes:
        missing: The places in the manifest of files that are not there yet.
    """

    def __init__(self, place: str, entries: Sequence[Entry]) -> None:
        self._place = place
        self._partial = place + ".partial"
        self._tree = os.path.join(self._partial, "tree")
        self._entries = entries
        self._file: int | None = None  # being written
        self._file_index = -1
        self._hash = hashlib.sha256()
        self._size = 0
        self.missing: set[int] = set()

    def prepare(self, manifest: bytes, others: Iterator[tuple[Entry, str]]) -> Job:
        """Make the folders, and take in what is on this host already."""
        make_folder(self._tree)
        with open(os.path.join(self._partial, "manifest.json"), "wb", opener=private) as file:
            file.write(manifest)
        for folder in sorted(self._folders()):
            try:
                os.mkdir(self._at(folder), 0o700)
            except FileExistsError:
                os.chmod(self._at(folder), 0o700)
        yield 0.0
        yield from self._look()
        yield from self._copy(others)

    def take(self, index: Any, piece: bytes, *, is_last: bool) -> None:
        """A piece of a file from the manager.

        Raises:
            RefusedError: It is not what the manifest says.
        """
        if type(index) is not int or index not in self.missing:
            raise RefusedError(f"file {index!r} was not asked for")
        if self._file_index != index:
            self.drop_file()
            self._open_file(index)
        self._write(piece)
        if self._size > self._entries[index].size:
            raise RefusedError(f"{self._entries[index].path} has grown")
        if is_last:
            self._end_file()

    def finish(self) -> Job:
        """Make the links, set the modes, see all of it onto the disk, and give the folder its name."""
        modes = {entry.path: entry.mode for entry in self._entries if entry.kind == "dir"}
        for entry in self._entries:
            if entry.kind == "link" and not os.path.islink(self._at(entry.path)):
                os.symlink(entry.target, self._at(entry.path))
            elif entry.kind == "file":
                _sync(self._at(entry.path), entry.mode)
                yield 0.0
        for folder in sorted(self._folders(), reverse=True):  # what lies in a folder before it
            _sync(self._at(folder), modes.get(folder, _FOLDER_MODE))
            yield 0.0
        _sync(os.path.join(self._partial, "manifest.json"))
        _sync(self._tree)
        _sync(self._partial)
        os.rename(self._partial, self._place)
        _sync(os.path.dirname(self._place))

    def drop_file(self) -> None:
        """Leave nothing of a file that is half written."""
        if self._file is not None:
            self._close_file()
            try:
                os.unlink(self._at(self._entries[self._file_index].path))
            except OSError:
                pass  # all of it was removed
            self._file_index = -1

    def _at(self, path: str) -> str:
        return os.path.join(self._tree, path)

    def _folders(self) -> set[str]:
        named = {entry.path for entry in self._entries if entry.kind == "dir"}
        return named.union(*(_above(entry.path) for entry in self._entries))

    def _look(self) -> Job:
        """Find what an earlier transfer brought; make what is empty."""
        for index, entry in enumerate(self._entries):
            if entry.kind != "file":
                continue
            self.missing.add(index)
            if not entry.size:
                self._open_file(index)
                self._end_file()
            elif (yield from _has_content(self._at(entry.path), entry)):
                self.missing.discard(index)
            yield 0.0

    def _copy(self, others: Iterator[tuple[Entry, str]]) -> Job:
        """Take from other trees what is in them unchanged."""
        wanted: dict[str, list[int]] = {}
        for index in self.missing:
            wanted.setdefault(self._entries[index].sha256, []).append(index)
        for number, (entry, path) in enumerate(others):
            if not self.missing:
                return
            for index in wanted.get(entry.sha256, ()):
                if index in self.missing:
                    yield from self._copy_file(index, path)
            if number % _LOOKED_AT == 0:
                yield 0.0

    def _copy_file(self, index: int, path: str) -> Job:
        source = _open_regular(path, self._entries[index].size)
        if source is None:
            return
        try:
            self._open_file(index)
            while True:
                piece = os.read(source, _CHUNK)
                if not piece:
                    break
                self._write(piece)
                yield 0.0
            self._end_file()
        except RefusedError:
            self.drop_file()  # it was changed there
        finally:
            os.close(source)

    def _open_file(self, index: int) -> None:
        path = self._at(self._entries[index].path)
        try:
            os.unlink(path)  # half of it, from an earlier transfer
        except FileNotFoundError:
            pass
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        self._file_index = index
        self._hash = hashlib.sha256()
        self._size = 0

    def _write(self, piece: bytes) -> None:
        assert self._file is not None
        self._hash.update(piece)
        self._size += len(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(self._file, view) :]

    def _end_file(self) -> None:
        assert self._file is not None
        entry = self._entries[self._file_index]
        if self._hash.hexdigest() != entry.sha256:
            raise RefusedError(f"{entry.path} is not what it was when it was looked at")
        self._close_file()
        self.missing.discard(self._file_index)
        self._file_index = -1

    def _close_file(self) -> None:
        assert self._file is not None
        os.close(self._file)
        self._file = None


def other_trees(root: str, digest: str) -> Iterator[tuple[Entry, str]]:
    """Files of trees on this host, those of `digest` left out: what they should be, and where."""
    folders: list[tuple[float, str]] = []
    experiments = os.path.join(root, "experiments")
    for experiment in _list(experiments):
        code = os.path.join(experiments, experiment, "code")
        for name in _list(code):
            place = os.path.join(code, name)
            if name != digest + ".partial":
                try:
                    folders.append((os.stat(place).st_mtime, place))
                except OSError:
                    pass
    for _, place in sorted(folders, reverse=True)[:_OLD_TREES]:
        try:
            with open(os.path.join(place, "manifest.json"), "rb", opener=regular) as file:
                manifest = file.read(_MAX_MANIFEST) or b""
            entries = read_manifest(manifest, hashlib.sha256(manifest).hexdigest())
        except (OSError, RefusedError):
            continue
        for entry in entries:
            if entry.kind == "file":
                yield entry, os.path.join(place, "tree", entry.path)


def _list(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _has_content(path: str, entry: Entry) -> Generator[float, None, bool]:
    """A job: whether a file is what its entry says."""
    descriptor = _open_regular(path, entry.size)
    if descriptor is None:
        return False
    total = hashlib.sha256()
    try:
        while True:
            piece = os.read(descriptor, _CHUNK)
            if not piece:
                break
            total.update(piece)
            yield 0.0
    finally:
        os.close(descriptor)
    return total.hexdigest() == entry.sha256


def _open_regular(path: str, size: int) -> int | None:
    """A file of this size, open for reading; None if it is anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_size == size:
        return descriptor
    os.close(descriptor)
    return None


def _sync(path: str, mode: int | None = None) -> None:
    """Set the mode of a file or folder, and wait until it is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if mode is not None:
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
