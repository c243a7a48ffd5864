"""The process that warm trials are forked from. Run by path, with the trial's own Python.

It imports what the script imports, then forks on request. A fork becomes what `python script.py`
would have become: its own session, standard streams, variables, `sys.argv`, `__main__`, signals
and exit status. Nothing of `tune` is needed in that Python, so this file stands alone.

What is imported here: the modules named by import statements in the body of the script, and of
the user's own modules that it imports in turn. The user's own modules themselves are not, since
they may change and may look at `sys.argv`: a module is the user's own unless it lies in the
standard library or in a site-packages folder.

RefusedError, with the reason: when importing has started threads, or has initialised an accelerator,
or brought in a library that does not survive a fork.

Arguments: descriptor of the socket to the manager, soft limit of open files, the script.
Requests and replies are JSON, one per packet; a request comes with the gate's descriptor.
"""

from __future__ import annotations

import array
import ast
import atexit
import ctypes
import errno
import gc
import importlib
import importlib.machinery
import importlib.util
import io
import json
import os
import resource
import signal
import site
import socket
import sys
import sysconfig
import threading
import time
import types
import warnings
from typing import Any, Iterator

_MAX_REQUEST = 1 << 20
_MARK = "TUNE_MARK"
_NOT_FORKABLE = {
    "tensorflow": "tensorflow runs threads of its own",
    "jax": "jax runs threads of its own",
    "grpc": "grpc runs threads of its own",
}


def serve(control: socket.socket) -> dict[str, Any]:
    """Fork one process per request; returns, in the fork alone, what it is to be."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks here
    gc.collect()
    gc.freeze()  # so that collecting does not copy pages
    while True:
        data, ancillary, _, _ = control.recvmsg(_MAX_REQUEST, socket.CMSG_LEN(4))
        if not data:
            os._exit(0)  # the manager is gone; forks go on
        gate = array.array("i", ancillary[0][2])[0]
        request = json.loads(data.decode())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a fork beside native threads, which was considered
            pid = os.fork()
        if pid == 0:
            control.close()
            return keep(request, gate)
        os.close(gate)
        with open(f"/proc/{pid}/stat", "rb") as file:
            start = file.read().rpartition(b")")[2].split()[19].decode()
        control.sendall(json.dumps({"id": request["id"], "pid": pid, "start": start}).encode())


def keep(request: dict[str, Any], gate: int) -> dict[str, Any]:
    """Wait at the gate, then fork the trial and write down how it ends; returns in the trial."""
    os.setsid()
    asked: list[int] = []  # to end, by these signals
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    write_mark(request["environment"][_MARK])
    for descriptor, path in ((1, request["stdout"]), (2, request["stderr"])):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    word = b""
    while not word.endswith(b"\n"):
        piece = os.read(gate, 3)
        if not piece:
            os._exit(0)  # never started
        word += piece
    os.close(gate)
    pid = os.fork()
    if pid == 0:
        return request
    _, status = os.waitpid(pid, 0)
    code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    write_exit_status(request["exit_status"], code, asked)
    os._exit(0)


def write_mark(marks: str) -> None:
    """Change the mark in this process's first environment, which is where /proc shows it."""
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    address = libc.getenv(_MARK.encode())
    room = len(os.environ[_MARK])
    ctypes.memmove(address, marks.encode().ljust(room, b":"), room)


def write_exit_status(path: str, code: int, asked: list[int]) -> None:
    """Repeated on a full disk, until the trial is `asked` to end."""
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.write(descriptor, b"%d\n" % code)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno != errno.ENOSPC or asked:
                return
            time.sleep(0.2)
        else:
            return


def become(request: dict[str, Any]) -> None:
    """Turn this fork into a process that has just been started with the request's command."""
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[:] = [request["script"]] + request["arguments"]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = request["command"]
    importlib.invalidate_caches()  # the user's folder may have changed since it was listed
    # The states that a cold start would draw anew; `random` sees to its own.
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def main_module(path: str) -> types.ModuleType:
    """A new `__main__` for the script, as the interpreter makes it."""
    module = types.ModuleType("__main__")
    module.__file__ = path
    names: dict[str, Any] = {"__builtins__": sys.modules["builtins"], "__cached__": None}
    if sys.version_info < (3, 14):
        names["__annotations__"] = {}
    vars(module).update(names)
    module.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    return module


def run(path: str) -> int:
    """Run the script as `__main__`; returns the exit status that the interpreter would end with."""
    module = main_module(path)
    sys.modules["__main__"] = module
    try:
        with open(path, "rb") as file:
            program = compile(file.read(), path, "exec", dont_inherit=True)
        exec(program, module.__dict__)  # noqa: S102 (running it is the purpose)
    except SystemExit as request:
        return exit_status(request.code)
    except BaseException as error:  # noqa: BLE001 (shown as the interpreter does)
        traceback = error.__traceback__
        while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
            traceback = traceback.tb_next
        sys.excepthook(type(error), error.with_traceback(traceback), traceback)
        return 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def exit_status(code: Any) -> int:
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr)
    return 1


