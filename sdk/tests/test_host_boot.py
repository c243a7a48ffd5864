"""Getting a server to run under every login shell that is installed, with whatever Python is there."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tune.host import boot, stage2

SHELLS = [name for name in ("sh", "bash", "dash", "zsh", "ksh", "tcsh", "csh", "fish") if shutil.which(name)]


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with the tools of a small system, and no Python."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("sh", "bash", "cat", "ls", "tr", "sed", "sleep"):
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(found)
    return folder


@pytest.fixture
def bare(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Arguments of a connection to a machine without any Python in the usual places."""
    monkeypatch.setattr(boot, "_FOLDERS", ("~/miniconda3/bin",))
    home = tmp_path / "home"
    home.mkdir()
    return {"python": "", "PATH": str(tools), "HOME": str(home)}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_login_shell_starts_a_server(host: Any, shell: str) -> None:
    connection = host.connect(shell)
    hello = connection.hello()
    assert hello["type"] == "hello"
    assert hello["python"] == ".".join(map(str, sys.version_info[:3]))
    assert hello["protocol"] == stage2.PROTOCOL
    assert connection.is_served()


def test_sh_and_bash_are_among_the_shells() -> None:
    assert {"sh", "bash"} <= set(SHELLS)


def test_talkative_login_shell_does_no_harm(host: Any) -> None:
    noise = "echo 'Welcome! {\"type\":\"hello\"}'; printf 'no newline at the end'; "
    connection = host.connect("bash", command=noise + boot.COMMAND)
    assert connection.hello()["type"] == "hello"
    assert connection.is_served()


def test_shell_that_runs_nothing_is_heard(host: Any) -> None:
    connection = host.connect(command="cat >/dev/null & echo This account is not available.; exit 1")
    connection.until(lambda: connection.is_closed)
    assert connection.greeting == "This account is not available.\n"


def test_what_follows_the_opening_is_not_swallowed(host: Any) -> None:
    connection = host.connect(pre_command="cat")  # which would read it all
    connection.write(boot.parcel())
    connection.send("list", id=5)
    assert connection.wait("listed", id=5)["experiments"] == []


def test_runtime_is_sent_once(host: Any) -> None:
    assert host.connect().hello()["runtime"] is False
    assert host.connections[0].is_served()
    assert host.connect().hello()["runtime"] is True
    assert [path.name for path in host.root.iterdir()] == ["runtime"]
    modes = {path.stat().st_mode & 0o077 for path in [host.root, *host.root.rglob("*")]}
    assert modes == {0}


