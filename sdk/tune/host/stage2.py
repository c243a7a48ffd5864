"""The first Python at the other end: sees to the runtime there, then serves.

`tune.host.boot` sends this file as a text to a Python where nothing of tune can be imported yet.
Arguments: the folder that holds everything there, and the digest of the runtime.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import Any

PROTOCOL = 1


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


def is_whole(home: str, digest: str) -> bool:
    """Looked at each time: clean-up of scratch disks takes files out of folders one by one."""
    try:
        return digest_of(read_modules(home)) == digest
    except OSError:
        return False


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


def install(home: str, archive: bytes, digest: str) -> None:
    """Unpack the runtime beside its place, then put it there in one step."""
    import io  # seldom needed, and a third of the time to start
    import shutil
    import tempfile
    import zipfile

    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    if digest_of(files) != digest:
        raise OSError("the runtime did not come as it was sent")
    folder = os.path.dirname(home)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    new = tempfile.mkdtemp(prefix=".new-", dir=folder)
    try:
        for name, content in files.items():
            path = os.path.join(new, *name.split("/"))
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
        if os.path.isdir(home) and not is_whole(home, digest):
            os.rename(home, os.path.join(new, ".damaged"))
        os.rename(new, home)
    except OSError:
        if not is_whole(home, digest):  # otherwise another one was quicker
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(os.path.join(home, ".damaged"), ignore_errors=True)


def main() -> None:
    root = os.path.abspath(os.path.expanduser(sys.argv[1]))
    digest = sys.argv[2]
    home = os.path.join(root, "runtime", digest)
    whole = is_whole(home, digest)
    version = ".".join(map(str, sys.version_info[:3]))
    say(
        {
            "type": "hello",
            "python": version,
            "executable": sys.executable,
            "runtime": whole,
            "protocol": PROTOCOL,
        }
    )
    umask = os.umask(0o077)
    try:
        if not whole:
            archive = take(int(take(20)))
            os.makedirs(root, mode=0o700, exist_ok=True)
            install(home, archive, digest)
        sys.path.insert(0, home)
        from tune.host.server import serve
    except Exception as error:  # noqa: BLE001 (whatever it is, the manager must hear of it)
        say({"type": "failed", "stage": "runtime", "reason": f"{type(error).__name__}: {error}"})
        sys.exit(1)
    os.umask(umask)  # trials have the user's own
    sys.exit(serve(root, home))


if __name__ == "__main__":
    main()
