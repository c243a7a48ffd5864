"""What may happen to machines, cables and managers: nothing is lost, nothing runs twice, nothing stays."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter

import pytest
from ssh_campaign import Campaign, Make
from ssh_hosts import Host, Laboratory, await_that, can_isolate

pytestmark = pytest.mark.skipif(not can_isolate(), reason="platform: needs root and network namespaces")

# Cables, servers, power.


@pytest.mark.slow
def test_cable_that_is_cut_for_forty_seconds(laboratory: Laboratory, campaign: Make) -> None:
    hosts = [laboratory.add() for _ in range(2)]
    lab = campaign([host.machine(trialConcurrency=2) for host in hosts], trials=4, concurrency=4)
    lab.leave.give(0, steps=1)
    manager = lab.manage()
    await_that(lambda: lab.reported() == [1, 1, 1, 1], "four trials running")
    hosts[0].cut()
    healed = time.monotonic() + 40
    await_that(lambda: f"{hosts[0].address} cannot be reached" in lab.trouble(), "that it is said")
    assert len([each for each in hosts[0].processes() if "trial.py" in each.command]) >= 2
    # One of its trials ends while nobody is there to hear of it, and one goes on.
    first, _ = [note.trial for note in lab.history() if note.host == hosts[0].name]
    with lab.record() as record:
        lab.leave.give(1 + next(trial.sequence for trial in record.trials() if trial.id == first), steps=2)
    await_that(lambda: first in [note.trial for note in lab.history() if note.what == "final"], "its end")
    time.sleep(max(0.0, healed - time.monotonic()))  # how long it is cut
    hosts[0].heal()
    await_that(lambda: not lab.trouble().strip(), "that it is said to be back")
    lab.finish(manager)
    lab.check()
    assert lab.attempts() == [0, 0, 0, 0]
    lab.check_nothing_stays(*hosts)


@pytest.mark.parametrize("sessions", [False, True], ids=["listener", "listener and sessions"])
def test_sshd_is_killed(sessions: bool, laboratory: Laboratory, campaign: Make) -> None:
    host = laboratory.add()
    lab = campaign([host.machine()], trials=4, concurrency=2)
    lab.leave.give(0, steps=1)
    manager = lab.manage()
    await_that(lambda: lab.reported() == [1, 1], "two trials running")
    host.stop_sshd(sessions=sessions)
    if sessions:
        await_that(lambda: "cannot be reached" in lab.trouble(), "that it is said")
        lab.leave.give(0, steps=2)
    else:
        lab.leave.give(0, steps=2)
        await_that(lambda: lab.reported() == [2, 2], "what comes through the session that is open")
    host.start_sshd()
    lab.finish(manager)
    lab.check()
    assert lab.attempts() == [0, 0, 0, 0]
    lab.check_nothing_stays(host)


def test_host_is_powered_off_for_good(laboratory: Laboratory, campaign: Make) -> None:
    gone, stays = (laboratory.add() for _ in range(2))
    machines = [host.machine(trialConcurrency=2) for host in (gone, stays)]
    lab = campaign(machines, trials=6, concurrency=4, lostAfter=3)
    lab.leave.give(0, steps=1)
    manager = lab.manage()
    await_that(lambda: lab.running() == 4, "four trials running")
    gone.power_off()
    lab.finish(manager)
    lab.check(gone=(gone,))
    assert sorted(lab.attempts()) == [0, 0, 0, 0, 1, 1]
    assert {note.host for note in lab.history() if note.what == "final"} == {stays.name}
    refused = lab.delete(status=5)
    assert f"{gone.address}: " in refused
    assert stays.address not in refused
    assert "--force" in refused
    lab.delete("--force")
    assert stays.run("ls", "-A", stays.home_there).split() == [".bashrc"]


def test_nothing_is_lost_when_it_is_the_network_here(laboratory: Laboratory, campaign: Make) -> None:
    hosts = [laboratory.add() for _ in range(2)]
    machines = [host.machine(trialConcurrency=2) for host in hosts]
    # Once one of them is back, the other has so long to come, too.
    lab = campaign(machines, trials=4, concurrency=4, lostAfter=15)
    lab.leave.give(0, steps=1)
    manager = lab.manage()
    await_that(lambda: lab.running() == 4, "four trials running")
    for host in hosts:
        host.cut()
    await_that(lambda: lab.trouble().count("cannot be reached") == 2, "that it is said")
    time.sleep(17)  # by now each has been away for longer than lostAfter
    for host in hosts:
        host.heal()
    lab.finish(manager)
    lab.check()
    assert lab.attempts() == [0, 0, 0, 0]
    lab.check_nothing_stays(*hosts)


def test_host_is_started_anew(laboratory: Laboratory, campaign: Make) -> None:
    host = laboratory.add()
    lab = campaign([host.machine()], trials=4, concurrency=2)
    lab.leave.give(0, steps=1)
    manager = lab.manage()
    await_that(lambda: lab.running() == 2, "two trials running")
    host.power_off()
    host.power_on()
    lab.finish(manager)
    lab.check()
    assert lab.attempts() == [1, 1, 0, 0]
    lab.check_nothing_stays(host)


@pytest.mark.parametrize("allowed", [10, 1])
def test_more_trials_than_sessions(allowed: int, laboratory: Laboratory, campaign: Make) -> None:
    host = laboratory.add(sshd={"MaxSessions": allowed})
    lab = campaign([host.machine()], trials=12, concurrency=12)
    lab.leave.give(0, steps=1)
    manager = lab.manage()
    await_that(lambda: lab.running() == 12, "twelve trials at once")
    lab.finish(manager)
    lab.check()
    lab.check_nothing_stays(host)


# Disks.


@pytest.mark.parametrize(("size", "what"), [("64k", "the runtime"), ("4m", "the code")])
def test_full_disk_sends_trials_elsewhere(
    size: str, what: str, laboratory: Laboratory, campaign: Make
) -> None:
    full, other = laboratory.add(tmpfs={"/small": f"size={size}"}), laboratory.add()
    machines = [full.machine(directory="/small/tune-trials"), other.machine(trialConcurrency=2)]
    code = {"data.bin": random.Random(1).randbytes(8 << 20)}
    lab = campaign(machines, trials=6, concurrency=4, code=code)
    lab.leave.give(0)
    manager = lab.manage()
    said = await_that(
        lambda: "No space left" in (said := lab.trouble()) and said, f"that there is no room for {what}"
    )
    assert full.address in said
    lab.finish(manager)
    lab.check()
    assert {note.host for note in lab.history()} == {other.name}
    full.resize("/small", "16m")  # what removes the rest needs room for itself
    lab.check_nothing_stays(full, other)
    assert full.run("ls", "-A", "/small").split() == []


@pytest.mark.slow
def test_disk_that_fills_up_in_mid_trial(laboratory: Laboratory, campaign: Make) -> None:
    host = laboratory.add(tmpfs={"/small": "size=8m"})
    machine = host.machine(directory="/small/tune-trials")
    lab = campaign([machine], trials=4, concurrency=2, steps=(400,), step_s=0.001)
    lab.leave.give(0, steps=100)
    manager = lab.manage()
    await_that(lambda: lab.reported() == [100, 100], "two trials in the middle")
    host.run("sh", "-c", "cat /dev/zero > /small/filler", check=False)
    lab.leave.give(4)
    seen = [(time.monotonic(), _metrics(lab))]  # when it changed last
    await_that(lambda: _rests(lab, seen, 2.0), "trials that wait for space")
    assert lab.running() == 2
    assert _metrics(lab) < 2 * 400
    assert manager.poll() is None
    host.run("rm", "/small/filler")
    lab.finish(manager)
    lab.check()
    assert set(lab.attempts()) == {0}
    lab.check_nothing_stays(host)
    assert host.run("ls", "-A", "/small").split() == []


def _rests(lab: Campaign, seen: list[tuple[float, int]], for_s: float) -> bool:
    """Whether no metric has come for so long."""
    if _metrics(lab) != seen[-1][1]:
        seen.append((time.monotonic(), _metrics(lab)))
    return time.monotonic() - seen[-1][0] > for_s


# Managers.


@pytest.mark.slow
def test_manager_is_killed_at_random_moments(laboratory: Laboratory, campaign: Make) -> None:
    hosts = [laboratory.add() for _ in range(3)]
    lab = campaign([host.machine() for host in hosts], trials=90, concurrency=6, step_s=0.02)
    moments = random.Random(5)
    for number in range(8):
        lab.leave.give(11 * (number + 1))  # so that there is something to do until the last kill
        manager = lab.manage()
        if number % 3 == 2:  # while it connects, replays, adopts
            time.sleep(moments.uniform(0.2, 1.2))
        else:  # while it launches
            seen = len(lab.history())
            await_that(lambda seen=seen: len(lab.history()) > seen + 4, "progress")
            time.sleep(moments.uniform(0.0, 0.2))
        lab.kill(manager)
    lab.finish()
    lab.check()
    # An attempt whose manager died between its record and its start is tried again, but has not run.
    assert set(Counter(note.trial for note in lab.history() if note.what == "start").values()) == {1}
    lab.check_nothing_stays(*hosts)


_KILLED = {-signal.SIGKILL, 128 + signal.SIGKILL}


def _killed_at(call: str, number: int) -> list[str]:
    """What starts a command that ends at a thread's n-th system call of that name."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    # Only the command is traced: what it starts is let go at exec.
    inject = f"inject={call}:signal=KILL:when={number}"
    return [strace, "-f", "-b", "execve", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", inject]


@pytest.mark.slow
def test_manager_is_killed_at_the_nth_sync(laboratory: Laboratory, campaign: Make) -> None:
    hosts = [laboratory.add() for _ in range(2)]
    lab = campaign([host.machine() for host in hosts], trials=60, concurrency=4)
    for number in (2, 3, 4, 5, 6, 7, 9, 12, 16):
        # What is recorded is synced, so that these are the moments around a trial's start.
        status = lab.manage(*_killed_at("fdatasync", number)).wait(timeout=120)
        assert status in _KILLED, f"it ended by itself: {lab.log()}"
    lab.finish()
    lab.check()
    assert set(Counter(note.trial for note in lab.history() if note.what == "start").values()) == {1}
    lab.check_nothing_stays(*hosts)


def test_manager_is_killed_while_code_is_sent(laboratory: Laboratory, campaign: Make) -> None:
    hosts = [laboratory.add() for _ in range(2)]
    random_bytes = random.Random(2).randbytes
    code = {f"data{number}.bin": random_bytes(2 << 20) for number in range(20)}
    lab = campaign([host.machine() for host in hosts], trials=4, concurrency=4, code=code)
    for number in (200, 300, 400):  # packets of up to 32 KiB that one thread sends
        killed = lab.manage(*_killed_at("sendto", number)).wait(timeout=120)
        assert killed in _KILLED, f"it ended by itself: {lab.log()}"
        assert 0 < _received(hosts[0]) + _received(hosts[1]) < 80 << 20, "let there be more code"
    assert lab.history() == []
    lab.finish()
    lab.check()
    for host in hosts:
        trees = host.run("sh", "-c", f"ls -d {host.home_there}/tune-trials/experiments/*/code/*").split()
        assert len(trees) == 1, "what came of it in pieces is still there"
    lab.check_nothing_stays(*hosts)


def _received(host: Host) -> int:
    """Bytes of code that are there."""
    pattern = "tune-trials/experiments/*/code"
    files = (path for folder in host.file("~").glob(pattern) for path in folder.rglob("*.bin*"))
    total = 0
    for path in files:
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # it is renamed at this moment
            continue
    return total


def test_manager_is_killed_in_a_burst_of_metrics(laboratory: Laboratory, campaign: Make) -> None:
    hosts = [laboratory.add() for _ in range(3)]
    machines = [host.machine() for host in hosts]
    lab = campaign(machines, trials=3, concurrency=3, steps=(10_000,))
    for seen in (500, 6_000, 15_000):
        lab.leave.give(0, steps=seen // 2)  # of each of three: more than is waited for
        manager = lab.manage()
        await_that(lambda seen=seen: _metrics(lab) > seen, "a part of the metrics")
        lab.kill(manager)
    lab.finish()
    lab.check()
    assert lab.attempts() == [0, 0, 0]
    lab.check_nothing_stays(*hosts)


def _metrics(lab: Campaign) -> int:
    with lab.record() as record:
        return sum(trial.intermediates for trial in record.trials())


def test_manager_that_never_comes_back(laboratory: Laboratory, campaign: Make) -> None:
    host = laboratory.add()
    lab = campaign([host.machine()], trials=2, concurrency=2, lease=4)
    lab.leave.give(0)
    manager = lab.manage()
    await_that(lambda: lab.running() == 2, "two trials running")
    lab.kill(manager)
    await_that(lambda: all(each.user == 0 for each in host.processes()), "the lease")
    lab.check_nothing_stays(host, force=True)
