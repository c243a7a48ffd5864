"""The loop of an experiment.

Level-triggered: each turn compares what should be running with what is, from the state in memory,
and acts on the difference. Every event that could change the answer wakes it, and it looks every
two seconds all the same, so a lost event costs two seconds and never the experiment.

Nothing is acted on before it is durable: a proposal is recorded before its trial is submitted, the
start of a trial before it may run, a result before the algorithm hears it. What is to be tried comes
from `proposals`, goes to the platform through `dispatch`, and what the platform tells comes in through
`reception`, each a module beside this one.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict
from typing import Any

from tune_core.algorithms.base import Advisor
from tune_core.errors import AlgorithmError, StoreError, TuneError
from tune_core.experiment.advice import Advice
from tune_core.experiment.dispatch import Dispatch
from tune_core.experiment.journal import Journal
from tune_core.experiment.proposals import Proposals
from tune_core.experiment.reception import ASSESSED, Reception
from tune_core.experiment.replay import Restored
from tune_core.experiment.roster import Roster
from tune_core.experiment.settings import Limits, Settings
from tune_core.experiment.trials import LiveTrial, Outcome
from tune_core.experiment.view import ExperimentView, TrialView
from tune_core.services.base import TrainingService
from tune_core.space import SearchSpace
from tune_core.store.directory import ExperimentDirectory
from tune_core.store.lock import HEARTBEAT_S, ManagerLock
from tune_core.store.writer import Writer
from tune_core.trial import AttemptKey, TrialState

__all__ = ["Engine", "Notify"]

_log = logging.getLogger(__name__)

_TICK_S = 2.0
# How long the end waits for an algorithm that still hears what happened, or still thinks.
_HEARING_S = 10.0
_THINKING_S = 1.0

CarryOut = Callable[["Engine"], Awaitable[None]]
Notify = Callable[..., None]


class Engine:
    """Runs one experiment from wherever its record stands to the end of this manager.

    Args:
        advisor: Seeded, and with its calls replayed if the experiment goes on.
        restored: What the record said; for a new experiment that is next to nothing.
        notify: Calls observers: hook name, then its arguments. Never raises. None: there are none.
        check_space: Raises SearchSpaceError for what the algorithm does not take.
    """

    def __init__(
        self,
        directory: ExperimentDirectory,
        settings: Settings,
        search_space: SearchSpace,
        advisor: Advisor,
        service: TrainingService,
        writer: Writer,
        restored: Restored,
        lock: ManagerLock,
        notify: Notify | None = None,
        check_space: Callable[[SearchSpace], None] = lambda _: None,
    ) -> None:
        self.directory = directory
        self.settings = settings
        self.limits = settings.limits
        self.search_space = search_space
        self.service = service
        self.check_space = check_space
        self.status = "INITIALIZED"
        self.reason = ""
        self.roster = Roster(restored, settings.objectives)
        self.journal = Journal(writer, lambda error: self._fail(f"the record failed: {error}"))
        condemned = {trial.key for trial in self.roster.live.values() if trial.condemned}
        self.advice = Advice(advisor, writer.last_id, self._fail_algorithm, condemned)
        self.reception = Reception(self)
        self.dispatch = Dispatch(self)
        initial = settings.initial_points[restored.initial_points :]
        self.proposals = Proposals(self, initial, restored.exhausted)
        self._lock = lock
        self._notify = notify
        self._adoptable = restored.running
        self._earlier_s = float(restored.state.get("run_seconds", 0.0))
        self._opened = self._beat = time.monotonic()
        self._overdue = 0.0  # when the next attempt may have run too long
        self._wake = asyncio.Event()
        self._failure = ""  # why no more trials are submitted; ends as ERROR
        self._stopping = ""
        self._troubles: dict[str, str] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._recent: deque[bool] = deque(maxlen=max(1, settings.brake_trials))

    # What others may ask of it, from the event loop.

    def stop(self, reason: str = "stopped by the user") -> None:
        """Cancel what runs, keep it for a resume, and end."""
        self._stopping = self._stopping or reason
        self.wake()

    def wake(self) -> None:
        """Look again: something may have changed."""
        self._wake.set()

    async def set_limits(self, limits: Limits) -> None:
        """Change concurrency, number of trials or duration from now on."""
        self.limits = limits
        await self.journal.event("limits", limits=asdict(limits))
        self.service.set_concurrency(limits.concurrency)
        self.wake()

    @property
    def adoptable(self) -> frozenset[AttemptKey]:
        """Attempts that an earlier manager left running, before `run` has taken them up."""
        return frozenset(self.roster.live[sequence].key for sequence in self._adoptable)

    def find(self, name: str) -> LiveTrial | None:
        """The unfinished trial with this id or sequence number."""
        return self.roster.find(name)

    async def follow(self, name: str, attempt: int) -> None:
        """Bring what an attempt prints while it runs; nothing if it does not run."""
        trial = self.find(name)
        if trial is not None and trial.attempt == attempt and trial.state is TrialState.RUNNING:
            await self.service.follow(trial.key)

    def cancel(self, trial: LiveTrial, state: TrialState, reason: str) -> None:
        """End a trial; it reaches `state` when its processes are gone. WAITING: to run again."""
        if trial.cancel not in (None, TrialState.WAITING):
            return
        trial.cancel, trial.cancel_reason = state, reason
        recorded = self.journal.event(
            "stop_requested", trial, attempt=trial.attempt, state=state.value, reason=reason
        )
        if trial.submitted:
            self.dispatch.end(trial, recorded)
        elif trial.sequence in self.roster.held:
            self.reception.end_trial(trial, Outcome(state, reason))

    def view(self) -> ExperimentView:
        """A picture of this moment."""
        return ExperimentView(
            id=self.directory.id,
            name=self.settings.name,
            directory=self.directory.path,
            objectives=self.settings.objectives,
            status=self.status,
            reason=self.reason,
            trouble="; ".join(filter(None, self._troubles.values())),
            activity=self._activity(),
            counts=self.roster.counts(),
            best=self.roster.best,
            front=tuple(self.roster.front),
            running=tuple(trial.view() for trial in self.roster.live.values()),
            concurrency=self.limits.concurrency,
            max_trials=self.limits.trials,
            max_duration_s=self.limits.duration_s,
            elapsed_s=self.elapsed_s(),
        )

    # The life of a manager.

    async def run(self, carry_out: CarryOut | None = None) -> str:
        """Run until the experiment is done, stopped or in error; returns its status.

        Args:
            carry_out: Called each turn to carry out what others asked for through the record.
        """
        self.observe("tune_experiment_started")
        try:
            self._take_up()
            while not self._turn():
                if carry_out is not None:
                    await carry_out(self)
                if not self._wake.is_set():
                    await self._sleep()
                self._wake.clear()
        finally:
            thinking = self.proposals.under_way  # about what nobody will try: it was stopped, or failed
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            recorded = self.journal.writer.append(run_seconds=self.elapsed_s())
            # Everything before it is told by then; a disk that is full is not waited for.
            await asyncio.wait({recorded}, timeout=5.0)
            await self.advice.end(within_s=_THINKING_S if thinking else _HEARING_S)
        if self._failure and self.status == "DONE":
            self._set_status("ERROR", self._failure)  # over what the algorithm heard last
        self.observe("tune_experiment_ended")
        return self.status

    def _take_up(self) -> None:
        """Adopt what an earlier manager left running, and end what it was ending."""
        for sequence, identity in self._adoptable.items():
            self.dispatch.adopt(self.roster.live[sequence], identity)
        for trial in list(self.roster.live.values()):
            if trial.cancel is not None and not trial.submitted:
                self.reception.end_trial(trial, Outcome(trial.cancel, trial.cancel_reason))
            elif trial.cancel is None and trial.condemned:
                self.cancel(trial, TrialState.EARLY_STOPPED, ASSESSED)

    def _turn(self) -> bool:
        """Compare and act. Returns True when this manager's work is over."""
        now = time.monotonic()
        if now - self._beat >= HEARTBEAT_S:
            self._beat = now
            self._beat_lock()
            self.journal.writer.append(urgent=False, run_seconds=self.elapsed_s())
        if self.settings.trial_duration_s is not None and now >= self._overdue:
            self._end_overlong(now, self.settings.trial_duration_s)
        status, reason = self._decide()
        self._set_status(status, reason)
        if status == "STOPPING":
            self._interrupt()
        if self.may_submit():
            self.dispatch.submit_held()
        if status == "RUNNING":
            self.proposals.fill()
        # A proposal under way is nobody's yet: the algorithm may take for ever, and `stop` must not.
        thinking = self.proposals.under_way and not (self._stopping or self._failure)
        return self.roster.submitted == 0 and not thinking and self._is_over()

    def _decide(self) -> tuple[str, str]:
        """What the experiment is by now, and why."""
        if self._stopping:
            return "STOPPING", self._stopping
        if self._failure:
            return "ERROR", self._failure
        if self._is_overtime():
            return "NO_MORE_TRIAL", _OVERTIME
        if self.limits.trials is not None and self.roster.next_sequence >= self.limits.trials:
            return "NO_MORE_TRIAL", f"maxTrialNumber: {self.limits.trials} trials were submitted"
        if self.proposals.exhausted:
            return "TUNER_NO_MORE_TRIAL", f"{self.advice.name} has no more configurations to try"
        return "RUNNING", ""

    def _is_over(self) -> bool:
        """With nothing submitted and nothing being proposed: is there anything left to do?"""
        if self.status == "STOPPING":
            self._set_status("STOPPED", self._stopping)
        elif self.status in ("NO_MORE_TRIAL", "TUNER_NO_MORE_TRIAL"):
            left = len(self.roster.held) if self.reason == _OVERTIME else 0
            if len(self.roster.live) > left:
                return False  # a trial is about to be submitted, or its start or end is being recorded
            for trial in self.roster.held.values():
                self.journal.reason(trial, f"{_OVERTIME} before it could start; it runs on resume")
            self._set_status("DONE", self.reason)
        elif self.status == "RUNNING":
            if self.advice.declined and not self.roster.live:
                name = self.advice.name
                self.advice.fail(
                    AlgorithmError(
                        f"{name} has nothing to propose although no trial is running; it would wait for ever"
                    )
                )
            return False
        return True

    async def _sleep(self) -> None:
        now = time.monotonic()
        wait_s = _TICK_S
        if self.settings.trial_duration_s is not None:
            wait_s = min(wait_s, self._overdue - now)
        if self.limits.duration_s is not None and not self._is_overtime():
            wait_s = min(wait_s, self.limits.duration_s - self.elapsed_s())
        look = asyncio.get_running_loop().call_later(max(0.001, wait_s), self.wake)
        await self._wake.wait()
        look.cancel()

    def _interrupt(self) -> None:
        for trial in self.roster.live.values():
            if trial.submitted and trial.cancel is None:
                self.cancel(trial, TrialState.WAITING, f"{self._stopping}; it runs again on resume")

    # What `proposals` and `dispatch` ask.

    def room(self) -> int:
        """Slots that are free."""
        return self.limits.concurrency - len(self.roster.live)

    def may_propose(self) -> bool:
        """Whether the algorithm may be asked for another trial."""
        return self._decide()[0] == "RUNNING"

    def may_submit(self) -> bool:
        """Whether trials that are in the record may start: retries and the user's own, too."""
        return not (self._stopping or self._failure or self._is_overtime())

    def platform_failed(self, error: BaseException) -> str:
        """What to say of an exception of the training service."""
        name = f"the {self.settings.platform} platform" if self.settings.platform else "the platform"
        what = str(error) if isinstance(error, TuneError) else f"{type(error).__name__}: {error}"
        return f"{name} failed: {what}"

    # What `reception` passes on.

    def trial_started(self, trial: LiveTrial) -> None:
        """An attempt runs, and its start is durable."""
        if self.settings.trial_duration_s is not None and trial.started is not None:
            self._overdue = min(self._overdue, trial.started + self.settings.trial_duration_s)
            self.wake()  # to sleep no longer than that
        self.observe("tune_trial_started", trial)

    def trial_ended(self, trial: TrialView) -> None:
        """A trial is over; too many quick failures in a row are the end of submitting."""
        self.wake()
        if not self.settings.brake_trials:
            return
        within_s = self.settings.brake_within_s
        quick = trial.duration_s is None or trial.duration_s < within_s
        in_vain = trial.state is TrialState.FAILED or (
            trial.state is TrialState.SUCCEEDED and trial.value is None
        )
        self._recent.append(in_vain and quick)
        if len(self._recent) == self._recent.maxlen and all(self._recent):
            what = "failed" if trial.state is TrialState.FAILED else "ended without a result"
            self._fail(
                f"the last {len(self._recent)} trials {what} within {within_s:g} s of their start,"
                f" so no more are submitted; the last one: {trial.reason}"
            )

    def observe(self, hook: str, trial: LiveTrial | TrialView | None = None, **more: Any) -> None:
        """Tell the observers, if there are any."""
        if self._notify is None:
            return
        if trial is not None:
            more["trial"] = trial.view() if isinstance(trial, LiveTrial) else trial
        self._notify(hook, experiment=self.view(), **more)

    def set_trouble(self, source: str, summary: str) -> None:
        """What is wrong although the experiment goes on; empty when it is over."""
        if self._troubles.get(source, "") == summary:
            return
        self._troubles[source] = summary
        if summary:
            _log.warning("%s", summary)
        troubles = "; ".join(filter(None, self._troubles.values()))
        self.journal.writer.append(urgent=False, trouble=troubles)

    # Small things.

    def _beat_lock(self) -> None:
        try:
            self._lock.beat()
        except OSError as err:
            self.set_trouble("lock", f"the lock file cannot be written: {err}")
        else:
            self.set_trouble("lock", "")

    def _end_overlong(self, now: float, limit_s: float) -> None:
        self._overdue = now + limit_s
        for trial in list(self.roster.live.values()):
            if trial.started is None or trial.cancel is not None:
                continue
            if now - trial.started >= limit_s:
                self.cancel(
                    trial, TrialState.EARLY_STOPPED, f"ran longer than maxTrialDuration ({limit_s:g} s)"
                )
            else:
                self._overdue = min(self._overdue, trial.started + limit_s)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the loop; its exception is the training service's failure."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, StoreError):
            _log.error("the training service failed", exc_info=error)
            self._fail(self.platform_failed(error))

    def _fail(self, reason: str) -> None:
        self._failure = self._failure or reason
        self.wake()

    def _fail_algorithm(self, error: BaseException) -> None:
        name = type(error).__name__
        trace = "".join(traceback.format_exception(error))
        _log.error("%s failed\n%s", self.advice.name, trace)
        self.journal.event("failed", summary=f"{name}: {error}", traceback=trace)
        frames = traceback.extract_tb(error.__traceback__)
        where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
        self._fail(f"{self.advice.name} failed: {name}: {error}{where}")

    def _set_status(self, status: str, reason: str) -> None:
        if (status, reason) != (self.status, self.reason):
            self.status, self.reason = status, reason
            _log.info("status %s%s", status, f": {reason}" if reason else "")
            self.journal.event("status", status=status, reason=reason)

    def _is_overtime(self) -> bool:
        return self.limits.duration_s is not None and self.elapsed_s() >= self.limits.duration_s

    def elapsed_s(self) -> float:
        """How long the experiment has been managed, over all its managers."""
        return self._earlier_s + time.monotonic() - self._opened

    def _activity(self) -> str:
        name = self.advice.name
        if self.advice.busy_s >= 1.0:
            return f"{name} has been computing for {self.advice.busy_s:.0f} s"
        if self.advice.declined:
            return f"{name} waits for results before it proposes more"
        if self.roster.held and self.roster.submitted >= self.limits.concurrency:
            return f"{len(self.roster.held)} trials wait for a slot"
        return ""


_OVERTIME = "maxExperimentDuration is over"
