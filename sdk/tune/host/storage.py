"""What lies on a host: fetched, and listed.

Both are jobs. They need no experiment to be open on this connection.
"""

from __future__ import annotations

import os
import stat
from typing import Any, Callable, Generator, Iterator, Sequence

from tune.host import processes
from tune.host.jobs import Job
from tune.host.layout import ExperimentFolder, RefusedError, check_name, experiments_in
from tune.host.ownership import HostFolder, Noted, Ownership, hosts_of
from tune.host.wire import PIECE

__all__ = ["Send", "fetch", "list_experiments"]

Send = Callable[..., None]
"""`send(type, body=b"", **fields)`"""


# Fetching


def fetch(root: str, experiment: str, paths: Sequence[str], send: Send) -> Job:
    """Send files and folders, named by their paths in an experiment's folder.

    What is not there, and what is neither file nor folder nor link, is left out.
    """
    try:
        folder = ExperimentFolder(root, check_name(experiment, "an experiment")).path
        for path in paths:
            _check_path(folder, path)
        for path in paths:
            for each in _walk(folder, path):
                yield from _send_entry(folder, each, send)
    except (OSError, RefusedError) as error:
        send("refused", reason=str(error))
    else:
        send("fetched")


def _check_path(folder: str, path: Any) -> None:
    """Refuse what leaves the folder, through a link too."""
    parts = path.split("/") if isinstance(path, str) else [""]
    if "\0" in "".join(parts) or any(part in {"", ".", ".."} for part in parts):
        raise RefusedError(f"{path!r} is no path in the folder of an experiment")
    for count in range(1, len(parts)):
        if os.path.islink(os.path.join(folder, *parts[:count])):
            raise RefusedError(f"{path!r} leads through a link")


def _walk(folder: str, path: str) -> Iterator[str]:
    """`path` and, if it is a folder, what is in it; folders before their content."""
    place = os.path.join(folder, path)
    if not os.path.lexists(place):
        return
    yield path
    if os.path.isdir(place) and not os.path.islink(place):
        for name in sorted(os.listdir(place)):
            yield from _walk(folder, f"{path}/{name}")


def _send_entry(folder: str, path: str, send: Send) -> Job:
    place = os.path.join(folder, path)
    try:
        found = os.lstat(place)
    except FileNotFoundError:
        return  # it was removed meanwhile
    fields = {"path": path, "mode": stat.S_IMODE(found.st_mode), "size": 0, "target": ""}
    if stat.S_ISDIR(found.st_mode):
        send("entry", kind="dir", **fields)
    elif stat.S_ISLNK(found.st_mode):
        send("entry", **{**fields, "target": os.readlink(place)}, kind="link")
    elif stat.S_ISREG(found.st_mode):
        yield from _send_file(place, fields, send)
    yield 0.0


def _send_file(place: str, fields: dict[str, Any], send: Send) -> Job:
    """As much of a file as there was at first; a trial may be writing it."""
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        left = os.fstat(descriptor).st_size
        send("entry", **{**fields, "size": left}, kind="file")
        while left > 0:
            data = os.read(descriptor, min(PIECE, left))
            if not data:
                break
            left -= len(data)
            send("data", data)
            yield 0.0
    finally:
        os.close(descriptor)


# Listing


def list_experiments(root: str, send: Send) -> Job:
    """Send what there is of experiments on this host."""
    boot = processes.boot_id()
    found = []
    for experiment in experiments_in(root):
        folder = ExperimentFolder(root, experiment)
        size = yield from _size(folder.path)
        hosts = hosts_of(folder)
        found.append(
            {
                "experiment": experiment,
                "bytes": size,
                "alive": sum(_is_alive(noted, boot) for host in hosts for noted in host.attempts().values()),
                "managed": any(_is_managed(host, boot) for host in hosts),
            }
        )
    send("listed", experiments=found)


def _is_alive(noted: Noted, boot: str) -> bool:
    try:
        pidfd = processes.open_process(noted.identity, boot)
    except ProcessLookupError:
        return False
    if pidfd is not None:
        os.close(pidfd)
    return True


def _is_managed(host: HostFolder, boot: str) -> bool:
    try:
        owner = Ownership(host, boot).owner()
    except OSError:  # it has been removed just now, or there are no locks
        return False
    return owner is not None and owner.managed


def _size(path: str) -> Generator[float, None, int]:
    """A job: the bytes of disk space below a folder."""
    total = 0
    for number, (where, folders, files) in enumerate(os.walk(path)):
        for name in [*folders, *files]:
            try:
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
            except OSError:
                pass  # removed meanwhile
        if number % 20 == 0:
            yield 0.0
    return total