def test_half_of_the_runtime_is_not_taken_for_the_whole(host: Any) -> None:
    first = host.connect()
    assert first.wait("hello")["runtime"] is False
    parcel = boot.parcel()
    first.write(parcel[: len(parcel) // 2])
    first.close()
    assert first.process.wait(90) == 0
    second = host.connect()
    assert second.hello()["runtime"] is False
    assert second.is_served()


def test_damaged_runtime_is_sent_again(host: Any) -> None:
    host.connect().hello()
    assert host.connections[0].is_served()
    (path,) = host.root.glob("runtime/*/tune/trial.py")
    path.unlink()  # as clean-up of scratch disks does
    second = host.connect()
    assert second.hello()["runtime"] is False
    assert second.is_served()
    assert path.exists()
    assert host.connect().hello()["runtime"] is True
    assert [each.name for each in path.parent.parent.parent.iterdir()] == [boot.runtime_archive()[0]]


def test_changed_runtime_on_its_way_is_refused(host: Any) -> None:
    connection = host.connect()
    connection.wait("hello")
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("tune/__init__.py", "evil = True")
    connection.write(b"%020d" % len(buffer.getvalue()) + buffer.getvalue())
    failed = connection.wait("failed")
    assert failed["stage"] == "runtime"
    assert "did not come as it was sent" in failed["reason"]
    assert list(host.root.glob("runtime/*")) == []


def test_root_that_cannot_be_made_is_told(host: Any) -> None:
    host.root.write_text("a file")
    connection = host.connect()
    connection.wait("hello")
    connection.write(boot.parcel())
    failed = connection.wait("failed")
    assert failed["stage"] == "runtime"
    assert str(host.root) in failed["reason"]


def test_archive_holds_the_companions_of_plugins(
    host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "companion" / "deep").mkdir(parents=True)
    for name in ("__init__.py", "deep/__init__.py"):
        (tmp_path / "companion" / name).write_text("import tune")
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tune.trials]\ncompanion = companion\n")
    monkeypatch.syspath_prepend(tmp_path)
    boot.runtime_archive.cache_clear()
    try:
        _, archive = boot.runtime_archive()
        names = zipfile.ZipFile(BytesIO(archive)).namelist()
        assert {"companion/__init__.py", "companion/deep/__init__.py", "tune/trial.py"} <= set(names)
        connection = host.connect()
        connection.hello()
        assert connection.is_served()
        assert len(list(host.root.glob("runtime/*/companion/deep/__init__.py"))) == 1
    finally:
        boot.runtime_archive.cache_clear()


def test_archive_is_the_same_each_time_and_whole() -> None:
    digest, archive = boot.runtime_archive()
    boot.runtime_archive.cache_clear()
    assert boot.runtime_archive() == (digest, archive)
    names = zipfile.ZipFile(BytesIO(archive)).namelist()
    assert {"tune/__init__.py", "tune/host/server.py", "tune/host/stage2.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]


def test_python_is_found_on_the_path(host: Any, bare: dict[str, str], tools: Path) -> None:
    program(tools, "python3", "echo 'is broken' >&2; exit 1")
    program(tools, "python3.9", f'exec {sys.executable} "$@"')
    assert host.connect(**bare).hello()["type"] == "hello"


def test_python_is_found_where_conda_puts_it(host: Any, bare: dict[str, str]) -> None:
    program(Path(bare["HOME"]) / "miniconda3/bin", "python3", f'exec {sys.executable} "$@"')
    assert host.connect(**bare).hello()["type"] == "hello"


def test_python_is_found_by_its_name(host: Any, bare: dict[str, str]) -> None:
    path = program(Path(bare["HOME"]) / "my python's", "py3", f'exec {sys.executable} "$@"')
    for name in ("~/my python's/py3", str(path)):
        assert host.connect(**{**bare, "python": name}).hello()["type"] == "hello"


def test_prefix_goes_in_front_of_the_path(host: Any, bare: dict[str, str], tools: Path) -> None:
    program(tools, "python3", "exit 1")
    program(Path(bare["HOME"]) / "mine", "python3", f'exec {sys.executable} "$@"')
    assert host.connect(path_prefix="~/mine", **bare).hello()["type"] == "hello"


def test_missing_python_is_told(host: Any, bare: dict[str, str], tools: Path) -> None:
    failed = host.connect(**bare).wait("failed")
    assert failed["stage"] == "python"
    assert str(tools) in failed["reason"]
    assert "~/miniconda3/bin" in failed["reason"]


def test_unsuitable_pythons_are_told_with_their_reasons(host: Any, bare: dict[str, str], tools: Path) -> None:
    program(tools, "python3", "echo is Python 3.6")
    program(tools, "python", "echo 'a \"quoted\" \\ reason' >&2; echo more; exit 3")
    failed = host.connect(**bare).wait("failed")
    assert failed["stage"] == "python"
    assert failed["reason"].splitlines()[1:] == [
        f"{tools}/python3: is Python 3.6",
        f'{tools}/python: a "quoted" \\ reason',
    ]


def test_named_python_is_the_only_one_tried(host: Any, bare: dict[str, str], tools: Path) -> None:
    program(tools, "python3", f'exec {sys.executable} "$@"')
    program(tools, "old", "echo is Python 2.7")
    assert "is Python 2.7" in host.connect(**{**bare, "python": "old"}).wait("failed")["reason"]
    assert "no program nope" in host.connect(**{**bare, "python": "nope"}).wait("failed")["reason"]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("false", "failed with status 1"),
        ("echo {} ; (exit 7)", "failed with status 7"),
        ("exit 4", "ended the shell, with status 4"),
        ("set -e\nfalse\ntrue", "ended the shell, with status 1"),
        ("if then fi", "status"),
    ],
)
def test_failing_precommand_is_told(host: Any, command: str, reason: str) -> None:
    failed = host.connect(pre_command=command).wait("failed")
    assert failed["stage"] == "preCommand"
    assert reason in failed["reason"]


