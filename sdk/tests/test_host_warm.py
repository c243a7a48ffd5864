"""A warm start is a cold start, only sooner: the same script both ways, compared."""

from __future__ import annotations

import os
import re
import sys
import textwrap
import time
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple

import pytest

from tune.host import End, Launch, Listener, Runtime
from tune.host.warm import NotWarm, WarmParent, read_command

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="warm trials need Linux")


class Outcome(NamedTuple):
    end: End
    stdout: str
    stderr: str


class WarmHost(Listener):
    """Runs one script, cold or warm."""

    def __init__(self, directory: Path, script: str, arguments: str = "", **environment: str) -> None:
        self.directory = directory
        self.code = directory / "code"
        self.code.mkdir()
        (self.code / "train.py").write_text(textwrap.dedent(script))
        self.command = f"{sys.executable} train.py {arguments}".strip()
        self.environment = {**os.environ, **environment}
        self.ends: dict[Any, End] = {}
        self.runtime = Runtime(self, grace_s=0.5)
        self.parent: WarmParent | None = None

    def ended(self, key: Any, end: End) -> None:
        self.ends[key] = end

    def until(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 90
        while not condition():
            assert time.monotonic() < deadline, (self.directory / "warm.log").read_text()
            self.runtime.poll(0.01)

    def launch(self, key: str) -> Launch:
        directory = self.directory / key
        directory.mkdir()
        variables = {**self.environment, "TUNE_TRIAL_ID": "trial"}
        mark = f"mark-{os.getpid()}-{id(self)}-{key}"
        return Launch(key, 0, self.command, str(self.code), variables, str(directory), mark)

    def warm_parent(self) -> WarmParent:
        if self.parent is None:
            command = read_command(self.command, str(self.code), self.environment)
            files = self.runtime.open_files
            log = str(self.directory / "warm.log")
            self.parent = WarmParent(command, str(self.code), self.environment, files, log)
            parent = self.parent
            self.until(lambda: (parent.receive(), parent.ready or parent.refusal)[1])
        return self.parent

    def start_cold(self, key: str) -> None:
        self.runtime.spawn(key, self.launch(key))
        self.runtime.go(key)

    def start_warm(self, key: str) -> None:
        parent, launch = self.warm_parent(), self.launch(key)
        self.runtime.create_files(launch)
        parent.fork(key, launch)
        forks: list[Any] = []
        self.until(lambda: forks.extend(parent.receive() or ()) or forks)
        self.runtime.take(key, launch, forks[0].started)
        self.runtime.go(key)

    def outcome(self, key: str) -> Outcome:
        self.until(lambda: key in self.ends)
        folder = self.directory / key
        return Outcome(self.ends[key], (folder / "stdout").read_text(), (folder / "stderr").read_text())

    def both(self) -> tuple[Outcome, Outcome]:
        self.start_cold("cold")
        self.start_warm("warm")
        return self.outcome("cold"), self.outcome("warm")

    def close(self) -> None:
        if self.parent is not None:
            self.parent.close()
        self.runtime.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[..., WarmHost]]:
    hosts: list[WarmHost] = []

    def make(script: str, arguments: str = "", **environment: str) -> WarmHost:
        hosts.append(WarmHost(tmp_path, script, arguments, **environment))
        return hosts[-1]

    yield make
    for each in hosts:
        each.close()


