"""A manager without a terminal: what `tune create` starts, `python -m tune_core.experiment.background`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tune_core.errors import TuneError
from tune_core.experiment.engine import Engine
from tune_core.store.directory import ExperimentDirectory, find_experiment
from tune_core.store.lock import ManagerLock

__all__ = ["launch", "stop_on_signals"]

_START_S = 60.0


def launch(directory: ExperimentDirectory, *options: str) -> int:
    """Start a manager for `directory` that outlives this process; returns its pid.

    Returns when it holds the experiment.

    Args:
        options: `--stop` to end the trials that an earlier manager left running, and nothing more.

    Raises:
        TuneError: It ended before that; with its last words.
    """
    log = directory.manager_output
    descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stderr:
        process = subprocess.Popen(
            # -P: what lies in the present folder must not be imported in place of a library.
            [sys.executable, "-P", "-m", "tune_core.experiment.background", str(directory.path), *options],
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            start_new_session=True,
        )
    # Reaped when it ends, in case this process lives so long.
    threading.Thread(target=process.wait, name="tune-manager-reaper", daemon=True).start()
    try:
        return _wait(directory, process, log)
    except KeyboardInterrupt:
        process.terminate()  # or it would go on although its start was called off
        raise


def _wait(directory: ExperimentDirectory, process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        holder = ManagerLock.holder(directory.lock)
        if holder and holder["pid"] == process.pid:
            return process.pid
        if process.poll() is not None:
            words = log.read_text(encoding="utf-8", errors="replace").strip()
            if process.returncode == 0:
                return process.pid  # it was quick
            ended = TuneError(words.removeprefix("tune: ") or f"the manager ended with {process.returncode}")
            ended.exit_code = process.returncode if process.returncode > 0 else 1
            raise ended
        time.sleep(0.02)
    raise TuneError(
        f"the manager of experiment {directory.id} (process {process.pid}) is not ready after"
        f" {_START_S:.0f} s\n  it may still come. See {log}"
    )


def stop_on_signals(engine: Engine) -> None:
    """SIGTERM and SIGINT stop the experiment cleanly."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, engine.stop, f"stopped by {signal.Signals(number).name}")


def _stop_at_once(engine: Engine) -> None:
    stop_on_signals(engine)
    engine.stop()


def main() -> int:
    from tune_core.experiment.assemble import reopen
    from tune_core.experiment.manager import log_to_folder, manage

    directory = find_experiment(sys.argv[1])
    only_stop = "--stop" in sys.argv[2:]
    begin = _stop_at_once if only_stop else stop_on_signals
    try:
        log_to_folder(directory)
        status = asyncio.run(manage(directory, reopen(directory, runs_trials=not only_stop), begin))
    except TuneError as err:
        print(f"tune: {err}", file=sys.stderr)
        return err.exit_code
    return 1 if status == "ERROR" else 0


if __name__ == "__main__":
    sys.exit(main())
