"""The first process of a test host: makes its files, then reaps orphans until its starter lets go.

Run by `ssh_hosts.py` inside fresh namespaces, with a JSON object as its argument. It ends, and by that
ends every process of its host, when its standard input does: however the tests ended, nothing is left.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import sys
from pathlib import Path

BIND, MOVE = 4096, 8192
libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind="none", flags=0, options=""):
    done = libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode())
    if done != 0:
        raise OSError(ctypes.get_errno(), "mount", target)


def make_files(spec):
    """This host's own /tmp, /run, /home and accounts; of the laboratory's folder only what is shared."""
    # Held open, since what lies in /tmp is soon out of sight.
    folders = {target: os.open(source, os.O_PATH) for target, source in spec["folders"].items()}
    mount(spec["shared"], "/mnt", flags=BIND)
    mount("tmpfs", "/run", "tmpfs", options="mode=755")
    Path("/run/sshd").mkdir()
    Path("/run/host").mkdir()
    mount(spec["etc"], "/run/host", flags=BIND)
    mount("tmpfs", "/home", "tmpfs", options="mode=755")
    Path(spec["home"]).mkdir()
    mount(spec["home_here"], spec["home"], flags=BIND)
    mount("tmpfs", spec["laboratory"], "tmpfs", options="mode=755")
    Path(spec["shared"]).mkdir()
    mount("/mnt", spec["shared"], flags=MOVE)
    for folder in ("/tmp", "/dev/shm"):
        mount("tmpfs", folder, "tmpfs", options="mode=1777")
    if any(target.startswith("/opt/") for target in folders):  # or places would stay on this machine
        mount("tmpfs", "/opt", "tmpfs", options="mode=755")
    for target, source in spec["files"].items():
        mount("/run/host/" + source, target, flags=BIND)
    for target, descriptor in folders.items():
        Path(target).mkdir(parents=True, exist_ok=True)
        mount(f"/proc/self/fd/{descriptor}", target, flags=BIND)
        os.close(descriptor)
    for target, options in spec["tmpfs"].items():
        Path(target).mkdir(parents=True, exist_ok=True)
        mount("tmpfs", target, "tmpfs", options=options)
    socket.sethostname(spec["name"])


def reap_until_let_go():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([0, reader], [], [])
        if 0 in ready and not os.read(0, 4096):
            return
        if reader in ready:
            os.read(reader, 4096)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


def main():
    spec = json.loads(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if "laboratory" in spec:
        make_files(spec)
    print("up", flush=True)
    try:
        reap_until_let_go()
    finally:
        if "remove" in spec:
            shutil.rmtree(spec["remove"], ignore_errors=True)


main()
