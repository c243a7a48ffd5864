"""Getting a host server to run at the other end of a pipe, whatever login shell is there.

The login shell is given one constant command, which hands over to a POSIX `sh` that reads one line
and runs it. That line, `opening`, finds a Python and gives it `tune.host.stage2`, which sees to the
runtime, the `tune` package itself, and serves. Nothing need be installed there but Python 3.8.

What the other end prints begins with the line `nonce`; what came before it (a greeting, conda's
remarks) is dropped by `skip_to`.
"""

from __future__ import annotations

import functools
import io
import os
import re
import shlex
import zipfile
from typing import Any

from tune.host import stage2

__all__ = [
    "COMMAND",
    "COMPANIONS",
    "DEFAULT_ROOT",
    "Preamble",
    "opening",
    "parcel",
    "runtime_archive",
    "skip_to",
]

DEFAULT_ROOT = "~/tune-trials"

COMPANIONS = "tune.trials"
"""Entry points of this group name packages, of the standard library and `tune` alone, that go with the
runtime: trials can import them, like `tune` itself, though nothing is installed there."""

COMMAND = """exec /bin/sh -c 'IFS= read -r tune && eval "$tune"'"""
"""For the login shell: sh, bash, dash, zsh, ksh, csh, tcsh and fish read it alike. `read` takes
byte by byte, so that nothing of what follows the line is swallowed."""

_NAMES = ("python3", "python", *(f"python3.{minor}" for minor in range(14, 7, -1)))

# Where Python is when it is not on the PATH of a shell that nobody sits at.
_FOLDERS = (
    *(f"~/{name}/bin" for name in ("miniconda3", "anaconda3", "miniforge3", "mambaforge", "conda")),
    *(f"/opt/{name}/bin" for name in ("conda", "miniconda3", "anaconda3", "miniforge3")),
    *("~/.pyenv/shims", "~/.local/bin", "/usr/local/bin", "/opt/homebrew/bin", "/usr/bin", "/bin"),
)

# Also for Python 2, and not from the current folder.
_PROBE = """\
import sys
sys.path[:] = [entry for entry in sys.path if entry]
if sys.version_info < (3, 8):
    print("is Python %d.%d" % sys.version_info[:2])
else:
    try:
        import ctypes, fcntl, hashlib, json, resource, selectors, zipfile, zlib
        print("tune: ok")
    except ImportError:
        print("lacks a part of its standard library: %s" % sys.exc_info()[1])
"""

# Not the text itself, which `ps` would show for as long as the server runs.
_RUN = 'import os; exec(os.environ.pop("_tune_stage2"))'

# Run by bash where there is one, since a `preCommand` may well say `source`. Descriptor 3 carries
# frames; what anything else prints goes to standard error. Names begin with _tune_, out of the way
# of the user's own.
_SCRIPT = r"""
_tune_fail() {  # stage, reason
    trap - 0
    _tune_text=$(printf '%s\n' "$2" | LC_ALL=C tr -cd '\n -~' |
        sed -e 's/[\\"]/\\&/g' -e '$!s/$/\\n/' | tr -d '\n')
    printf '{"type":"failed","stage":"%s","reason":"%s"}\n' "$1" "$_tune_text" >&3
    exit 1
}
_tune_home() {  # ~ at the front of a path
    case $1 in
    '~') printf '%s' "$HOME" ;;
    '~/'*) printf '%s' "$HOME/${1#??}" ;;
    *) printf '%s' "$1" ;;
    esac
}
_tune_try() {  # the name or path of a Python
    _tune_found=$(command -v "$1" 2>/dev/null) && [ -x "$_tune_found" ] || return 1
    case $_tune_tried in *"
$_tune_found: "*) return 0 ;; esac
    _tune_said=$("$_tune_found" -E -c "$_tune_probe" 2>&1 </dev/null 3>&-)
    case $_tune_said in *"tune: ok")
        export _tune_stage2
        exec "$_tune_found" -I -X utf8 -c "$_tune_run" "$_tune_root" "$_tune_digest" >&3 3>&- ;;
    esac
    [ -n "$_tune_said" ] || _tune_said="says nothing"
    _tune_tried="$_tune_tried
$_tune_found: ${_tune_said%%
*}"
}

if [ -n "$_tune_prefix" ]; then PATH=$(_tune_home "$_tune_prefix"):$PATH; export PATH; fi

if [ -n "$_tune_conda" ]; then
    for _tune_at in "${CONDA_EXE%/bin/conda}" $_tune_folders; do
        _tune_at=$(_tune_home "${_tune_at%/bin}")
        if [ -f "$_tune_at/etc/profile.d/conda.sh" ]; then
            . "$_tune_at/etc/profile.d/conda.sh" </dev/null 3>&-
            PATH=$PATH:$_tune_at/bin
            break
        fi
    done
fi
if [ -n "$_tune_pre" ]; then
    trap '_tune_fail preCommand "preCommand ended the shell, with status $?"' 0
    eval "$_tune_pre" >&2 </dev/null 3>&-
    _tune_status=$?
    set +eu
    trap - 0
    [ $_tune_status = 0 ] || _tune_fail preCommand "preCommand failed with status $_tune_status"
fi

_tune_tried=
if [ -n "$_tune_python" ]; then
    _tune_try "$(_tune_home "$_tune_python")" || _tune_fail python "no program $_tune_python can be run"
    _tune_fail python "a Python 3.8 or newer is needed, but$_tune_tried"
fi
for _tune_name in $_tune_names; do _tune_try "$_tune_name"; done
for _tune_at in $_tune_folders; do _tune_try "$(_tune_home "$_tune_at")/python3"; done
if [ -n "$_tune_tried" ]; then
    _tune_fail python "no Python 3.8 or newer was found, but$_tune_tried"
fi
_tune_fail python "no Python was found, neither on the PATH, which is $PATH, nor in $_tune_folders"
"""