def leave(status: int, shared: set[str]) -> None:
    """End the process as the interpreter does, but for what it shares with its parent.

    Taking the imported libraries apart, object by object, would copy every page of them, and takes
    longer than all the rest. So threads are waited for, exit handlers run, the script's and the
    user's own modules and what is then garbage are destroyed, files are flushed, and the C
    library's exit does the rest.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    try:
        atexit._run_exitfuncs()
    except BaseException:  # noqa: BLE001, S110 (Python before 3.10 shows it, then raises it; the status stays)
        pass
    elsewhere = site_folders()
    own = [name for name in sys.modules if name not in shared and not lies_in(sys.modules[name], elsewhere)]
    modules = [sys.modules.pop(name) for name in ["__main__", *reversed(own)]]
    gc.collect()
    for module in modules:
        clear(module)
    modules.clear()
    gc.collect()
    for each in gc.get_objects():  # what somebody still holds must not lose its last lines
        if type(each) in (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom) and not each.closed:
            try:
                each.flush()
            except (OSError, ValueError):
                status = status or 120  # as the interpreter says it
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            try:
                stream.flush()
            except (OSError, ValueError):
                status = status or 120
    ctypes.PyDLL(None).exit(status)


def lies_in(module: Any, folders: tuple[str, ...]) -> bool:
    path = getattr(module, "__file__", None)
    return not isinstance(path, str) or os.path.realpath(path).startswith(folders)


def clear(module: Any) -> None:
    """Drop a module's names, private ones first, as the interpreter does."""
    names = getattr(module, "__dict__", {})
    private = [name for name in names if isinstance(name, str) and name[:1] == "_" != name[1:2]]
    for name in [*private, *names]:
        if name != "__builtins__":
            names[name] = None


# What to import


def site_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = [paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"]]
    folders += [*getattr(site, "getsitepackages", list)(), site.getusersitepackages()]
    return tuple(os.path.realpath(folder) + os.sep for folder in folders)


def body_imports(path: str) -> Iterator[tuple[str, list[str]]]:
    """The modules that the body of a file imports, in order: (module, names taken from it)."""
    with open(path, "rb") as file:
        tree = ast.parse(file.read(), path)
    statements = list(tree.body)
    while statements:
        statement = statements.pop(0)
        if isinstance(statement, ast.Try):
            statements[:0] = statement.body
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                yield alias.name, []
        elif isinstance(statement, ast.ImportFrom):
            module = None if statement.level else statement.module
            if module not in (None, "__future__"):
                yield module, [alias.name for alias in statement.names]


def collect(
    path: str, folders: tuple[str, ...], files: dict[str, list[int]], modules: list[tuple[str, list[str]]]
) -> None:
    """Add to `modules` what `path` imports from elsewhere, and to `files` the user's own files."""
    if path in files:
        return
    stat = os.stat(path)
    files[path] = [stat.st_mtime_ns, stat.st_size]
    for name, taken in body_imports(path):
        own = own_file(name, folders)
        if own is None:
            modules.append((name, taken))
        else:
            collect(own, folders, files, modules)
            for each in taken:
                inner = own_file(name + "." + each, folders) if own.endswith("__init__.py") else None
                if inner is not None:
                    collect(inner, folders, files, modules)


def own_file(name: str, folders: tuple[str, ...]) -> str | None:
    """The file of one of the user's own modules; None for a module from elsewhere or nowhere."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    if os.path.realpath(spec.origin).startswith(folders):
        return None
    return _submodule(spec.origin, rest)


def _submodule(path: str, parts: list[str]) -> str | None:
    """The file of a submodule, found by path: `find_spec` would import the packages above it."""
    for part in parts:
        stem = os.path.join(os.path.dirname(path), part)
        found = [each for each in (stem + ".py", os.path.join(stem, "__init__.py")) if os.path.isfile(each)]
        if not found:
            return None
        path = found[0]
    return path


def preload(modules: list[tuple[str, list[str]]]) -> None:
    for name, taken in modules:
        try:
            module = importlib.import_module(name)
            for each in taken:
                if each != "*" and not hasattr(module, each):
                    importlib.import_module(name + "." + each)
        except BaseException as error:  # noqa: BLE001 (the trial will meet it itself, and say so)
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)


def obstacle() -> str:
    """Why trials cannot be forked from here; empty when they can."""
    for name, reason in _NOT_FORKABLE.items():
        if name in sys.modules:
            return reason
    if threading.active_count() > 1:
        names = ", ".join(thread.name for thread in threading.enumerate()[1:])
        return "importing has started threads: " + names
    cuda = sys.modules.get("torch.cuda")
    if cuda is not None and cuda.is_initialized():
        return "importing has initialised the GPU"
    return ""


def main() -> str | None:
    control = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(control.fileno(), False)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), hard))
    script = sys.argv[3]
    path = os.path.abspath(script) if sys.version_info >= (3, 9) else script
    sys.path[0] = os.path.dirname(os.path.realpath(script))
    sys.argv[:] = [script]
    begun = time.monotonic()
    files: dict[str, list[int]] = {}
    modules: list[tuple[str, list[str]]] = []
    try:
        collect(os.path.abspath(script), site_folders(), files, modules)
        preload(modules)
        refusal = obstacle()
    except (OSError, SyntaxError, ValueError) as error:  # which the trial is to show
        refusal = f"{script} cannot be read: {error}"
    sys.stdout.flush()
    sys.stderr.flush()
    answer = {"refused": refusal, "files": files, "seconds": time.monotonic() - begun}
    control.sendall(json.dumps(answer).encode())
    if refusal:
        return None
    become(serve(control))
    return path


if __name__ == "__main__":
    _path = main()
    if _path is not None:
        _shared = {*sys.modules}
        leave(run(_path), _shared)
