"""Start the processes of a TensorFlow cluster on this machine, and end them all together.

    python launch.py --ps 1 --workers 2 python train.py

Each process finds its place in TF_CONFIG, as in a cluster of Kubeflow's tf-operator. All are ended when the
chief is done, when any of them fails, and when this process is told to end.
"""

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time

GRACE_S = 5.0  # from SIGTERM to SIGKILL; tune gives a trial ten seconds for all of it
TOLD_TO_END = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
EVENTS = {signal.SIGCHLD, *TOLD_TO_END}


def reserve_port():
    """A free TCP port, and the socket that keeps other launchers from it as long as it is open.

    TensorFlow takes its port seconds after it was started. Until then the UDP port of the same number says
    that it is spoken for. Outgoing connections have their ports above this range, on Linux and on macOS.
    """
    while True:
        port = random.randrange(10_000, 32_000)  # noqa: S311 (nothing secret)
        reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            reservation.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("", port))  # all addresses, as TensorFlow does
            return port, reservation
        except OSError:
            reservation.close()


def unblock():
    """What is blocked here would be blocked in a process that is started, too."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, EVENTS)


def start(task, index, cluster, command):
    config = {"cluster": cluster, "task": {"type": task, "index": index}, "environment": "local"}
    return subprocess.Popen(
        command,
        env={**os.environ, "TF_CONFIG": json.dumps(config)},
        preexec_fn=unblock,  # noqa: PLW1509 (this process has one thread)
    )


def watch(processes):
    """Wait until the chief is done, a process failed, or a signal came; returns what went wrong, or None."""
    while True:
        number = signal.sigwait(EVENTS)
        if number in TOLD_TO_END:
            return f"told to end by {signal.Signals(number).name}"
        for name, process in processes.items():
            status = process.poll()
            if status:
                end = f"exit status {status}" if status > 0 else signal.Signals(-status).name
                return f"{name} failed with {end}, so the others were ended"
        if processes["chief 0"].returncode == 0:
            return None


def end_all(processes):
    """End what is left. Servers never end by themselves."""
    deadline = time.monotonic() + GRACE_S
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main():
    parser = argparse.ArgumentParser(description="Run a command as the processes of a TensorFlow cluster.")
    parser.add_argument("--ps", type=int, default=1, help="parameter servers")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    if not args.command:
        parser.error("what is to be run?  python launch.py --ps 1 --workers 2 python train.py")
    if min(args.ps, args.workers) < 1:  # the chief would wait for them for ever
        parser.error("it takes a parameter server and a worker at least")

    sizes = {"chief": 1, "ps": args.ps, "worker": args.workers}
    ports = {task: [reserve_port() for _ in range(size)] for task, size in sizes.items()}
    cluster = {task: [f"127.0.0.1:{port}" for port, _ in taken] for task, taken in ports.items()}

    # Signals are waited for, not handled: none can come between a process's start and its being noted.
    signal.signal(signal.SIGCHLD, lambda *_: None)  # one that is ignored might not be waited for
    signal.pthread_sigmask(signal.SIG_BLOCK, EVENTS)
    processes = {}
    try:
        for task, size in sizes.items():
            for index in range(size):
                processes[f"{task} {index}"] = start(task, index, cluster, args.command)
        problem = watch(processes)
    finally:
        end_all(processes.values())
    return problem and f"launch: {problem}"  # at the end of standard error, which is what tune shows


if __name__ == "__main__":
    sys.exit(main())
