"""Code on a host: a tree of files, named by the digest of its manifest (see `tune.host.manifest`).

A tree is put together in `code/<digest>.<host>.partial`: from what an interrupted transfer left there,
from files of other trees that are seen from this host, and from what the manager sends. Each file's
content is checked on its way in. Once everything is there and on the disk, the folder gets its name in
one step. Hosts that share a disk each put together their own; whoever is first gives it the name, and
that is the tree of all.
"""

from __future__ import annotations

import os
from typing import Any, Callable

from tune.host.assembly import Assembly, forget, other_trees
from tune.host.jobs import Job
from tune.host.layout import ExperimentFolder, RefusedError, check_name
from tune.host.manifest import MAX_MANIFEST, read_manifest

__all__ = ["CodeStore", "read_manifest"]


class CodeStore:
    """Takes in code for one experiment; `send(kind, **fields)` tells the manager how it goes.

    Args:
        label: Of this host: the disk may be that of others too.
    """

    def __init__(
        self,
        folder: ExperimentFolder,
        label: str,
        send: Callable[..., None],
        add_job: Callable[[Job], None],
    ) -> None:
        self._folder = folder
        self._label = label
        self._send = send
        self._add_job = add_job
        self._manifests: dict[str, bytearray] = {}  # that are coming
        self._trees: dict[str, Assembly] = {}
        self._busy: set[str] = set()  # trees with a job

    def take_manifest(self, digest: Any, piece: bytes, *, is_last: bool) -> None:
        """A piece of the manifest of code that is to be here."""
        digest = check_name(digest, "code")
        manifest = self._manifests.setdefault(digest, bytearray())
        manifest += piece
        if len(manifest) > MAX_MANIFEST:
            raise RefusedError(f"a manifest of more than {MAX_MANIFEST} bytes")
        if is_last:
            del self._manifests[digest]
            if digest in self._busy:
                return  # and its answer is on the way
            self._abandon(digest)
            if os.path.isdir(self._folder.tree(digest)):
                self._send("code", digest=digest, missing=[])
                self._send("ready", digest=digest)
                self._add_job(forget(self._partial(digest)))
            else:
                self._work(digest, self._begin(digest, bytes(manifest)))

    def take_file(self, digest: Any, index: Any, piece: bytes, *, is_last: bool) -> None:
        """A piece of a file that was missing."""
        assembly = self._trees.get(digest)
        if assembly is None:  # it has failed, or another host was quicker, and that was told
            if is_last and digest not in self._busy and os.path.isdir(self._folder.tree(digest)):
                self._send("ready", digest=digest)  # once more for who goes on sending
            return
        try:
            assembly.take(index, piece, is_last=is_last)
        except (OSError, RefusedError) as error:
            self._fail(digest, error)
            return
        is_elsewhere = is_last and assembly.is_done_elsewhere()
        if is_elsewhere or not assembly.missing:
            self._abandon(digest)
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
            partial = self._partial(digest)
            assembly = Assembly(os.path.join(self._folder.code, digest), partial, manifest, entries)
            yield from assembly.prepare(other_trees(self._folder.root, partial))
        except (OSError, RefusedError) as error:
            self._fail(digest, error)
            return
        self._send("code", digest=digest, missing=sorted(assembly.missing))
        if assembly.missing:
            self._trees[digest] = assembly
        else:
            yield from self._end(digest, assembly)

    def _end(self, digest: str, assembly: Assembly) -> Job:
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

    def _partial(self, digest: str) -> str:
        # Half of the digest: with a long label the name would be too long.
        return os.path.join(self._folder.code, f"{digest[:32]}.{self._label}.partial")

    def _abandon(self, digest: str) -> None:
        """What is whole stays, for the next time."""
        assembly = self._trees.pop(digest, None)
        if assembly is not None:
            assembly.drop_file()
