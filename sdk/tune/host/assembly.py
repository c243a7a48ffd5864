"""Putting together one tree of code from what is on this host and what the manager sends."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import Any, Generator, Iterator, Sequence

from tune.host.jobs import Job
from tune.host.layout import RefusedError, make_folder, private
from tune.host.manifest import MAX_MANIFEST, Entry, folders_above, read_manifest
from tune.host.output import regular
from tune.host.trees import remove_tree

__all__ = ["Assembly", "forget", "other_trees"]

_CHUNK = 1 << 20
_OLD_TREES = 20  # that are looked through for files, newest first
_LOOKED_AT = 500  # entries of them in one step
_FOLDER_MODE = 0o755  # of folders that the manifest does not name


class Assembly:
    """One tree that is being put together.

    Attributes:
        missing: The places in the manifest of files that are not there yet.
    """

    def __init__(self, place: str, partial: str, manifest: bytes, entries: Sequence[Entry]) -> None:
        self._place = place
        self._partial = partial
        self._tree = os.path.join(partial, "tree")
        self._manifest = manifest
        self._entries = entries
        self._file: int | None = None  # being written
        self._file_index = -1
        self._hash = hashlib.sha256()
        self._size = 0
        self.missing: set[int] = set()

    def prepare(self, others: Iterator[tuple[Entry, str]]) -> Job:
        """Make the folders, and take in what is on this host already."""
        make_folder(self._tree)
        with open(os.path.join(self._partial, "manifest.json"), "wb", opener=private) as file:
            file.write(self._manifest)
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

    def is_done_elsewhere(self) -> bool:
        """Whether another host has given the tree its name by now."""
        return os.path.isdir(os.path.join(self._place, "tree"))

    def finish(self) -> Job:
        """Give the tree its name, or see that another host has.

        Raises:
            OSError: It cannot be done, or what has the name is not the tree.
        """
        if not self.missing:
            yield from self._complete()
            try:
                os.rename(self._partial, self._place)
            except OSError:
                if not os.path.isdir(self._place):
                    raise
            else:
                _sync(os.path.dirname(self._place))
                return
        if not (yield from self._is_whole()):
            raise OSError(errno.EEXIST, "what is there in the place of the code is not the code", self._place)
        yield from forget(self._partial)

    def _complete(self) -> Job:
        """Make the links, set the modes, and see all of it onto the disk."""
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

    def _is_whole(self) -> Generator[float, None, bool]:
        """A job: whether what has the name is the tree.

        Its files were checked on their way in, and trials may have written into them since: it is
        looked only whether all of it is there.
        """
        try:
            with open(os.path.join(self._place, "manifest.json"), "rb", opener=regular) as file:
                if file.read(MAX_MANIFEST) != self._manifest:
                    return False
        except OSError:
            return False
        for number, entry in enumerate(self._entries):
            if not os.path.lexists(os.path.join(self._place, "tree", entry.path)):
                return False
            if number % _LOOKED_AT == 0:
                yield 0.0
        return True

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
        return named.union(*(folders_above(entry.path) for entry in self._entries))

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
                piece = _read_other(source)
                if not piece:
                    break
                self._write(piece)
                yield 0.0
            self._end_file()
        except RefusedError:
            self.drop_file()  # it was changed there, or removed
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


def forget(partial: str) -> Job:
    """Remove what is not needed any more; what stays does no harm."""
    try:
        yield from remove_tree(partial)
    except OSError:
        pass


def other_trees(root: str, partial: str) -> Iterator[tuple[Entry, str]]:
    """Files of trees that are seen from this host, but for `partial`: what they should be, and where."""
    folders: list[tuple[float, str]] = []
    experiments = os.path.join(root, "experiments")
    for experiment in _list(experiments):
        code = os.path.join(experiments, experiment, "code")
        for name in _list(code):
            place = os.path.join(code, name)
            if place != partial:
                try:
                    folders.append((os.stat(place).st_mtime, place))
                except OSError:
                    pass
    for _, place in sorted(folders, reverse=True)[:_OLD_TREES]:
        try:
            with open(os.path.join(place, "manifest.json"), "rb", opener=regular) as file:
                manifest = file.read(MAX_MANIFEST) or b""
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


def _read_other(source: int) -> bytes:
    try:
        return os.read(source, _CHUNK)
    except OSError as error:
        raise RefusedError(f"it cannot be read: {error.strerror}") from error


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
