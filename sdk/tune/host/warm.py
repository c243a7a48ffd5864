"""Warm trials: forked from a process that has imported what their script imports.

The manager's side. `read_command` tells whether a command can be run warm, `WarmParent` is the
process that such trials are forked from (`tune.host.warm_parent` says what it does). A fork is
watched like any other trial: it waits at a gate, writes its exit status, and carries its mark.
"""

from __future__ import annotations

import array
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Mapping

from tune.host import processes
from tune.host.launch import EXIT_STATUS, Launch, Started

__all__ = ["Fork", "NotWarm", "PythonCommand", "WarmParent", "read_command"]

_PYTHON = re.compile(r"python(\d+(\.\d+)?)?")
_FLAGS = ("-u", "-B", "-O", "-OO", "-s", "-E")
_SHELL = re.compile(r"[$`\\;&|<>(){}*?\[\]~#!\n]")  # what the shell would act upon
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_MARK_ROOM = 64  # bytes for a trial's own mark in the environment of the parent
_MAX_PACKET = 1 << 20


class NotWarm(Exception):  # noqa: N818 (an answer, not an error)
    """Why a trial cannot be started warm; for a person."""


@dataclass(frozen=True)
class PythonCommand:
    """`python [flags] script [arguments]`, with the interpreter's path found."""

    python: str
    words: tuple[str, ...]  # as written, the interpreter's name first
    flags: tuple[str, ...]
    script: str
    arguments: tuple[str, ...]


def read_command(command: str, code_directory: str, environment: Mapping[str, str]) -> PythonCommand:
    """Read a shell line that does nothing but run a Python script.

    Raises:
        NotWarm: It is another one.
    """
    if not sys.platform.startswith("linux"):
        raise NotWarm("warm trials need Linux")
    if _SHELL.search(command):
        raise NotWarm("the command uses the shell; `python script.py arguments` can be started warm")
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise NotWarm(f"the command cannot be read: {error}") from error
    if not words or _ASSIGNMENT.match(words[0]) or not _PYTHON.fullmatch(os.path.basename(words[0])):
        raise NotWarm("the command does not begin with python")
    count = 1
    while count < len(words) and words[count] in _FLAGS:
        count += 1
    if count == len(words) or words[count].startswith("-"):
        raise NotWarm("the command does not run a script: only `python script.py arguments` can be warm")
    if environment.get("PYTHONSAFEPATH"):
        raise NotWarm("PYTHONSAFEPATH is set")
    found = words[0] if os.sep in words[0] else shutil.which(words[0], path=environment.get("PATH"))
    if found is None:
        raise NotWarm(f"there is no {words[0]}")
    python = os.path.join(code_directory, found)
    return PythonCommand(python, tuple(words), tuple(words[1:count]), words[count], tuple(words[count + 1 :]))


@dataclass(frozen=True)
class Fork:
    """A trial that now waits at its gate."""

    key: Any
    started: Started


class WarmParent:
    """The process that trials of one script are forked from.

    Args:
        command: What trials run.
        code_directory: Where they run.
        environment: What all their environments have in common.
        open_files: Their soft limit of open files.
        log: A file for what importing prints.
    """

    def __init__(
        self,
        command: PythonCommand,
        code_directory: str,
        environment: Mapping[str, str],
        open_files: int,
        log: str,
    ) -> None:
        self.command = command
        self.ready = False
        self.refusal = ""
        self._boot = processes.boot_id()
        self._files: dict[str, list[int]] = {}
        self._gates: dict[str, tuple[Any, int]] = {}
        self._next = 0
        outer = environment.get(processes.MARK, "")
        self._mark_room = len(outer) + 1 + _MARK_ROOM
        variables = {**environment, processes.MARK: outer.ljust(self._mark_room, ":")}
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "warm_parent.py")
        number = str(theirs.fileno())
        try:
            with open(log, "ab", opener=_private) as output:
                self._process = subprocess.Popen(
                    [command.python, *command.flags, program, number, str(open_files), command.script],
                    executable=command.python,
                    cwd=code_directory,
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()

    def fileno(self) -> int:
        """Readable when `receive` has something to tell."""
        return self._socket.fileno()

    @property
    def is_current(self) -> bool:
        """Whether the script, and the user's modules that it imports, are still what they were."""
        return all(_signature(path) == signature for path, signature in self._files.items())

    def fork(self, key: Any, launch: Launch) -> None:
        """Ask for a fork that waits at its gate; `receive` returns it.

        Raises:
            NotWarm: The parent cannot take the request.
        """
        marks = ":".join(filter(None, (launch.environment.get(processes.MARK), launch.mark)))
        if len(marks) > self._mark_room:
            raise NotWarm("the trial's mark is too long")
        self._next += 1
        number = str(self._next)
        request = {
            "id": number,
            "environment": {**launch.environment, processes.MARK: marks, "PWD": launch.code_directory},
            "script": self.command.script,
            "arguments": self.command.arguments,
            "command": self.command.words,
            "stdout": launch.path("stdout"),
            "stderr": launch.path("stderr"),
            "exit_status": launch.path(EXIT_STATUS),
        }
        read_end, write_end = os.pipe()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [read_end]))]
        try:
            self._socket.sendmsg([json.dumps(request).encode()], rights)
        except OSError as error:
            os.close(write_end)
            raise NotWarm(f"the process to fork from does not answer: {error}") from error
        finally:
            os.close(read_end)
        self._gates[number] = (key, write_end)

    def receive(self) -> list[Fork] | None:
        """The forks that are there now; None when the parent is gone."""
        forks: list[Fork] = []
        while True:
            try:
                data = self._socket.recv(_MAX_PACKET)
            except BlockingIOError:
                return forks
            except OSError:
                data = b""
            if not data:
                return None
            answer = json.loads(data)
            if "refused" in answer:
                self.refusal = answer["refused"]
                self._files = answer["files"]
                self.ready = not self.refusal
            else:
                key, gate = self._gates.pop(answer["id"])
                identity = processes.Identity(answer["pid"], answer["start"], self._boot)
                forks.append(Fork(key, Started(identity, gate)))

    def close(self) -> list[Any]:
        """Let the parent go; what it forked goes on. Returns the keys that it never answered."""
        unanswered = []
        for key, gate in self._gates.values():
            os.close(gate)
            unanswered.append(key)
        self._gates.clear()
        self._socket.close()
        self._process.kill()
        self._process.wait()
        return unanswered


def _signature(path: str) -> list[int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return [stat.st_mtime_ns, stat.st_size]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
