"""The host server: runs the trials of one experiment on this machine, for a manager elsewhere.

It speaks the host protocol (docs/architecture.md) through its standard streams: one loop, no
threads. `tune.host.boot` starts it. When its manager is gone it keeps the trials for as long as
their lease says; another server that is started for the same experiment takes them over.
"""

from __future__ import annotations

import os
import pwd
import selectors
import signal
import socket
import time
import traceback
from typing import Any, Callable, Mapping

from tune.host import processes, storage
from tune.host.attempts import Attempts, Terms
from tune.host.code_tree import CodeStore
from tune.host.gpus import GpuQuery
from tune.host.jobs import Jobs
from tune.host.layout import ExperimentFolder, RefusedError, check_key, check_name
from tune.host.outbox import Outbox
from tune.host.ownership import HostFolder, Ownership
from tune.host.removing import remove
from tune.host.tidying import forget_old_runtimes, tidy
from tune.host.wire import FrameReader, WireError

__all__ = ["Server", "serve"]

_PING_S = 2.0  # of saying nothing
_DEAF_S = 10.0  # of hearing nothing, after which the manager counts as gone
_IDLE_S = 120.0  # the same on a connection without an experiment
_STEP_S = 0.005  # of jobs, before everything else has its turn
_LAST_WORD_S = 2.0
_USED_S = 86400.0  # between two notes that the runtime is used
_READ = 1 << 18
_LOG_BYTES = 1 << 20


