"""Removing experiments from a host, with the processes that belong to them.

The disk may be that of several hosts, which are asked to remove the same experiment at the same moment
and perhaps have no locks in common. Each ends its own trials, and removes what it has written of
itself in the experiment's folder; whoever finds nothing of any host there removes the rest.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any, Generator, Iterable

from tune.host import processes
from tune.host.jobs import Job
from tune.host.launch import Launch
from tune.host.layout import GOING, ExperimentFolder, RefusedError, check_name, experiments_in
from tune.host.ownership import HostFolder, Owner, Ownership, hosts_of
from tune.host.runtime import End, Listener, Runtime
from tune.host.storage import Send
from tune.host.tidying import tidy
from tune.host.trees import beside, remove_tree

__all__ = ["remove"]

_GRACE_S = 5.0  # for trials that are ended because they are removed
_OTHERS_S = 30.0  # for other hosts, which may have been asked a moment later
_LOOK_S = 0.02


def remove(root: str, experiments: Iterable[str] | None, force: bool, send: Send) -> Job:
    """Remove experiments (None: all that there are), having ended their trials on this host.

    With nothing left, the runtime and the root go as well.
    """
    boot = processes.boot_id()
    removed, skipped = [], []
    for experiment in experiments_in(root) if experiments is None else list(experiments):
        try:
            folder = ExperimentFolder(root, check_name(experiment, "an experiment"))
            if os.path.isdir(folder.path):
                yield from _remove_experiment(folder, boot, force)
                removed.append(experiment)
        except (OSError, RefusedError) as error:
            skipped.append({"experiment": experiment, "reason": str(error)})
    yield from tidy(root)
    send("removed", experiments=removed, skipped=skipped)


def _remove_experiment(folder: ExperimentFolder, boot: str, force: bool) -> Job:
    """Raises RefusedError for one that somebody has hold of, and goes on having hold of."""
    patient_until = time.monotonic() + _OTHERS_S
    while True:
        is_late = time.monotonic() > patient_until
        obstacle = ""
        for host in hosts_of(folder):
            try:
                found = yield from _remove_host(folder, host, boot, force=force, is_late=is_late)
            except FileNotFoundError:
                continue  # somebody else has removed it
            obstacle = obstacle or found
        if not obstacle and _has_no_hosts(folder):
            break
        if is_late:
            raise RefusedError(obstacle or "hosts go on to write into its folder")
        yield _LOOK_S
    going = beside(folder.path, GOING)
    try:
        os.rename(folder.path, going)
    except FileNotFoundError:
        return  # somebody else is at it; `tidy` helps
    yield from remove_tree(going)


def _has_no_hosts(folder: ExperimentFolder) -> bool:
    """In one step, so that no host comes between."""
    path = os.path.join(folder.path, "hosts")
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        if not os.listdir(path):
            raise
        return False
    return True


def _remove_host(
    folder: ExperimentFolder, host: HostFolder, boot: str, *, force: bool, is_late: bool
) -> Generator[float, None, str]:
    """End the trials of one machine and remove what it wrote of itself; or say why that must wait.

    Raises:
        RefusedError: A manager has hold of them.
        FileNotFoundError: It has been removed.
    """
    ownership = Ownership(host, boot)
    owner = ownership.owner()
    if owner is not None:
        obstacle = _hold_of(owner, boot, force)
    else:
        obstacle = "" if force and is_late else _life_elsewhere(host, ownership.last(), boot)
    if obstacle:
        return obstacle
    try:
        yield from ownership.claim(removing=True)
        yield from _end_trials(folder, host)
        going = os.path.join(folder.path, os.path.basename(beside(host.path, GOING)))
        os.rename(host.path, going)
    finally:
        ownership.release()
    yield from remove_tree(going)
    return ""


def _hold_of(owner: Owner, boot: str, force: bool) -> str:
    """What keeps from removing trials that somebody has hold of; empty when nothing does."""
    if owner.removing:
        return f"{owner.hostname} has been removing it for too long"
    if (owner.pid, owner.boot) == (os.getpid(), boot):
        raise RefusedError("it is open on this connection")
    if owner.managed and not force:
        raise RefusedError("a manager is connected that has hold of it")
    if owner.boot != boot:
        return f"{owner.hostname} has hold of its trials, which cannot be ended from here"
    return ""


def _life_elsewhere(host: HostFolder, last: Owner | None, boot: str) -> str:
    """What may be on another machine though it has no lock: servers are killed, disks have no locks."""
    if last is None or last.boot == boot or last.hostname == socket.gethostname():
        return ""
    if any(noted.identity.boot != boot for noted in host.attempts().values()):
        return f"its trials may still run on {last.hostname}"
    return f"a manager may have hold of it through {last.hostname}" if last.managed else ""


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


class _Ends(Listener):
    """Counts which attempts have ended."""

    def __init__(self) -> None:
        self.keys: set[Any] = set()

    def ended(self, key: Any, end: End) -> None:
        self.keys.add(key)
