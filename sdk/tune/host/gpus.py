"""What GPUs a host has and who computes on them: NVIDIA's own program is asked.

It may take seconds, and with a broken driver for ever: it is a child that is listened to in passing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Any

__all__ = ["GpuQuery"]

_TIMEOUT_S = 20.0
_BETWEEN = "--"

_SCRIPT = f"""
nvidia-smi --query-gpu=index,uuid --format=csv,noheader || exit
echo {_BETWEEN}
nvidia-smi --query-compute-apps=gpu_uuid,pid --format=csv,noheader
"""


class GpuQuery:
    """One question; `answer` is there once `fileno` has been readable often enough."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + _TIMEOUT_S
        self._output = b""
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._pipe = self._process.stdout

    def fileno(self) -> int:
        return self._pipe.fileno()

    def timeout(self) -> float:
        """Seconds until `answer` is due though nothing was said."""
        return max(0.0, self._deadline - time.monotonic())

    def read(self) -> dict[str, Any] | None:
        """To be called when there is something to read, and at the timeout.

        Returns:
            `gpus` or `reason`, and `visible`: what this host restricts CUDA to. None while there is
            no answer yet.
        """
        if self.timeout() == 0:
            return {"reason": f"no GPU can be seen: nvidia-smi does not answer within {_TIMEOUT_S:.0f} s"}
        piece = os.read(self.fileno(), 1 << 16)
        if piece:
            self._output += piece
            return None
        self._process.wait()  # it has closed its output, so it is ending
        return _answer(self._output.decode("utf-8", "replace"), self._process.returncode)

    def close(self) -> None:
        """Be done with the child, whatever it does."""
        self._pipe.close()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)


def _answer(output: str, status: int | None) -> dict[str, Any]:
    devices, _, computing = output.partition(_BETWEEN + "\n")
    if status != 0:
        meaning = "there is no nvidia-smi" if status == 127 else f"nvidia-smi says {output.strip()[-300:]!r}"
        return {"reason": f"no GPU can be seen: {meaning}"}
    users: dict[str, list[int]] = {}
    for uuid, pid in _rows(computing):
        if pid.isdigit():
            users.setdefault(uuid, []).append(int(pid))
    gpus = [
        {"index": int(index), "uuid": uuid, "pids": users.get(uuid, [])}
        for index, uuid in _rows(devices)
        if index.isdigit()
    ]
    return {"gpus": gpus, "visible": os.environ.get("CUDA_VISIBLE_DEVICES")}


def _rows(text: str) -> list[tuple[str, str]]:
    """Lines of two fields; what else is there are remarks."""
    rows = [[field.strip() for field in line.split(",")] for line in text.splitlines()]
    return [(row[0], row[1]) for row in rows if len(row) == 2]
