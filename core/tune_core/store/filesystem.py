"""What the experiment's folder lies on."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["network_filesystem"]

_NETWORK = {
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "glusterfs",
    "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "pvfs2", "smb2", "smb3", "smbfs",
}  # fmt: skip


def network_filesystem(path: Path) -> str | None:
    """The type of the network file system that `path` is on, or None for a local one.

    Where the mount table cannot be read (not Linux), the answer is None.
    """
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        device = path.stat().st_dev
    except OSError:
        return None
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in reversed(lines):  # the newest mount on a device hides the older ones
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == wanted:
            kind = source.split()[0]
            return kind if kind in _NETWORK else None
    return None