SCRIPTS = {
    "arguments": "import sys; print(sys.argv, getattr(sys, 'orig_argv', None), sys.executable)",
    "folder and path": "import os, sys; print(os.getcwd(), sys.path, sys.flags)",
    "names": """
        import sys
        main = sys.modules["__main__"]
        print(__name__, __file__, __package__, __spec__, __doc__, main.__dict__ is globals())
        print(sorted(globals()), type(__loader__).__name__, __loader__.name, __builtins__)
        """,
    "docstring": '"""What it does."""\nfrom __future__ import annotations\nprint(__doc__, annotations)\n',
    "environment": """
        import os
        hidden = {"_", "SHLVL", "OLDPWD", "PS1", "TUNE_MARK"}  # the first ones are the shell's own
        print(sorted((k, v) for k, v in os.environ.items() if k not in hidden))
        """,
    "streams": """
        import sys
        print(sys.stdin.read() == "", sys.stdout.isatty(), sys.stdout.line_buffering, sys.stdout.encoding)
        print(sys.stdout.name, sys.stderr.errors, sys.stdin.fileno())
        """,
    "signals": """
        import signal
        signals = sorted(s for s in signal.valid_signals() if s < 32 and s != signal.SIGINT)
        print([(int(s), str(signal.getsignal(s))) for s in signals])
        print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.pthread_sigmask(0, []))
        """,
    "session": """
        import os
        print(os.getsid(0) == os.getppid() == os.getpgrp(), os.getpid() != os.getsid(0))
        """,
    "limits and descriptors": """
        import os, resource
        print(resource.getrlimit(resource.RLIMIT_NOFILE), sorted(os.listdir("/proc/self/fd")), os.umask(0o22))
        """,
    "exit code": "import sys; sys.exit(7)",
    "exit message": "import sys; sys.exit('no such column')",
    "exit without": "raise SystemExit",
    "os exit": "import os; print('lost'); os._exit(9)",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "interrupted": "raise KeyboardInterrupt",
    "traceback": """
        def inner(x):
            return 1 / x
        def outer():
            try:
                inner(0)
            except ZeroDivisionError as error:
                raise ValueError("no good") from error
        outer()
        """,
    "missing module": "import no_such_module_at_all",
    "exit handlers and threads": """
        import atexit, threading
        atexit.register(print, "at exit")
        print(threading.current_thread() is threading.main_thread(), threading.current_thread().name)
        threading.Thread(target=lambda: (threading.main_thread().join(), print("thread"))).start()
        """,
    "own exception hook": """
        import sys
        sys.excepthook = lambda *details: print("hooked", details[0].__name__, details[2].tb_lineno)
        1 / 0
        """,
    "own module": "import helper; print(helper.argv, helper.__file__)",
    "destructors": """
        class Printer:
            def __del__(self, show=print):
                show("deleted")
        printer = Printer()
        cycle = [Printer()]
        cycle.append(cycle)
        """,
    "C library's buffer": "import ctypes; ctypes.CDLL(None).printf(b'from C')",
    "exit handler that fails": "import atexit; atexit.register(lambda: 1 / 0); print('done')",
    "exit codes wrap": "import sys; sys.exit(-3)",
    "closed output": "import sys; print('x'); sys.stdout.close()",
    "executor": """
        from concurrent.futures import ThreadPoolExecutor
        import time
        pool = ThreadPoolExecutor(2)
        pool.submit(lambda: (time.sleep(0.1), print("worked")))
        """,
    "exit in a thread": """
        import sys, threading
        thread = threading.Thread(target=lambda: sys.exit(4))
        thread.start()
        thread.join()
        """,
    "pickle": """
        import pickle
        class Thing:
            pass
        print(type(pickle.loads(pickle.dumps(Thing()))) is Thing, Thing.__module__)
        """,
    "multiprocessing": """
        import multiprocessing
        def work(x):
            return x * x, __name__
        if __name__ == "__main__":
            for method in ("fork", "spawn"):
                with multiprocessing.get_context(method).Pool(2) as pool:
                    print(method, pool.map(work, range(3)))
        """,
    "warning": "import warnings; warnings.warn('careful')",
    "unflushed output": "import sys; sys.stdout.write('no newline'); sys.stderr.write('neither')",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_warm_trial_cannot_be_told_from_a_cold_one(host: Callable[..., WarmHost], name: str) -> None:
    both = host(SCRIPTS[name], "--lr 0.1 'two words'", GREETING="hello")
    (both.code / "helper.py").write_text("import sys\nargv = list(sys.argv)\n")
    cold, warm = both.both()
    assert (warm.end, warm.stdout) == (cold.end, cold.stdout)
    assert told(warm.stderr) == told(cold.stderr)


def told(stderr: str) -> str:
    """Without addresses, and without the remark of the shell that a cold trial is started by."""
    return re.sub("0x[0-9a-f]+", "0x", stderr).replace("Segmentation fault", "").strip()


def test_files_left_open_are_written(host: Callable[..., WarmHost]) -> None:
    both = host(
        "import logging\nlogging.kept = open('kept', 'w')\nheld = open('held', 'w')\n"
        "logging.kept.write('1')\nheld.write('2')\n"
    )
    both.start_warm("a")
    assert both.outcome("a").end == End(0)
    assert [(both.code / name).read_text() for name in ("kept", "held")] == ["1", "2"]


def test_modules_are_imported_once_in_the_parent(host: Callable[..., WarmHost]) -> None:
    both = host(
        """
        import sys
        early = sorted({"decimal", "sqlite3", "fractions", "colorsys", "own"} & set(sys.modules))
        import decimal
        try:
            import sqlite3
        except ImportError:
            pass
        from own import Fraction
        if sys.argv == []:
            import colorsys
        print(early)
        """
    )
    (both.code / "own.py").write_text("from fractions import Fraction\nimport no_such_module_at_all\n")
    both.start_warm("warm")
    assert both.outcome("warm").stdout == ""  # own.py does fail, in the trial itself
    (both.code / "own.py").write_text("from fractions import Fraction\n")
    both.start_warm("again")
    assert both.outcome("again").stdout == "['decimal', 'fractions', 'sqlite3']\n"


def test_random_states_differ_from_trial_to_trial(host: Callable[..., WarmHost]) -> None:
    pytest.importorskip("numpy")
    both = host("import random, numpy.random; print(random.random(), numpy.random.rand())")
    for key in "abc":
        both.start_warm(key)
    first, second, third = (both.outcome(key).stdout.split() for key in "abc")
    assert len({*first, *second, *third}) == 6


def test_warm_trial_waits_at_its_gate(host: Callable[..., WarmHost]) -> None:
    both = host("print('ran')")
    launch = both.launch("a")
    both.runtime.create_files(launch)
    parent = both.warm_parent()
    parent.fork("a", launch)
    forks: list[Any] = []
    both.until(lambda: forks.extend(parent.receive() or ()) or forks)
    both.runtime.take("a", launch, forks[0].started)
    both.runtime.kill("a", 5)
    assert both.outcome("a") == Outcome(End(None, reason="never started"), "", "")


def test_unanswered_and_running_trials_outlive_their_parent(host: Callable[..., WarmHost]) -> None:
    both = host("import sys, time, os\nwhile not os.path.exists('go-on'): time.sleep(0.01)\nsys.exit(5)")
    both.start_warm("a")
    assert both.warm_parent().close() == []
    both.parent = None
    (both.code / "go-on").touch()
    assert both.outcome("a").end == End(5)


def test_processes_of_a_warm_trial_die_with_it(host: Callable[..., WarmHost]) -> None:
    both = host(
        """
        import os, signal, sys, time
        def forked():  # a double fork, and no exec that would renew the environment
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    with open("pid.new", "w") as file:
                        file.write(str(os.getpid()))
                    os.rename("pid.new", "pid")
                    time.sleep(600)
                os._exit(0)
            os.wait()
        forked()
        while not os.path.exists("pid"):
            time.sleep(0.01)
        sys.exit(3)
        """
    )
    both.start_warm("a")
    assert both.outcome("a").end == End(3)
    pid = int((both.code / "pid").read_text())
    path = Path(f"/proc/{pid}/stat")
    assert not path.exists() or path.read_text().rpartition(")")[2].split()[0] == "Z"


def test_kill_of_a_warm_trial_leaves_its_parent(host: Callable[..., WarmHost]) -> None:
    both = host("import time; print('on', flush=True); time.sleep(600)")
    both.start_warm("a")
    both.until((both.directory / "a" / "stdout").read_text)
    both.runtime.kill("a", 60)
    assert both.outcome("a").end == End(128 + 15)
    both.start_warm("b")
    both.until((both.directory / "b" / "stdout").read_text)
    both.runtime.kill("b", 0)
    assert both.outcome("b").end.exit_status == 128 + 9


def test_changed_script_is_noticed(host: Callable[..., WarmHost]) -> None:
    both = host("import own")
    (both.code / "own.py").write_text("")
    parent = both.warm_parent()
    assert parent.is_current
    (both.code / "own.py").write_text("import json\n")
    assert not parent.is_current


THREAD = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True, name='w').start()"
CUDA = "import sys, types\nsys.modules['torch.cuda'] = types.SimpleNamespace(is_initialized=lambda: True)"
JAX = "import sys, types\nsys.modules['jax'] = types.ModuleType('jax')"