def test_precommand_of_several_lines_sets_the_trials_environment(host: Any) -> None:
    command = """export GREETING='it'\\''s \\n "é"'
        set -eu
        cd /
        for x in a b; do
            export LAST=$x
        done
        echo noise"""
    connection = host.open(pre_command=command)
    connection.run("t", 'printf "%s|%s" "$GREETING" "$LAST"')
    connection.ended("t")
    assert host.text("t", "stdout") == 'it\'s \\n "é"|b'


def test_program_that_precommand_leaves_running_does_not_hold_the_pipe(host: Any, tmp_path: Path) -> None:
    connection = host.connect(pre_command=f"sleep 600 & echo $! > {tmp_path}/pid")
    connection.hello()
    assert connection.is_served()
    try:
        connection.send("leave")
        connection.until(lambda: connection.is_closed)
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_host_without_bash_is_served(host: Any, bare: dict[str, str], tools: Path) -> None:
    (tools / "bash").unlink()
    named = {**bare, "python": sys.executable}
    assert host.connect(pre_command="export A=1", **named).hello()["type"] == "hello"
    failed = host.connect(pre_command="exit 4", **named).wait("failed")
    assert (failed["stage"], failed["reason"].endswith("with status 4")) == ("preCommand", True)
    assert "no Python was found" in host.connect(**bare).wait("failed")["reason"]


def test_precommand_finds_conda_and_its_environments(host: Any, bare: dict[str, str]) -> None:
    conda = Path(bare["HOME"]) / "miniconda3"
    program(conda / "envs/x/bin", "python3", f'exec {sys.executable} "$@"')
    (conda / "etc/profile.d").mkdir(parents=True)
    text = f'conda() {{ [ "$1" = activate ] && PATH={conda}/envs/$2/bin:$PATH; }}\n'
    (conda / "etc/profile.d/conda.sh").write_text(text)
    assert host.connect(pre_command="conda activate x", **bare).hello()["type"] == "hello"


def test_command_that_came_in_the_way_of_names_is_left_alone(host: Any, bare: dict[str, str]) -> None:
    folder = Path(bare["HOME"])
    (folder / "json.py").write_text("raise SystemExit('imported')")  # where the server's shell starts
    connection = host.connect(**{**bare, "python": sys.executable, "pre_command": f"cd {folder}"})
    assert connection.hello()["type"] == "hello"
    assert connection.is_served()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="platform: looks into /proc")
def test_neither_ps_nor_trials_see_how_the_server_came_about(host: Any) -> None:
    connection = host.open(pre_command="true")
    command = Path(f"/proc/{connection.process.pid}/cmdline").read_text()
    assert len(command) < 300 + len(str(host.root))
    connection.run("t", "env; set")
    connection.ended("t")
    assert "_tune_" not in host.text("t", "stdout")


def test_umask_of_the_user_is_kept_for_trials(host: Any) -> None:
    old = os.umask(0o022)
    try:
        connection = host.open()
        connection.run("t", "touch made")
        connection.ended("t")
    finally:
        os.umask(old)
    (made,) = host.experiment.glob("code/*/tree/made")
    assert stat.S_IMODE(made.stat().st_mode) == 0o644


def test_import_of_tune_loads_nothing_of_the_host() -> None:
    code = "import sys, tune; print([name for name in sys.modules if name.startswith('tune.host')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