_START = r"""
printf '%s\n' "$_tune_nonce"
exec 3>&1 >&2
if command -v bash >/dev/null 2>&1; then exec bash --noprofile --norc -c "$1" tune; fi
exec /bin/sh -c "$1" tune
"""


def opening(
    *,
    nonce: str,
    root: str = DEFAULT_ROOT,
    python: str = "",
    path_prefix: str = "",
    pre_command: str = "",
) -> bytes:
    """The line to send to `COMMAND`.

    Args:
        nonce: What the other end prints first; nobody could have guessed it.
        root: The folder there for everything; `~` is the home there.
        python: A path or a name; empty to look for one.
        path_prefix: A folder to put in front of PATH.
        pre_command: Run before Python is looked for: it may set variables and activate environments.

    Raises:
        ValueError: An argument holds what no shell can be given.
    """
    needs_conda = re.search(r"\b(conda|mamba|activate)\b", pre_command)
    variables = {
        "nonce": nonce,
        "root": root,
        "digest": runtime_archive()[0],
        "python": python,
        "prefix": path_prefix,
        "pre": pre_command,
        "conda": "yes" if needs_conda else "",
        "names": " ".join(_NAMES),
        "folders": " ".join(_FOLDERS),
        "probe": _PROBE,
        "run": _RUN,
        "stage2": _source_of_stage2(),
    }
    settings = "".join(f"_tune_{name}={shlex.quote(value)}\n" for name, value in variables.items())
    script = settings + _SCRIPT
    text = f"_tune_nonce={shlex.quote(nonce)}\n" + _START
    if "\0" in script:
        raise ValueError("a NUL character cannot be handed to a shell")
    return f"exec /bin/sh -c {_quoted(text)} tune {_quoted(script)}\n".encode("utf-8", "surrogateescape")


def _quoted(text: str) -> str:
    """A text of several lines as one word of a line, for any POSIX shell."""
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return f'"$(printf %b {shlex.quote(escaped)})"'


@functools.lru_cache(maxsize=None)
def _source_of_stage2() -> str:
    with open(stage2.__file__, encoding="utf-8") as file:
        return file.read()


@functools.lru_cache(maxsize=None)
def runtime_archive() -> tuple[str, bytes]:
    """The `tune` package as it is here, and its companions: a digest of their content, and a zip with it."""
    packages = {**_companions(), "tune": os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}
    files = {
        f"{package}/{name}": content
        for package, folder in packages.items()
        for name, content in stage2.read_modules(folder).items()
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name], zipfile.ZIP_DEFLATED)
    return stage2.digest_of(files), buffer.getvalue()


def _companions() -> dict[str, str]:
    """The folders of the packages that installed plugins want to have where trials run, by name."""
    import importlib.util
    from importlib import metadata

    every: Any = metadata.entry_points()
    chosen = every.select(group=COMPANIONS) if hasattr(every, "select") else every.get(COMPANIONS, ())
    specs = {each.value: importlib.util.find_spec(each.value) for each in chosen}
    return {
        name: spec.submodule_search_locations[0]
        for name, spec in specs.items()
        if spec is not None and spec.submodule_search_locations
    }


def parcel() -> bytes:
    """What to send to a host whose `hello` says that it has no runtime."""
    archive = runtime_archive()[1]
    return b"%020d" % len(archive) + archive


class Preamble:
    """What the other end prints before it speaks: kept in part, for a person to read."""

    _KEPT = 4096

    def __init__(self, nonce: str) -> None:
        self._line = nonce.encode() + b"\n"
        self._data = b""

    @property
    def text(self) -> str:
        """The end of what was printed before the nonce, and explains why it never came."""
        return self._data[-self._KEPT :].decode("utf-8", "replace")

    def feed(self, data: bytes) -> bytes | None:
        """What follows the nonce, once it has come; None until then."""
        self._data = self._data[-self._KEPT - len(self._line) :] + data
        before, found, after = self._data.partition(self._line)
        if not found:
            return None
        self._data = before
        return after


def skip_to(nonce: str) -> Preamble:
    """Reads up to the line `nonce`."""
    return Preamble(nonce)
