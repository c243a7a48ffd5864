"""What lies on a host: fetched, listed, and removed with the processes that belong to it.

All are jobs. They need no experiment to be open on this connection.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from typing import Any, Callable, Generator, Iterable, Iterator, Sequence

from tune.host import processes
from tune.host.jobs import Job
from tune.host.launch import Launch
from tune.host.layout import ExperimentFolder, RefusedError, check_name
from tune.host.ownership import HostFolder, Noted, Owner, Ownership
from tune.host.runtime import End, Listener, Runtime
from tune.host.wire import PIECE

__all__ = ["fetch", "list_experiments", "remove"]

Send = Callable[..., None]
"""`send(type, body=b"", **fields)`"""

_GRACE_S = 5.0  # for trials that are ended because they are removed
_LOOK_S = 0.02
_LOOKED_AT = 200  # files, in one step
_GOING = ".removing-"  # in front of a folder's name: it counts as gone


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
    for experiment in _experiments(root):
        folder = ExperimentFolder(root, experiment)
        size = yield from _size(folder.path)
        hosts = _hosts(folder)
        found.append(
            {
                "experiment": experiment,
                "bytes": size,
                "alive": sum(_is_alive(noted, boot) for host in hosts for noted in host.attempts().values()),
                "managed": any(_is_managed(host, boot) for host in hosts),
            }
        )
    send("listed", experiments=found)


def _experiments(root: str) -> list[str]:
    return [name for name in _list(os.path.join(root, "experiments")) if not name.startswith(".")]


def _hosts(folder: ExperimentFolder) -> list[HostFolder]:
    return [HostFolder(folder.host(label)) for label in _list(os.path.join(folder.path, "hosts"))]


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


# Removing


def remove(root: str, experiments: Iterable[str] | None, force: bool, send: Send) -> Job:
    """Remove experiments (None: all that there are), having ended their trials on this host.

    With nothing left, the runtime and the root go as well.
    """
    boot = processes.boot_id()
    removed, skipped = [], []
    for experiment in _experiments(root) if experiments is None else list(experiments):
        try:
            folder = ExperimentFolder(root, check_name(experiment, "an experiment"))
            if os.path.isdir(folder.path):
                yield from _remove_experiment(folder, boot, force)
                removed.append(experiment)
        except (OSError, RefusedError) as error:
            skipped.append({"experiment": experiment, "reason": str(error)})
    yield from _remove_root(root)
    send("removed", experiments=removed, skipped=skipped)


def _remove_experiment(folder: ExperimentFolder, boot: str, force: bool) -> Job:
    """Raises RefusedError for one that somebody has hold of."""
    held: list[Ownership] = []
    try:
        for host in _hosts(folder):
            host.make()
            ownership = Ownership(host, boot)
            _check_owner(ownership.owner(), boot, force)
            if not force:
                _check_elsewhere(host, ownership.last(), boot)
            held.append(ownership)
            yield from ownership.claim()
            yield from _end_trials(folder, host)
        going = os.path.join(folder.root, "experiments", f"{_GOING}{folder.experiment}-{os.getpid()}")
        os.rename(folder.path, going)
    finally:
        for ownership in held:
            ownership.release()
    yield from _remove_tree(going)


def _check_owner(owner: Owner | None, boot: str, force: bool) -> None:
    if owner is None:
        return
    if owner.boot != boot:
        raise RefusedError(f"{owner.hostname} has hold of its trials, which cannot be ended from here")
    if owner.pid == os.getpid():
        raise RefusedError("it is open on this connection")
    if owner.managed and not force:
        raise RefusedError("a manager is connected that has hold of it")


def _end_trials(folder: ExperimentFolder, host: HostFolder) -> Job:
    """End what is noted, whole process trees."""
    noted = host.attempts()
    ends = _Ends()
    runtime = Runtime(ends, grace_s=_GRACE_S)
    try:
        for key, each in noted.items():
            launch = Launch(key[0], key[1], "", "", {}, folder.attempt(key), each.mark)
            runtime.adopt(key, launch, each.identity)
            runtime.kill(key, _GRACE_S)
        while len(ends.keys) < len(noted):
            runtime.poll()
            yield _LOOK_S
    finally:
        runtime.close()


def _check_elsewhere(host: HostFolder, last: Owner | None, boot: str) -> None:
    """On a disk that machines share, trials may run on another one though no server has them."""
    if last is None or last.hostname == socket.gethostname():
        return
    if any(noted.identity.boot != boot for noted in host.attempts().values()):
        raise RefusedError(f"its trials may still run on {last.hostname}")


class _Ends(Listener):
    """Counts which attempts have ended."""

    def __init__(self) -> None:
        self.keys: set[Any] = set()

    def ended(self, key: Any, end: End) -> None:
        self.keys.add(key)


def _remove_tree(path: str) -> Job:
    """Remove a folder, with folders that were made read-only, though somebody else does so too."""
    try:
        yield from _remove_all(path)
    except FileNotFoundError:
        if os.path.lexists(path):
            yield from _remove_tree(path)


def _remove_all(path: str) -> Job:
    os.chmod(path, 0o700)
    emptied = [path]
    for where, folders, files in os.walk(path):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        folders[:] = [name for name in folders if name not in links]
        for number, name in enumerate([*files, *links]):
            os.unlink(os.path.join(where, name))
            if number % _LOOKED_AT == 0:
                yield 0.0
        for name in folders:
            os.chmod(os.path.join(where, name), 0o700)
            emptied.append(os.path.join(where, name))
    for number, folder in enumerate(reversed(emptied)):
        os.rmdir(folder)
        if number % _LOOKED_AT == 0:
            yield 0.0


def _remove_root(root: str) -> Job:
    """Remove what is left when no experiment is; what others have put there stays, and the root then."""
    experiments = os.path.join(root, "experiments")
    try:
        for name in _list(experiments):
            if name.startswith(_GOING):  # by somebody who was interrupted
                yield from _remove_tree(os.path.join(experiments, name))
        if os.path.isdir(experiments):
            os.rmdir(experiments)
        shutil.rmtree(os.path.join(root, "runtime"), ignore_errors=True)
        os.rmdir(root)
    except OSError:
        pass  # it is in use


def _list(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
