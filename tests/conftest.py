"""What tests across packages share: the command `tune` as a user has it, in a home of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from example_runs import few_images, quick
from ssh_campaign import campaign
from ssh_hosts import laboratory

__all__ = ["campaign", "environment", "few_images", "laboratory", "quick", "tune"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with an empty home, who has activated this Python's environment.

    MNIST is what lies beside the checkout. Where it does not, it is the digits of scikit-learn: no test
    waits for a network.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TUNE_")}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    mnist = Path(os.environ.get("TUNE_SHARED", "/nowhere"), "data", "mnist")
    data = {"MNIST_DIR": str(mnist)} if mnist.is_dir() else {"https_proxy": "http://127.0.0.1:9"}
    return {**kept, **data, "TUNE_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def tune(environment: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`tune("run", "config.yml", cwd=folder)`: run the command and wait; what it printed, and its status.

    With `program="nnictl"` it is that command.
    """

    def run(
        *arguments: str, cwd: Path = tmp_path, status: int | None = 0, program: str = "tune"
    ) -> subprocess.CompletedProcess[str]:
        script = str(Path(sys.executable).with_name(program))
        command = [sys.executable, "-m", "tune_core"] if program == "tune" else [script]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [*command, *arguments],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
        ) as process:
            try:
                out, err = process.communicate(timeout=240)
            except subprocess.TimeoutExpired:
                process.terminate()  # which ends its trials, too
                out, err = process.communicate(timeout=30)
                pytest.fail(f"it takes more than 240 s: {shlex.join(arguments)}\n{out}\n{err}")
        done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
        if status is not None:
            assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        return done

    return run