class Server:
    """One server: from its first frame until nobody needs it.

    Args:
        root: The folder for everything, see `tune.host.layout`.
        home: The folder in it that this server was loaded from.
        restore: Puts this folder back when it has been removed.
    """

    def __init__(self, root: str, home: str, restore: Callable[[], None]) -> None:
        self._root = root
        self._home = home
        self._restore = restore
        self._boot = processes.boot_id()
        self._frames = FrameReader()
        self._outbox = Outbox(1)
        self._jobs = Jobs()
        self._attempts: Attempts | None = None
        self._ownership: Ownership | None = None
        self._code: CodeStore | None = None
        self._query: GpuQuery | None = None
        self._asks_again = False  # while it is being answered
        self._lease_s = _IDLE_S
        self._is_connected = True
        self._is_managed = True  # as it was written down
        self._is_over = False
        self._heard = _clock()
        self._said = time.monotonic()
        self._used = time.monotonic()  # that the runtime is used was noted then
        self._selector = selectors.DefaultSelector()
        self._handlers: Mapping[str, Callable[[dict[str, Any], bytes], None]] = {
            "open": self._open,
            "code": self._take_manifest,
            "file": self._take_file,
            "start": lambda message, _: self._opened().start(message),
            "go": lambda message, _: self._opened().go(check_key(message["key"])),
            "kill": self._kill,
            "adopt": lambda message, _: self._opened().adopt(message),
            "keep": lambda message, _: self._opened().keep([check_key(key) for key in message["keys"]]),
            "more": lambda message, _: self._opened().more(check_key(message["key"])),
            "follow": lambda message, _: self._opened().follow(check_key(message["key"]), message),
            "gpus": self._ask_gpus,
            "leave": lambda *_: self._detach(),
            "fetch": self._fetch,
            "list": self._list,
            "remove": self._remove,
            "ping": lambda *_: None,
        }

    def run(self) -> int:
        """Serve; returns the exit status."""
        self._listen()
        try:
            while not self._is_over and (self._is_connected or self._attempts):
                self._turn()
            return 0
        except (RefusedError, WireError) as error:
            self._say_last(str(error))
        except Exception as error:  # noqa: BLE001 (a bug, which the manager must hear of)
            traceback.print_exc()
            self._say_last(f"the host server failed: {type(error).__name__}: {error}")
        finally:
            if self._attempts is not None:
                self._attempts.close()
            elif self._is_connected:
                self._tidy()
        return 1

    # The loop

    def _listen(self) -> None:
        os.set_blocking(1, False)
        self._selector.register(0, selectors.EVENT_READ, self._receive)
        wake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        self._selector.register(wake, selectors.EVENT_READ, lambda: os.read(wake, 64))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._let_go())
        for number in (signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)

    def _let_go(self) -> None:
        """Another server takes over."""
        self._is_over = True

    def _turn(self) -> None:
        for ready, _ in self._selector.select(self._timeout()):
            ready.data()
        if self._attempts is not None:
            self._attempts.poll()
            self._look_at_lease()
            if time.monotonic() - self._used > _USED_S:
                self._note_use()
        if self._is_connected:
            self._work()
            self._look_at_silence()
            self._write()

    def _timeout(self) -> float | None:
        due: list[float | None] = []
        if self._is_connected:
            due.append(max(0.0, self._said + _PING_S - time.monotonic()) if self._is_silent else _PING_S)
            due.append(self._jobs.timeout() if self._outbox.has_room else None)
            due.append(self._query.timeout() if self._query is not None else None)
        if self._attempts is not None:
            due.append(self._attempts.timeout())
            if self._lease_s != float("inf"):
                due.append(max(0.0, self._heard + self._lease_s - _clock()))
        return min((each for each in due if each is not None), default=None)

    @property
    def _is_silent(self) -> bool:
        """Nothing waits to be said; otherwise a ping would tell nobody anything."""
        return not len(self._outbox)

    def _work(self) -> None:
        if self._query is not None and self._query.timeout() == 0:
            self._hear_gpus()
        until = time.monotonic() + _STEP_S
        while self._outbox.has_room and self._jobs.timeout() == 0 and time.monotonic() < until:
            self._jobs.step()

    # The pipe

    def _receive(self) -> None:
        try:
            data = os.read(0, _READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._detach()
            return
        self._heard = _clock()
        for message, body in self._frames.feed(data):
            self._handle(message, body)
            if not self._is_connected:
                return

    def _handle(self, message: dict[str, Any], body: bytes) -> None:
        handler = self._handlers.get(message["type"])
        if handler is None:
            raise RefusedError(f"a host server knows no message {message['type']!r}")
        try:
            handler(message, body)
        except (KeyError, TypeError) as error:
            raise RefusedError(f"a message {message['type']!r} lacks or mistakes a field: {error}") from error

    def _write(self) -> None:
        before = len(self._outbox)
        try:
            self._outbox.write()
        except OSError:
            self._detach()
            return
        if len(self._outbox) < before:
            self._said = time.monotonic()
        is_waiting = 1 in self._selector.get_map()
        if len(self._outbox) and not is_waiting:
            self._selector.register(1, selectors.EVENT_WRITE, lambda: None)
        elif not len(self._outbox) and is_waiting:
            self._selector.unregister(1)

    def _look_at_silence(self) -> None:
        if self._is_silent and time.monotonic() - self._said >= _PING_S:
            self._outbox.put("ping")
        silence_s = _clock() - self._heard
        if self._ownership is not None and self._is_managed != (silence_s < _DEAF_S):
            self._is_managed = not self._is_managed
            self._ownership.tell(managed=self._is_managed)
        if self._attempts is None and silence_s > self._lease_s:
            self._detach()

    def _look_at_lease(self) -> None:
        assert self._attempts is not None
        if self._lease_s != float("inf") and _clock() - self._heard >= self._lease_s:
            self._lease_s = float("inf")
            self._detach()
            self._attempts.expire()

    def _note_use(self) -> None:
        self._used = time.monotonic()
        try:
            os.utime(self._home)
        except OSError:
            pass  # it has been removed

    def _detach(self) -> None:
        """The manager is gone. What runs goes on, what waits at its gate never starts."""
        if not self._is_connected:
            return
        self._is_connected = False
        self._selector.unregister(0)
        if 1 in self._selector.get_map():
            self._selector.unregister(1)
        self._jobs.clear()
        self._outbox.clear()
        if self._query is not None:
            self._end_query()
        if self._code is not None:
            self._code.close()
        if self._attempts is None:
            self._tidy()  # before the pipe is let go: who visits waits for that
        _leave_streams()
        if self._attempts is not None and self._ownership is not None:
            self._attempts.detach()
            self._ownership.tell(managed=False)

    def _tidy(self) -> None:
        """Leave nothing of a visit behind on a host where nothing else is."""
        self._jobs.clear()
        for rest_s in tidy(self._root):
            time.sleep(rest_s)

    def _say_last(self, reason: str) -> None:
        """Say why this is the end, if the other end still takes it."""
        if not self._is_connected:
            return
        self._outbox.put("error", bulk=True, reason=reason)
        deadline = time.monotonic() + _LAST_WORD_S
        try:
            while len(self._outbox) and time.monotonic() < deadline:
                self._outbox.write()
                time.sleep(0.01)
        except OSError:
            pass

    # What the manager asks

    def _open(self, message: dict[str, Any], _: bytes) -> None:
        if self._attempts is not None:
            raise RefusedError("an experiment is open on this connection already")
        folder = ExperimentFolder(self._root, check_name(message["experiment"], "an experiment"))
        label = check_name(message["host"], "a host")
        host = HostFolder(folder.host(label))
        terms = Terms(
            str(message["platform"]),
            float(message["lease_s"]),
            float(message["grace_s"]),
            int(message["output_limit"]),
        )
        try:
            host.make()
            self._ownership = Ownership(host, self._boot)
            for rest_s in self._ownership.claim():
                time.sleep(rest_s)
            self._use_home()
        except OSError as error:
            raise RefusedError(f"{folder.path} cannot be used: {error.strerror}") from error
        _log_to(os.path.join(host.path, "server.log"))
        self._attempts = Attempts(folder, host, terms, self._home, self._outbox, self._jobs)
        self._code = CodeStore(folder, label, self._outbox.put, self._jobs.add)
        self._lease_s = terms.lease_s
        for fileno in self._attempts.filenos():
            self._selector.register(fileno, selectors.EVENT_READ, lambda: None)  # it is polled anyway
        self._outbox.put("opened", directory=folder.path, boot=self._boot, **_about_host())

    def _use_home(self) -> None:
        """Say that the runtime is used, and put it back if it was removed.

        Nobody removes it any more: the experiment has a folder. See `tune.host.tidying`.
        """
        self._note_use()
        if not os.path.isdir(os.path.join(self._home, "tune")):
            self._restore()
        self._jobs.add(forget_old_runtimes(self._home))

    def _opened(self) -> Attempts:
        if self._attempts is None:
            raise RefusedError("no experiment is open on this connection")
        return self._attempts

    def _take_manifest(self, message: dict[str, Any], body: bytes) -> None:
        self._opened()
        assert self._code is not None
        self._code.take_manifest(message["digest"], body, is_last=bool(message["last"]))

    def _take_file(self, message: dict[str, Any], body: bytes) -> None:
        self._opened()
        assert self._code is not None
        self._code.take_file(message["digest"], message["index"], body, is_last=bool(message["last"]))

    def _kill(self, message: dict[str, Any], _: bytes) -> None:
        self._opened().kill(check_key(message["key"]), float(message["grace_s"]))

    def _ask_gpus(self, *_: Any) -> None:
        self._asks_again = self._query is not None  # for what has changed since it was asked
        if self._query is None:
            try:
                self._query = GpuQuery()
            except OSError as error:
                self._outbox.put("gpus", reason=f"nvidia-smi cannot be started: {error.strerror}")
            else:
                self._selector.register(self._query.fileno(), selectors.EVENT_READ, self._hear_gpus)

    def _hear_gpus(self) -> None:
        answer = None if self._query is None else self._query.read()
        if answer is not None:
            self._end_query()
            self._outbox.put("gpus", **answer)
            if self._asks_again:
                self._ask_gpus()

    def _end_query(self) -> None:
        assert self._query is not None
        self._selector.unregister(self._query.fileno())
        self._query.close()
        self._query = None

    def _fetch(self, message: dict[str, Any], _: bytes) -> None:
        send = self._sender(message)
        self._jobs.add(storage.fetch(self._root, message["experiment"], message["paths"], send))

    def _list(self, message: dict[str, Any], _: bytes) -> None:
        self._jobs.add(storage.list_experiments(self._root, self._sender(message)))

    def _remove(self, message: dict[str, Any], _: bytes) -> None:
        send = self._sender(message)
        force = bool(message["force"])
        self._jobs.add(remove(self._root, message["experiments"], force, send))

    def _sender(self, message: dict[str, Any]) -> Callable[..., None]:
        """Answers `message`, in order."""
        number = message["id"]

        def send(kind: str, body: bytes = b"", /, **fields: Any) -> None:
            self._outbox.put(kind, body, bulk=True, id=number, **fields)

        return send


def serve(root: str, home: str, restore: Callable[[], None]) -> int:
    """Serve a manager through standard input and output; returns the exit status. See `Server`."""
    try:
        os.setsid()  # signals to the group of the login shell are not for the keeper of trials
    except OSError:
        pass  # it leads a session already
    return Server(root, home, restore).run()


def _clock() -> float:
    """Seconds that pass while the machine sleeps as well: a lease is not prolonged by that."""
    try:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    except (AttributeError, OSError):  # macOS
        return time.monotonic()


def _about_host() -> dict[str, Any]:
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "time": time.time(),
        "pid": os.getpid(),
        "hostname": socket.gethostname(),
        "user": user,
        "cpus": len(affinity(0)) if affinity is not None else os.cpu_count(),
    }


def _log_to(path: str) -> None:
    """Standard error goes to a file from here on: it must not fill a pipe that nobody reads."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        if os.path.exists(path) and os.path.getsize(path) > _LOG_BYTES:
            os.truncate(path, 0)
        descriptor = os.open(path, flags, 0o600)
    except OSError:  # a full disk
        descriptor = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _leave_streams() -> None:
    """Let go of the pipe, so that what carries it can end."""
    descriptor = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(descriptor, 0)
    os.dup2(descriptor, 1)
    os.close(descriptor)
