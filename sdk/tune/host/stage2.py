"""The first Python at the other end: sees to the runtime there, then serves.

`tune.host.boot` sends this file as a text to a Python where nothing of tune can be imported yet.
Arguments: the folder that holds everything there, and the digest of the runtime.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from typing import Any, Callable

PROTOCOL = 1
_TRIES = 20  # when somebody else removes the runtime while it is being installed or loaded
_REMOVED = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.ESTALE}  # what is met then


def digest_of(files: dict[str, bytes]) -> str:
    """Names the content of a folder, however it is packed."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(b"%d %s %d\n" % (len(name), name.encode(), len(files[name])))
        total.update(files[name])
    return total.hexdigest()


def read_modules(folder: str) -> dict[str, bytes]:
    """The Python files below `folder`, by their path in it."""
    files = {}
    for where, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(where, name)
                with open(path, "rb") as file:
                    files[os.path.relpath(path, folder).replace(os.sep, "/")] = file.read()
    return files


def say(message: dict[str, Any]) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(1, data) :]


def take(count: int) -> bytes:
    """Exactly so many bytes from standard input: what follows is for the server."""
    data = bytearray()
    while len(data) < count:
        piece = os.read(0, min(count - len(data), 1 << 20))
        if not piece:
            sys.exit(0)  # the manager is gone, and nothing was begun
        data += piece
    return bytes(data)


def unpack(archive: bytes, digest: str) -> dict[str, bytes]:
    import io  # seldom needed, and a third of the time to start
    import zipfile

    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    if digest_of(files) != digest:
        raise OSError("the runtime did not come as it was sent")
    return files


def find(home: str, digest: str) -> dict[str, bytes] | None:
    """The runtime, if all of it is there.

    Looked at each time: clean-up of scratch disks takes files out of folders one by one.
    """
    try:
        files = read_modules(home)
    except OSError:
        return None
    return files if digest_of(files) == digest else None


def install(home: str, files: dict[str, bytes], digest: str) -> None:
    """Write the runtime, though somebody else may be removing it: a server that leaves the same disk."""
    umask = os.umask(0o077)
    try:
        for number in range(_TRIES):
            try:
                _install(home, files, digest)
                break
            except OSError as error:
                if error.errno not in _REMOVED or number == _TRIES - 1:
                    raise
    finally:
        os.umask(umask)


def _install(home: str, files: dict[str, bytes], digest: str) -> None:
    """Write it beside its place, then put it there in one step."""
    import shutil
    import tempfile

    folder = os.path.dirname(home)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    new = tempfile.mkdtemp(prefix=".new-", dir=folder)
    try:
        # Not makedirs: what was there may be taken away at any moment, and must not begin anew.
        for name in sorted({os.path.dirname(name) for name in files}):
            os.mkdir(os.path.join(new, *name.split("/")), 0o700)
        for name, content in files.items():
            with open(os.path.join(new, *name.split("/")), "wb") as file:
                file.write(content)
        if os.path.isdir(home) and not find(home, digest):
            os.rename(home, os.path.join(new, ".damaged"))
        os.rename(new, home)
    except OSError:
        if not find(home, digest):  # otherwise another one was quicker
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(os.path.join(home, ".damaged"), ignore_errors=True)


def load(home: str) -> Callable[..., int]:
    """The server, with all that it consists of: from here on it needs nothing of `home`.

    Raises:
        ImportError, OSError: Something is not there; nothing of it is loaded.
    """
    sys.path.insert(0, home)
    umask = os.umask(0o077)
    try:
        from tune.host.server import serve
    except (ImportError, OSError):
        sys.path.remove(home)
        sys.path_importer_cache.clear()
        for name in [name for name in sys.modules if name.partition(".")[0] == "tune"]:
            del sys.modules[name]
        raise
    finally:
        os.umask(umask)
    return serve


def load_if_there(home: str, digest: str) -> tuple[dict[str, bytes] | None, Callable[..., int] | None]:
    """The runtime and its server; None for what is not there, or is just being removed."""
    files = find(home, digest)
    try:
        return files, None if files is None else load(home)
    except (ImportError, OSError):
        return None, None


def load_again(home: str, files: dict[str, bytes], digest: str) -> Callable[..., int]:
    for _ in range(_TRIES):
        install(home, files, digest)
        try:
            return load(home)
        except (ImportError, OSError) as error:
            failure = error  # also where it is there again by now: others put it back, too
    raise failure


def main() -> None:
    root = os.path.abspath(os.path.expanduser(sys.argv[1]))
    digest = sys.argv[2]
    home = os.path.join(root, "runtime", digest)
    files, serve = load_if_there(home, digest)
    version = ".".join(map(str, sys.version_info[:3]))
    say(
        {
            "type": "hello",
            "python": version,
            "executable": sys.executable,
            "runtime": serve is not None,
            "protocol": PROTOCOL,
        }
    )
    try:
        if files is None or serve is None:
            files = unpack(take(int(take(20))), digest)
            serve = load_again(home, files, digest)
    except Exception as error:  # noqa: BLE001 (whatever it is, the manager must hear of it)
        say({"type": "failed", "stage": "runtime", "reason": f"{type(error).__name__}: {error}"})
        sys.exit(1)
    sys.exit(serve(root, home, lambda: install(home, files, digest)))


if __name__ == "__main__":
    main()
