"""The attempts of one experiment on this host: what the manager asks for, and what it is told.

Messages go out one batch of each attempt at a time: the next when the manager has asked for it.
The end of an attempt goes out when all that it said and printed has.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping

from tune.host.environment import trial_environment
from tune.host.jobs import Job, Jobs
from tune.host.launch import EXIT_STATUS, Launch, read_exit_status
from tune.host.layout import ExperimentFolder, Key, RefusedError, check_key, check_name, make_folder, private
from tune.host.logs import Log
from tune.host.outbox import Outbox
from tune.host.ownership import HostFolder, Noted
from tune.host.processes import Identity
from tune.host.reader import Problem, Record
from tune.host.runtime import End, Listener, Runtime
from tune.host.syscalls import Inotify
from tune.host.telling import LEASE, UNSTARTED, leave_word, obstacle_of, read_word, say_unstarted, told

__all__ = ["Attempts", "Terms"]

_FOLLOW_S = 0.05  # between two looks at what is followed
_FOLLOW_BLIND_S = 0.5  # the same without inotify


@dataclass(frozen=True)
class Terms:
    """What the manager said when it took charge; see `Runtime` for the last two."""

    platform: str
    lease_s: float
    grace_s: float
    output_limit: int


@dataclass(eq=False)
class _Attempt:
    """One attempt, until its end was told.

    Attributes:
        muted: It is nobody's: it is ended, and nothing is told of it.
        unanswered: Records were sent, and more were not asked for yet.
        over: The runtime is done with it.
    """

    key: Key
    launch: Launch
    at_gate: bool = False
    muted: bool = False
    unanswered: bool = False
    over: bool = False
    watches: list[int] = field(default_factory=list)
    is_watched: bool = False  # by inotify
    is_followed: bool = False  # by a job, now
    has_grown: bool = False
    is_asked_for: bool = False  # by a manager that waits for what has been printed

    def __post_init__(self) -> None:
        self.logs = {name: Log(self.launch.path(name)) for name in ("stdout", "stderr")}


class Attempts(Listener):
    """Runs attempts, and speaks of them through `outbox`.

    Args:
        home: The folder that trials find the `tune` package in.
    """

    def __init__(
        self,
        folder: ExperimentFolder,
        host: HostFolder,
        terms: Terms,
        home: str,
        outbox: Outbox,
        jobs: Jobs,
    ) -> None:
        self._folder = folder
        self._host = host
        self._terms = terms
        self._home = home
        self._outbox = outbox
        self._jobs = jobs
        self._runtime = Runtime(self, grace_s=terms.grace_s, output_limit=terms.output_limit)
        self._attempts: dict[Key, _Attempt] = {}
        self._followed: dict[int, _Attempt] = {}  # by watch
        self._has_manager = True
        self._held = False  # all messages, until there is room
        try:
            self._inotify: Inotify | None = Inotify()
        except OSError:
            self._inotify = None

    def __len__(self) -> int:
        return len(self._attempts)

    # What the manager asks

    def start(self, message: Mapping[str, Any]) -> None:
        """Bring an attempt to its gate: `gate` or `unstarted` is the answer."""
        key = check_key(message["key"])
        if key in self._attempts:
            self._outbox.put("unstarted", key=key, reason="it is here already")
            return
        try:
            launch = self._prepare(key, message)
            self._host.reserve(key)
            identity = self._runtime.spawn(key, launch)
        except (OSError, ValueError) as error:
            self._remove(key)
            self._outbox.put("unstarted", key=key, reason=_explain(error, self._folder.path))
            return
        attempt = self._attempts[key] = _Attempt(key, launch, at_gate=True)
        try:
            self._host.note(key, Noted(identity, launch.mark))
        except OSError as error:
            attempt.muted = True
            self._runtime.kill(key, 0)
            self._outbox.put("unstarted", key=key, reason=_explain(error, self._folder.path))
        else:
            self._outbox.put("gate", key=key, identity={**identity.to_json(), "mark": launch.mark})

    def go(self, key: Key) -> None:
        attempt = self._live(key)
        if attempt is not None:
            attempt.at_gate = False
            self._runtime.go(key)

    def kill(self, key: Key, grace_s: float) -> None:
        attempt = self._live(key)
        if attempt is not None:
            attempt.at_gate = False
            self._runtime.kill(key, grace_s)

    def adopt(self, message: Mapping[str, Any]) -> None:
        """Watch an attempt that an earlier server started, whether it still runs or not."""
        key = check_key(message["key"])
        if key in self._attempts:
            return
        values = message["identity"]
        mark = check_name(values["mark"], "a mark")
        environment = {**os.environ, **message["environment"]}
        launch = self._launch(key, message["command"], "", environment, mark)
        self._watch(_Attempt(key, launch), Identity.from_json(values), int(message["after"]))
        if read_word(launch) is not None:  # what had begun to end it may have been stopped
            self._runtime.kill(key, self._terms.grace_s)

    def keep(self, keys: Iterable[Key]) -> None:
        """End what runs here under another key: it is nobody's."""
        for attempt in self._take_up(keys):
            self._runtime.kill(attempt.key, self._terms.grace_s)

    def more(self, key: Key) -> None:
        attempt = self._live(key)
        if attempt is not None and attempt.unanswered:
            attempt.unanswered = False
            if not self._held:
                self._runtime.resume(key)

    def follow(self, key: Key, offsets: Mapping[str, int]) -> None:
        """Send what the attempt prints as it comes, from these offsets on.

        `following` is sent behind what has been printed already.
        """
        attempt = self._live(key)
        if attempt is None:
            return
        for name, log in attempt.logs.items():
            log.offset = offsets[name]
        attempt.is_asked_for = True
        if not attempt.is_watched and self._inotify is not None:
            try:
                attempt.watches += [self._inotify.add(log.path) for log in attempt.logs.values()]
                attempt.is_watched = True
            except OSError:
                pass  # the job will look
            self._followed.update(dict.fromkeys(attempt.watches, attempt))
        self._send_growth(attempt)

    # Without a manager

    def detach(self) -> None:
        """There is no manager any more: gates are closed, and nothing is told."""
        self._has_manager = False
        self._outbox.clear()
        self._take_up(())
        for attempt in list(self._attempts.values()):
            if attempt.over:
                del self._attempts[attempt.key]
            elif attempt.at_gate:
                say_unstarted(attempt.launch)
                self._runtime.kill(attempt.key, 0)
            else:
                self._runtime.resume(attempt.key)  # its end comes behind its messages

    def expire(self) -> None:
        """The lease is over: end everything, and leave word of why."""
        self._take_up(())
        for attempt in self._attempts.values():
            if not attempt.over:
                if read_exit_status(attempt.launch.path(EXIT_STATUS)) is None:
                    leave_word(attempt.launch, self._terms.lease_s)
                self._runtime.kill(attempt.key, self._terms.grace_s)

    def close(self) -> None:
        """Let go. What runs goes on; what waits at its gate never starts."""
        for attempt in self._attempts.values():
            if attempt.at_gate and not attempt.over:
                say_unstarted(attempt.launch)
        self._runtime.close()
        if self._inotify is not None:
            self._inotify.close()

    # Being driven

    def filenos(self) -> list[int]:
        """Readable when `poll` has something to do."""
        return [self._runtime.fileno(), *([self._inotify.fileno()] if self._inotify is not None else [])]

    def timeout(self) -> float | None:
        return self._runtime.timeout()

    def poll(self) -> None:
        if self._held and self._outbox.has_room:
            self._held = False
            for attempt in self._attempts.values():
                if not attempt.over and not attempt.unanswered:
                    self._runtime.resume(attempt.key)
        self._runtime.poll()
        grown = set() if self._inotify is None else self._inotify.read()
        for watch in list(self._followed) if grown is None else grown:
            if watch in self._followed:
                self._send_growth(self._followed[watch])

    # What the runtime tells

    def records(self, key: Any, records: list[Record]) -> None:
        attempt = self._attempts[key]
        if attempt.muted or not self._has_manager:
            return
        sent = []
        for record in records:
            obstacle = obstacle_of(record.value)
            if obstacle:
                self.problem(key, Problem(record.sequence, obstacle))
            else:
                sent.append(record)
        if sent:
            attempt.unanswered = True
            self._runtime.pause(key)
            self._outbox.put("records", key=key, records=sent)
        if not self._outbox.has_room:
            self._hold()

    def problem(self, key: Any, problem: Problem) -> None:
        if not self._attempts[key].muted and self._has_manager:
            self._outbox.put("problem", key=key, line=problem.line, text=problem.text)

    def ended(self, key: Any, end: End) -> None:
        attempt = self._attempts[key]
        attempt.over = True
        self._host.forget(key)
        for watch in attempt.watches:
            del self._followed[watch]
            if self._inotify is not None:
                self._inotify.remove(watch)
        if attempt.muted or not self._has_manager:
            del self._attempts[key]
        else:
            self._jobs.add(self._tell_end(attempt, end))

    # Starting

    def _prepare(self, key: Key, message: Mapping[str, Any]) -> Launch:
        """Make the attempt's folder, over what may be left of a start whose gate never opened."""
        digest = check_name(message["code"], "code")
        tree = self._folder.tree(digest)
        if not os.path.isdir(tree):
            raise RefusedError(f"the code {digest[:12]} is not here")
        directory = self._folder.attempt(key)
        make_folder(directory)
        for name in ("stdout", "stderr", "messages.jsonl", EXIT_STATUS, LEASE, UNSTARTED):
            try:
                os.unlink(os.path.join(directory, name))
            except FileNotFoundError:
                pass
        make_folder(os.path.join(directory, "output"))
        make_folder(self._folder.checkpoint(key[0]))
        with open(os.path.join(directory, "parameter.json"), "wb", opener=private) as file:
            file.write(json.dumps(message["parameters"]).encode())
        environment = self._environment(key, tree, message)
        return self._launch(key, message["command"], tree, environment, secrets.token_hex(8))

    def _environment(self, key: Key, tree: str, message: Mapping[str, Any]) -> dict[str, str]:
        directory = self._folder.attempt(key)
        environment = {
            **os.environ,
            **_visible(message["gpus"]),
            **message["environment"],
            **trial_environment(
                platform=self._terms.platform,
                experiment_id=self._folder.experiment,
                trial_id=key[0],
                attempt=key[1],
                sequence=int(message["sequence"]),
                channel="file:" + os.path.join(directory, "messages.jsonl"),
                parameter_file=os.path.join(directory, "parameter.json"),
                output_dir=os.path.join(directory, "output"),
                checkpoint_dir=self._folder.checkpoint(key[0]),
                code_dir=tree,
                here=True,
            ),
        }
        paths = filter(None, (environment.get("PYTHONPATH"), self._home))
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        return environment

    def _launch(self, key: Key, command: str, tree: str, environment: Mapping[str, str], mark: str) -> Launch:
        return Launch(
            trial=key[0],
            attempt=key[1],
            command=command,
            code_directory=tree,
            environment=environment,
            directory=self._folder.attempt(key),
            mark=mark,
        )

    def _remove(self, key: Key) -> None:
        """Leave nothing of an attempt that was not started."""
        self._host.forget(key)
        directory = self._folder.attempt(key)
        shutil.rmtree(directory, ignore_errors=True)
        for folder in (self._folder.checkpoint(key[0]), os.path.dirname(directory)):
            try:
                os.rmdir(folder)
            except OSError:
                pass  # of another attempt of this trial

    # Following

    def _watch(self, attempt: _Attempt, identity: Identity, after: int) -> None:
        self._attempts[attempt.key] = attempt
        self._runtime.adopt(attempt.key, attempt.launch, identity, after)

    def _take_up(self, keys: Iterable[Key]) -> list[_Attempt]:
        """Watch, without a word, what may run here beside `keys` and is not watched yet."""
        taken = []
        noted = self._host.attempts()
        for key in noted.keys() - set(keys) - self._attempts.keys():
            launch = self._launch(key, "", "", {}, noted[key].mark)
            attempt = _Attempt(key, launch, muted=True)
            self._watch(attempt, noted[key].identity, -1)
            taken.append(attempt)
        return taken

    def _live(self, key: Key) -> _Attempt | None:
        attempt = self._attempts.get(key)
        return None if attempt is None or attempt.over or attempt.muted else attempt

    def _hold(self) -> None:
        """Leave all messages where they are: the manager takes none."""
        self._held = True
        for attempt in self._attempts.values():
            if not attempt.over and not attempt.muted:
                self._runtime.pause(attempt.key)

    def _send_growth(self, attempt: _Attempt) -> None:
        attempt.has_grown = True
        if not attempt.is_followed:
            attempt.is_followed = True
            self._jobs.add(self._follow(attempt))

    def _follow(self, attempt: _Attempt) -> Job:
        while (attempt.has_grown or not attempt.is_watched) and not attempt.over:
            attempt.has_grown = False
            for name, log in attempt.logs.items():
                while not attempt.over:
                    offset, data = log.piece()
                    if not data:
                        break
                    self._outbox.put("output", data, bulk=True, key=attempt.key, name=name, offset=offset)
                    yield 0.0
            if attempt.is_asked_for and not attempt.over:
                attempt.is_asked_for = False
                self._outbox.put("following", bulk=True, key=attempt.key)
            yield _FOLLOW_S if attempt.is_watched else _FOLLOW_BLIND_S
        attempt.is_followed = False

    def _tell_end(self, attempt: _Attempt, end: End) -> Job:
        for name, log in attempt.logs.items():
            is_other = log.begin_again(self._terms.output_limit)  # than what was sent
            whole = {"whole": True} if log.offset == 0 else {}
            while True:
                offset, data = log.piece()
                if not data and not is_other:
                    break
                self._outbox.put(
                    "output", data, bulk=True, key=attempt.key, name=name, offset=offset, **whole
                )
                is_other, whole = False, {}
                yield 0.0
        del self._attempts[attempt.key]
        self._outbox.put("ended", bulk=True, key=attempt.key, **told(attempt.launch, end))


def _visible(gpus: Iterable[int] | None) -> dict[str, str]:
    """Makes CUDA see these GPUs alone, by the numbers that the driver gives them."""
    if gpus is None:
        return {}
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))}


def _explain(error: Exception, where: str) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename or where}"
    return str(error)
