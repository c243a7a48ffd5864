"""What lies on a host: fetched, listed and removed."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="platform: looks into /proc")

NO_MANIFEST = b"[]"
NO_CODE = hashlib.sha256(NO_MANIFEST).hexdigest()
SLEEP = "echo $$ > pid-$TUNE_TRIAL_ID; exec sleep 600"
DETACHED = "setsid sh -c 'echo $$ > pid-detached; exec sleep 600' & exec sleep 600"


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def pid_of(host: Any, name: str) -> int:
    deadline = time.monotonic() + 90
    while True:
        texts = [path.read_text() for path in host.root.glob(f"experiments/*/code/*/tree/pid-{name}")]
        if texts and texts[0].endswith("\n"):
            return int(texts[0])
        assert time.monotonic() < deadline, f"{name} does not start"
        time.sleep(0.01)


def fetch(connection: Any, *paths: Any, experiment: str = "exp") -> dict[str, Any]:
    """What came: content of files, targets of links, None for folders; or the reason for nothing."""
    connection.send("fetch", id=1, experiment=experiment, paths=list(paths))
    answer = connection.wait("fetched", "refused", id=1)
    if answer["type"] == "refused":
        assert not connection.find("entry")
        return {"refused": answer["reason"]}
    found: dict[str, Any] = {}
    for message, body in connection.received:
        if message["type"] == "entry":
            path, kind = message["path"], message["kind"]
            found[path] = {"dir": None, "file": b"", "link": message["target"]}[kind]
        elif message["type"] == "data":
            found[path] += body
    connection.received.clear()
    return found


def removed(connection: Any, experiments: Any, force: bool = False) -> dict[str, Any]:
    connection.send("remove", id=2, experiments=experiments, force=force)
    return dict(connection.wait("removed", id=2))


def listed(connection: Any) -> dict[str, Any]:
    connection.send("list", id=3)
    return {each["experiment"]: each for each in connection.wait("listed", id=3)["experiments"]}


def test_files_folders_and_links_are_fetched(host: Any) -> None:
    connection = host.open()
    command = (
        'cd "$TUNE_OUTPUT_DIR"; head -c 3000000 /dev/urandom > big; mkdir -p a/empty; echo x > a/x; '
        'ln -s /etc/passwd out; ln -s a in; mkfifo pipe; echo 1 > "$TUNE_CHECKPOINT_DIR/c"'
    )
    connection.run("t", command)
    connection.ended("t")
    got = fetch(host.visit(), "trials/t/0/output", "trials/t/checkpoint", "trials/t/nothing")
    big = (host.attempt("t") / "output" / "big").read_bytes()
    output = "trials/t/0/output"
    assert got == {
        output: None,
        f"{output}/big": big,
        f"{output}/a": None,
        f"{output}/a/empty": None,
        f"{output}/a/x": b"x\n",
        f"{output}/out": "/etc/passwd",
        f"{output}/in": "a",
        "trials/t/checkpoint": None,
        "trials/t/checkpoint/c": b"1\n",
    }


def test_fetching_reads_a_log_that_grows_without_end(host: Any) -> None:
    connection = host.open()
    connection.run("t", "while :; do echo y; done")
    got = fetch(connection, "trials/t/0/stdout")
    assert set(got) == {"trials/t/0/stdout"}


@pytest.mark.parametrize(
    "path",
    [
        "../exp2/x",
        "/etc/passwd",
        "trials/../../..",
        "",
        ".",
        "trials//t",
        "a\0b",
        7,
        "link/passwd",
        "code/link/x",
    ],
)
def test_fetching_stays_in_the_experiment(host: Any, path: Any) -> None:
    connection = host.open()
    (host.experiment / "link").symlink_to("/etc")
    (host.experiment / "code" / "link").symlink_to("/")
    assert set(fetch(connection, "hosts", path)) == {"refused"}
    assert set(fetch(connection, "hosts", experiment="../exp")) == {"refused"}
    assert connection.is_served()


def test_list_tells_size_trials_and_managers(host: Any) -> None:
    assert listed(host.visit()) == {}
    managed, kept, over = host.open(), host.open(experiment="kept"), host.open(experiment="over")
    managed.run("a", SLEEP)
    managed.run("b", SLEEP)
    kept.run("c", SLEEP)
    over.run("d", "head -c 500000 /dev/urandom > $TUNE_OUTPUT_DIR/big")
    over.ended("d")
    pids = [pid_of(host, name) for name in "abc"]
    kept.send("leave")
    kept.until(lambda: kept.is_closed)
    over.close()
    over.process.wait(90)
    found = listed(host.visit())
    told = {name: (each["alive"], each["managed"]) for name, each in found.items()}
    assert told == {"exp": (2, True), "kept": (1, False), "over": (0, False)}
    assert 500_000 <= found["over"]["bytes"] < 700_000
    assert all(is_alive(pid) for pid in pids)


def test_removal_ends_trials_and_leaves_nothing(host: Any) -> None:
    kept = host.open()
    kept.run("t", SLEEP)
    kept.run("u", DETACHED)
    killed = host.open(experiment="killed")
    killed.run(
        "v",
        'mkdir -p "$TUNE_OUTPUT_DIR/d" && touch "$TUNE_OUTPUT_DIR/d/x" && chmod 500 "$TUNE_OUTPUT_DIR/d"; '
        + SLEEP,
    )
    pids = [pid_of(host, name) for name in ("t", "detached", "v")]
    kept.close()
    killed.kill()
    connection = host.visit()
    answer = removed(connection, None)
    assert (sorted(answer["experiments"]), answer["skipped"]) == (["exp", "killed"], [])
    assert [pid for pid in pids if is_alive(pid)] == []
    assert kept.process.wait(90) in (0, -signal.SIGKILL)  # it was asked, and made to after two seconds
    assert not host.root.exists()
    assert connection.is_served()


def test_half_written_notes_do_no_harm(host: Any) -> None:
    connection = host.open()
    (folder,) = host.experiment.glob("hosts/*/attempts")
    for number, text in enumerate(
        ["", " " * 512, '{"pid": 1}', '{"pid": "x", "start": "", "boot": ""}', "[]"]
    ):
        (folder / f"t.{number}").write_text(text)
    (folder / "nonsense").write_text("{}")
    connection.send("keep", keys=[])
    assert connection.is_served()
    connection.close()
    assert connection.process.wait(90) == 0
    assert listed(host.visit())["exp"]["alive"] == 0
    assert removed(host.visit(), None)["experiments"] == ["exp"]


def test_removal_takes_what_was_asked_for(host: Any) -> None:
    for name in ("one", "two"):
        connection = host.open(experiment=name)
        connection.close()
        connection.process.wait(90)
    assert removed(host.visit(), ["one", "never there"])["experiments"] == ["one"]
    assert [path.name for path in (host.root / "experiments").iterdir()] == ["two"]
    assert list(host.root.glob("runtime/*"))


def test_what_a_manager_has_hold_of_is_skipped_unless_forced(host: Any) -> None:
    managed = host.open()
    managed.run("t", SLEEP)
    pid = pid_of(host, "t")
    connection = host.visit()
    answer = removed(connection, None)
    assert answer["experiments"] == []
    assert "a manager is connected" in answer["skipped"][0]["reason"]
    assert is_alive(pid)
    assert managed.is_served()
    assert "on this connection" in removed(managed, None, force=True)["skipped"][0]["reason"]
    assert removed(connection, None, force=True)["experiments"] == ["exp"]
    assert not is_alive(pid)
    assert not host.root.exists()


@pytest.mark.parametrize("name", ["../exp", "", ".", "a/b", 3])
def test_removal_refuses_what_is_no_experiment(host: Any, name: Any) -> None:
    connection = host.open()
    answer = removed(host.visit(), [name])
    assert answer["experiments"] == []
    assert "cannot be the name" in answer["skipped"][0]["reason"]
    assert connection.is_served()


def test_what_others_put_into_the_root_stays(host: Any) -> None:
    connection = host.visit()
    assert connection.is_served()
    (host.root / "mine").write_text("x")
    removed(connection, None)
    assert [path.name for path in host.root.iterdir()] == ["mine"]


def test_experiment_is_opened_though_its_runtime_is_gone(host: Any) -> None:
    first, second = host.visit(), host.visit()
    assert first.is_served()
    assert removed(second, None)["skipped"] == []
    assert not host.root.exists()
    assert first.open_only()["type"] == "opened"
    first.provide(NO_MANIFEST, NO_CODE)
    first.run("t", f"{sys.executable} -S -c 'import tune; print(tune.__file__)'")
    assert first.ended("t")["exit_status"] == 0
    assert host.text("t", "stdout").startswith(str(host.root / "runtime"))
    assert all(path.stat().st_mode & 0o077 == 0 for path in host.root.glob("runtime/**/*"))
    assert host.visit().is_served()


@pytest.mark.parametrize("how", ["leave", "close", "kill"])
def test_visit_leaves_nothing_behind(host: Any, how: str) -> None:
    stays = host.connect()
    assert stays.hello()["runtime"] is False
    assert stays.is_served()
    guest = host.connect()
    assert guest.hello()["runtime"] is True
    assert listed(guest) == {}
    if how == "leave":
        guest.send("leave")
        guest.until(lambda: guest.is_closed)  # and by then it has gone
        assert not host.root.exists()
    elif how == "close":
        guest.close()
    else:
        guest.process.terminate()
    assert guest.process.wait(90) == 0
    assert not host.root.exists()
    assert fetch(stays, "x") == {}
    assert removed(stays, None) == {"type": "removed", "id": 2, "experiments": [], "skipped": []}


def test_visit_leaves_experiments_and_their_runtime(host: Any) -> None:
    connection = host.open()
    guest = host.visit()
    assert set(listed(guest)) == {"exp"}
    guest.close()
    assert guest.process.wait(90) == 0
    connection.run("t", f"{sys.executable} -S -c 'import tune'")
    assert connection.ended("t")["exit_status"] == 0


def test_many_visits_come_and_go_at_once(host: Any) -> None:
    for _ in range(3):
        guests = [host.connect() for _ in range(4)]
        for guest in guests:
            guest.hello()
            guest.send("leave")
        assert [guest.process.wait(90) for guest in guests] == [0] * 4
        assert [guest.find("failed") for guest in guests] == [[]] * 4
        assert not host.root.exists()


def test_runtime_that_nobody_used_for_a_month_goes(host: Any) -> None:
    connection = host.open()
    (mine,) = host.root.glob("runtime/*")
    for name, days in (("old", 31), (".new-broken-off", 31), ("used", 29)):
        folder = mine.with_name(name) / "tune"
        folder.mkdir(parents=True)
        os.utime(folder.parent, (0, mine.stat().st_mtime - days * 86400))
    os.utime(mine, (0, 0))
    assert connection.is_served()
    connection.close()
    connection.process.wait(90)
    begun = time.time()
    second = host.open()
    second.until(lambda: {path.name for path in mine.parent.iterdir()} == {mine.name, "used"})
    assert mine.stat().st_mtime > begun - 1
    assert second.is_served()


def test_interrupted_removal_is_finished_by_the_next(host: Any) -> None:
    connection = host.visit()
    assert connection.is_served()
    left = host.root / "experiments" / ".removing-exp-1"
    (left / "trials").mkdir(parents=True)
    (left / "trials" / "x").write_text("x")
    assert listed(connection) == {}
    removed(connection, [])
    assert not host.root.exists()