@pytest.mark.parametrize(
    ("module", "reason"),
    [(THREAD, "started threads: w"), (CUDA, "initialised the GPU"), (JAX, "jax runs threads")],
)
def test_what_does_not_survive_a_fork_is_refused(tmp_path: Path, module: str, reason: str) -> None:
    both = WarmHost(tmp_path, "import extra")
    both.environment["PYTHONUSERBASE"] = str(tmp_path)
    user_site = tmp_path / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages"
    user_site.mkdir(parents=True)
    (user_site / "extra.py").write_text(module)
    both.environment["PYTHONPATH"] = str(user_site)
    assert reason in both.warm_parent().refusal
    both.close()


def test_script_that_cannot_be_read_is_left_to_a_cold_start(host: Callable[..., WarmHost]) -> None:
    assert "train.py cannot be read: invalid syntax" in host("x = = 1").warm_parent().refusal


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("./train.sh", "does not begin with python"),
        ("LR=1 python train.py", "does not begin with python"),
        ("torchrun train.py", "does not begin with python"),
        ("python train.py | tee log", "uses the shell"),
        ("python train.py && echo done", "uses the shell"),
        ("python train.py --lr $LR", "uses the shell"),
        ("python -m train", "does not run a script"),
        ("python -c 'pass'", "does not run a script"),
        ("python", "does not run a script"),
        ("python 'train.py", "cannot be read"),
        ("/no/such/python3 train.py", None),
    ],
)
def test_only_a_plain_python_command_is_warm(command: str, reason: str | None) -> None:
    if reason is None:
        assert read_command(command, "/", dict(os.environ)).python == "/no/such/python3"
        return
    with pytest.raises(NotWarm, match=reason):
        read_command(command, "/", dict(os.environ))


def test_warm_trial_on_a_full_disk_is_killed_at_once(host: Callable[..., WarmHost]) -> None:
    it = host(
        """
        import os, time
        print("ready", flush=True)
        os.symlink("/dev/full", "link")
        os.replace("link", os.environ["STATUS"])
        time.sleep(600)
        """,
        STATUS="../warm/exit_status",
    )
    it.start_warm("warm")
    it.until((it.directory / "warm" / "exit_status").is_symlink)
    it.runtime.kill("warm", 600)  # which is longer than this waits
    assert it.outcome("warm").end == End(128 + 9)
