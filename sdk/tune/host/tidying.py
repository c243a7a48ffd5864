"""What experiments have in common on a host: the runtime, and the root. They go with the last one.

A disk that several hosts share may have no locks between them, so the order of steps must do. A server
that opens an experiment makes its folder first and looks for the runtime then, which it can put back
(`tune.host.stage2.install`). Whoever removes the runtime takes it out of the way first and looks for
experiments then, and puts it back if there are any. One of the two sees the other. Servers that run
have all of their code in memory.
"""

from __future__ import annotations

import os

from tune.host.jobs import Job
from tune.host.layout import GOING, experiments_in, names_in
from tune.host.trees import beside, remove_tree

__all__ = ["forget_old_runtimes", "tidy"]

_OLD_S = 30 * 86400.0  # since a server last said that it uses it, which it does every day
_TRIES = 100


def tidy(root: str) -> Job:
    """Finish what was interrupted in removing; with no experiment left, remove runtime and root.

    What others have put into the root stays, and the root then.
    """
    experiments = os.path.join(root, "experiments")
    yield from _remove_going(experiments)
    if experiments_in(root):
        return
    runtime = os.path.join(root, "runtime")
    going = beside(runtime, GOING)
    _rename(runtime, going)
    out_of_the_way = [name for name in names_in(root) if name.startswith(GOING)]
    if not _remove_empty(experiments):
        yield from _put_back(going, runtime)
        return
    for name in out_of_the_way:
        # Taken from whoever else is removing it, so that nobody puts back a half of it.
        mine = beside(runtime, GOING)
        if _rename(os.path.join(root, name), mine):
            yield from _remove(mine)
    _remove_empty(root)


def forget_old_runtimes(home: str) -> Job:
    """Remove the runtimes that nobody has used for a month, beside the one at `home`, just used."""
    folder, name = os.path.split(home)
    try:
        now = os.stat(home).st_mtime  # by the clock of the disk, as for the others
        for other in set(names_in(folder)) - {name}:
            path = os.path.join(folder, other)
            if now - os.stat(path).st_mtime > _OLD_S:
                going = beside(path, GOING)
                os.rename(path, going)
                os.utime(going, (now, now))
                yield from remove_tree(going)
    except OSError:
        pass  # another host is at it, or the next time


def _remove_going(folder: str) -> Job:
    for name in names_in(folder):
        if name.startswith(GOING):
            yield from _remove(os.path.join(folder, name))


def _remove(path: str) -> Job:
    try:
        yield from remove_tree(path)
    except OSError:
        pass  # so the folder that it is in stays


def _put_back(going: str, runtime: str) -> Job:
    """An experiment has come meanwhile; its server or others may have put something there already."""
    for _ in range(_TRIES):
        if _rename(going, runtime) or not os.path.lexists(going):
            return
        for name in names_in(going):
            _rename(os.path.join(going, name), os.path.join(runtime, name))
        # Else somebody has taken what is there out of the way, for a moment.
        if all(os.path.lexists(os.path.join(runtime, name)) for name in names_in(going)):
            yield from _remove(going)
            return


def _rename(path: str, new: str) -> bool:
    try:
        os.rename(path, new)
    except OSError:
        return False
    return True


def _remove_empty(folder: str) -> bool:
    """Whether it is gone now."""
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
