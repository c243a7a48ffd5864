"""The loop of an experiment.

Level-triggered: each turn compares what should be running with what is, from the state in memory,
and acts on the difference. Every event that could change the answer wakes it, and it looks every
two seconds all the same, so a lost event costs two seconds and never the experiment.

Nothing is acted on before it is durable: a proposal is recorded before its trial is submitted, the
start of a trial before it may run, a result before the algorithm hears it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import string
import time
import traceback
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tune_core.algorithms.base import Advisor, Observation
from tune_core.errors import AlgorithmError, MetricError, NoMoreTrial, StoreError
from tune_core.experiment.advice import Advice
from tune_core.experiment.replay import Restored
from tune_core.experiment.settings import Limits, Settings
from tune_core.experiment.trials import LiveTrial, Outcome, judge
from tune_core.experiment.view import ExperimentView, TrialView
from tune_core.metric import Metric, orient
from tune_core.services.base import TrainingService
from tune_core.space import SearchSpace
from tune_core.store.directory import ExperimentDirectory
from tune_core.store.events import Event, MetricRow, TrialNote, dump_json
from tune_core.store.lock import HEARTBEAT_S, ManagerLock
from tune_core.store.writer import Writer
from tune_core.trial import Attempt, AttemptKey, Ending, Message, Parameters, TrialState

__all__ = ["Engine"]

_log = logging.getLogger(__name__)

_TICK_S = 2.0
_ID_ALPHABET = string.ascii_letters + string.digits

CarryOut = Callable[["Engine"], Awaitable[None]]
Notify = Callable[..., None]


class Engine:
    """Runs one experiment from wherever its record stands to the end of this manager.

    Implements `ServiceEvents` for its training service.

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
        self.writer = writer
        self.status = "INITIALIZED"
        self.reason = ""
        self._lock = lock
        self._notify = notify
        self._check_space = check_space
        self._restored = restored
        self._live = dict(restored.live)  # by sequence: not over, or its end is not recorded yet
        self._held = {key: trial for key, trial in self._live.items() if not trial.submitted}
        self._by_id = {trial.id: trial for trial in self._live.values()}
        self._submitted = len(self._live) - len(self._held)
        self._counts: Counter[TrialState] = Counter(
            {state: count for state, count in restored.counts.items() if state.is_terminal}
        )
        self._next_sequence = restored.next_sequence
        self._numbering = asyncio.Lock()  # held from taking a sequence number to using it
        self._exhausted = restored.exhausted
        self._best: TrialView | None = restored.best
        self._earlier_s = float(restored.state.get("run_seconds", 0.0))
        self._opened = self._beat = time.monotonic()
        self._overdue = 0.0  # when the next attempt may have run too long
        self._wake = asyncio.Event()
        condemned = {trial.key for trial in self._live.values() if trial.condemned}
        self._advice = Advice(advisor, writer.last_id, self._fail_algorithm, condemned)
        self._proposing = False
        self._failure = ""  # why no more trials are submitted; ends as ERROR
        self._stopping = ""
        self._abandoned = False
        self._troubles: dict[str, str] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._recent: deque[bool] = deque(maxlen=max(1, settings.brake_trials))

    # What others may ask of it, from the event loop.

    def stop(self, reason: str = "stopped by the user") -> None:
        """Cancel what runs, keep it for a resume, and end."""
        self._stopping = self._stopping or reason
        self.wake()

    def abandon(self) -> None:
        """End at once and leave the trials running; a later manager adopts them."""
        self.stop("abandoned by the user")
        self._abandoned = True

    def wake(self) -> None:
        """Look again: something may have changed."""
        self._wake.set()

    async def set_limits(self, limits: Limits) -> None:
        """Change concurrency, number of trials or duration from now on."""
        self.limits = limits
        await self._append(Event("limits", {"limits": asdict(limits)}))
        self.service.set_concurrency(limits.concurrency)
        self.wake()

    async def add_trial(self, parameters: Parameters) -> LiveTrial:
        """Run a configuration of the user's own; it counts towards the number of trials."""
        async with self._numbering:
            trial = self._new_trial(parameters, "user")
            event = Event("proposed", _proposal(trial, self._advice.heard), trial.sequence)
            await self._append(event)
            self._tell(event, self._advice.advisor.register_pending, trial.sequence, parameters)
            self._hold(trial)
        return trial

    def find(self, name: str) -> LiveTrial | None:
        """The unfinished trial with this id or sequence number."""
        return self._by_id.get(name) or (self._live.get(int(name)) if name.isdecimal() else None)

    def cancel(self, trial: LiveTrial, state: TrialState, reason: str) -> None:
        """End a trial; it reaches `state` when its processes are gone. WAITING: to run again."""
        if trial.cancel not in (None, TrialState.WAITING):
            return
        trial.cancel, trial.cancel_reason = state, reason
        data = {"attempt": trial.attempt, "state": state.value, "reason": reason}
        self._append(Event("stop_requested", data, trial.sequence))
        if trial.submitted:
            self._spawn(self.service.cancel(trial.key))
        else:
            self._held.pop(trial.sequence, None)
            self._end_trial(trial, Outcome(state, reason))

    async def import_observations(self, observations: Sequence[Observation]) -> None:
        """Give the algorithm evaluations made elsewhere."""
        event = Event("imported", {"observations": [asdict(item) for item in observations]})
        await self._append(event)
        self._tell(event, self._advice.advisor.import_data, list(observations))
        self._exhausted = False

    async def update_search_space(self, space: SearchSpace) -> None:
        """Search another space from now on.

        Raises:
            SearchSpaceError: The algorithm cannot take it; nothing has changed.
        """
        self._check_space(space)
        async with self._numbering:
            await self._advice.call(self._advice.advisor.update_search_space, space)
            event = Event("space", {"search_space": space.raw})
            await self._append(event)
            self.search_space = space
            self._advice.heard = event.id
            self._advice.declined = self._exhausted = False
        self.wake()

    def view(self) -> ExperimentView:
        """A picture of this moment."""
        counts = Counter(self._counts)
        counts.update(trial.state for trial in self._live.values())
        return ExperimentView(
            id=self.directory.id,
            name=self.settings.name,
            directory=self.directory.path,
            mode=self.settings.mode,
            status=self.status,
            reason=self.reason,
            trouble="; ".join(filter(None, self._troubles.values())),
            activity=self._activity(),
            counts=counts,
            best=self._best,
            running=tuple(trial.view() for trial in self._live.values()),
            concurrency=self.limits.concurrency,
            max_trials=self.limits.trials,
            max_duration_s=self.limits.duration_s,
            elapsed_s=self._elapsed_s(),
        )

    # The life of a manager.

    async def run(self, carry_out: CarryOut | None = None) -> str:
        """Run until the experiment is done, stopped or in error; returns its status.

        Args:
            carry_out: Called each turn to carry out what others asked for through the record.
        """
        self._observe("tune_experiment_started")
        try:
            self._take_up()
            while not self._turn():
                if carry_out is not None:
                    await carry_out(self)
                if not self._wake.is_set():
                    await self._sleep()
                self._wake.clear()
        finally:
            self._advice.end()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self.writer.append(run_seconds=self._elapsed_s())
        self._observe("tune_experiment_ended")
        return self.status

    def _take_up(self) -> None:
        """Adopt what an earlier manager left running, and end what it was ending."""
        for sequence, identity in self._restored.running.items():
            self._spawn(self._adopt(self._live[sequence], identity))
        for trial in list(self._live.values()):
            if trial.cancel is not None and not trial.submitted:
                self._held.pop(trial.sequence)
                self._end_trial(trial, Outcome(trial.cancel, trial.cancel_reason))
            elif trial.cancel is None and trial.condemned:
                self.cancel(trial, TrialState.EARLY_STOPPED, _ASSESSED)

    def _turn(self) -> bool:
        """Compare and act. Returns True when this manager's work is over."""
        now = time.monotonic()
        if self._abandoned:
            self._set_status("STOPPED", f"{self._submitted} trials were left running; resume adopts them")
            return True
        if now - self._beat >= HEARTBEAT_S:
            self._beat = now
            self._lock.beat()
            self.writer.append(urgent=False, run_seconds=self._elapsed_s())
        if self.settings.trial_duration_s is not None and now >= self._overdue:
            self._end_overlong(now, self.settings.trial_duration_s)
        status, reason = self._decide()
        self._set_status(status, reason)
        if status == "STOPPING":
            self._interrupt()
        if self._may_submit():
            self._submit_held()
        if status == "RUNNING" and not self._proposing and not self._advice.declined and self._room() > 0:
            self._proposing = True
            self._spawn(self._propose())
        return self._submitted == 0 and not self._proposing and self._is_over()

    def _decide(self) -> tuple[str, str]:
        """What the experiment is by now, and why."""
        if self._stopping:
            return "STOPPING", self._stopping
        if self._failure:
            return "ERROR", self._failure
        if self._is_overtime():
            return "NO_MORE_TRIAL", _OVERTIME
        if self.limits.trials is not None and self._next_sequence >= self.limits.trials:
            return "NO_MORE_TRIAL", f"maxTrialNumber: {self.limits.trials} trials were submitted"
        if self._exhausted:
            return "TUNER_NO_MORE_TRIAL", f"{self._advice.name} has no more configurations to try"
        return "RUNNING", ""

    def _may_submit(self) -> bool:
        """Whether trials that are in the record may start: retries and the user's own, too."""
        return not (self._stopping or self._failure or self._is_overtime())

    def _is_over(self) -> bool:
        """With nothing submitted and nothing being proposed: is there anything left to do?"""
        if self.status == "STOPPING":
            self._set_status("STOPPED", self._stopping)
        elif self.status in ("NO_MORE_TRIAL", "TUNER_NO_MORE_TRIAL"):
            if self._live and self.reason != _OVERTIME:
                return False  # a retry, or a trial of the user's own, is about to be submitted
            self._set_status("DONE", self.reason)
        elif self.status == "RUNNING":
            if self._advice.declined and not self._live:
                name = self._advice.name
                self._advice.fail(
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
            wait_s = min(wait_s, self.limits.duration_s - self._elapsed_s())
        try:
            await asyncio.wait_for(self._wake.wait(), max(0.001, wait_s))
        except TimeoutError:
            return  # nothing happened: look all the same

    def _interrupt(self) -> None:
        for trial in self._live.values():
            if trial.submitted and trial.cancel is None:
                self.cancel(trial, TrialState.WAITING, f"{self._stopping}; it runs again on resume")

    # Proposing and submitting.

    def _room(self) -> int:
        return self.limits.concurrency - len(self._live)

    async def _propose(self) -> None:
        """Fill the free slots, one at a time: the algorithm's calls are serial anyway."""
        try:
            while self._room() > 0 and self._decide()[0] == "RUNNING":
                async with self._numbering:
                    parameters, heard = await self._advice.propose(self._next_sequence)
                    if parameters is not None:
                        self._record_proposal(parameters, heard)
                    elif self._advice.declined:
                        return
        except NoMoreTrial as err:
            _log.info("no more trials: %s", err)
            self._exhausted = True
            self._append(Event("exhausted"))
        except Exception as err:  # noqa: BLE001 (a plugin's code; shown with its traceback)
            self._advice.fail(err)
        finally:
            self._proposing = False
            self.wake()

    def _record_proposal(self, parameters: Parameters, heard: int) -> None:
        trial = self._new_trial(parameters, "algorithm")
        self._live[trial.sequence] = trial
        self._by_id[trial.id] = trial

        def recorded() -> None:
            self._hold(trial)
            if self._may_submit():
                self._submit_held()  # at once, rather than after a turn

        self._append(Event("proposed", _proposal(trial, heard), trial.sequence), then=recorded)

    def _new_trial(self, parameters: Parameters, source: str) -> LiveTrial:
        sequence = self._next_sequence
        self._next_sequence += 1
        ids = self._restored.trial_ids
        while (name := "".join(secrets.choice(_ID_ALPHABET) for _ in range(5))) in ids:
            pass
        ids.add(name)
        return LiveTrial(sequence, name, parameters, source)

    def _hold(self, trial: LiveTrial) -> None:
        """The trial is in the record and waits for a slot."""
        self._live[trial.sequence] = self._held[trial.sequence] = trial
        self._by_id[trial.id] = trial
        self.wake()

    def _submit_held(self) -> None:
        """Hand trials to the platform, oldest first, while there are slots."""
        for trial in list(self._held.values()):
            if self._submitted >= self.limits.concurrency:
                self.waiting(trial.key, f"all {self.limits.concurrency} slots of trialConcurrency are taken")
                continue
            del self._held[trial.sequence]
            self._submitted += 1
            trial.submitted = True
            trial.reason = ""
            self._spawn(self._submit(trial))

    async def _submit(self, trial: LiveTrial) -> None:
        await self._hand_over(trial, self.service.submit(self._attempt(trial)))

    async def _adopt(self, trial: LiveTrial, identity: Mapping[str, Any]) -> None:
        await self._hand_over(trial, self.service.adopt(self._attempt(trial), identity, trial.last_sequence))

    async def _hand_over(self, trial: LiveTrial, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
            if trial.cancel is not None:
                # Asked for while the service did not know the trial yet and so ignored it.
                await self.service.cancel(trial.key)
        except Exception as err:
            # In the record it waits or runs as before, and a later manager takes it up again.
            if trial.submitted:
                trial.submitted = False
                self._submitted -= 1
            self._note(trial, f"{type(self.service).__name__} failed: {err}")
            raise

    def _attempt(self, trial: LiveTrial) -> Attempt:
        return Attempt(
            key=trial.key,
            experiment_id=self.directory.id,
            sequence=trial.sequence,
            parameters=trial.parameters,
            command=self.settings.command,
            code_directory=self.settings.code_directory,
            directory=self.directory.attempt(trial.id, trial.attempt),
            gpu_number=self.settings.gpu_number,
            environment=self.settings.environment,
        )

    # ServiceEvents: what the platform tells.

    def waiting(self, key: AttemptKey, reason: str) -> None:
        trial = self._at(key)
        if trial is not None:
            self._note(trial, reason)

    async def started(self, key: AttemptKey, identity: Mapping[str, Any]) -> bool:
        trial = self._at(key)
        if trial is None or trial.cancel is not None:
            return False
        await self._append(
            Event("started", {"attempt": key.number, "identity": dict(identity)}, trial.sequence)
        )
        if self._at(key) is None or trial.cancel is not None:
            return False
        trial.started = time.monotonic()
        trial.state = TrialState.RUNNING
        trial.reason = ""
        if self.settings.trial_duration_s is not None:
            self._overdue = min(self._overdue, trial.started + self.settings.trial_duration_s)
            self.wake()
        self._observe("tune_trial_started", trial)
        return True

    async def messages(self, key: AttemptKey, messages: Sequence[Message]) -> None:
        trial = self._at(key)
        if trial is None:
            return
        rows: list[MetricRow] = []
        told: list[tuple[str, Metric]] = []
        for message in messages:
            if message.sequence <= trial.last_sequence:
                continue  # delivered before
            trial.last_sequence = message.sequence
            metric = self._read(trial, message)
            if metric is not None:
                rows.append(self._metric_row(trial, message, metric))
                told.append((message.kind, metric))
        if rows:
            last = rows[-1].id
            is_final = any(row.final for row in rows)
            self._append(
                *rows,
                _progress(trial),
                urgent=is_final,
                then=lambda: self._metrics_recorded(trial, key, last, told),
            )
        await self.writer.room()
        await self._advice.room()

    def ended(self, key: AttemptKey, ending: Ending) -> None:
        trial = self._at(key)
        if trial is None:
            return
        if trial.submitted:
            trial.submitted = False
            self._submitted -= 1
        outcome = judge(trial, ending, self.settings)
        if outcome.state is TrialState.WAITING:
            self._end_attempt(trial, outcome)
        else:
            self._end_trial(trial, outcome)

    def trouble(self, summary: str) -> None:
        self._set_trouble("platform", summary)

    def record_trouble(self, summary: str) -> None:
        """The writer's report; while there is one nothing becomes durable, so nothing starts."""
        self._set_trouble("record", summary)

    # What becomes of it.

    def _read(self, trial: LiveTrial, message: Message) -> Metric | None:
        """Check a message and keep what it says; None if there is nothing to record."""
        is_final = message.kind == "final"
        if is_final and (trial.final is not None or trial.refused):
            _log.warning("trial %s reported a second final result; the first one counts", trial.id)
            return None
        try:
            metric = Metric.read(message.value)
        except MetricError as err:
            _log.warning("trial %s: its %s result was refused: %s", trial.id, message.kind, err)
            if is_final:
                trial.refused = str(err)
            else:
                self._note(trial, f"an intermediate result was refused: {err}")
            return None
        if is_final:
            trial.final = metric
        else:
            trial.intermediates += 1
            trial.last_value = metric.default
        return metric

    def _metric_row(self, trial: LiveTrial, message: Message, metric: Metric) -> MetricRow:
        plain = metric.is_finite and not isinstance(metric.whole, dict)
        return MetricRow(
            id=self.writer.number(),
            time=message.time,
            trial=trial.sequence,
            attempt=trial.attempt,
            sequence=message.sequence,
            final=int(message.kind == "final"),
            value=metric.default if metric.is_finite else None,
            data=None if plain else dump_json(metric.whole),
        )

    def _metrics_recorded(
        self, trial: LiveTrial, key: AttemptKey, last: int, told: list[tuple[str, Metric]]
    ) -> None:
        for kind, metric in told:
            self._observe("tune_metric_reported", trial, kind=kind, value=metric.whole)
        if self._failure or not self._advice.advisor.listens:
            return
        values = [
            orient(metric.default, self.settings.mode)
            for kind, metric in told
            if kind == "intermediate" and metric.is_finite
        ]
        if not values:
            return
        verdict = self._advice.assess(last, key, trial.sequence, values)
        verdict.add_done_callback(lambda done: self._assessed(done, key))

    def _assessed(self, done: asyncio.Future[bool], key: AttemptKey) -> None:
        trial = self._at(key)
        if done.exception() is None and not done.result() and trial is not None and trial.cancel is None:
            trial.condemned = True
            self.cancel(trial, TrialState.EARLY_STOPPED, _ASSESSED)
        self.wake()

    def _end_attempt(self, trial: LiveTrial, outcome: Outcome) -> None:
        """The attempt is over, the trial is not: it will run again."""
        interrupted = trial.cancel is TrialState.WAITING
        _log.info("trial %s, attempt %d: %s; it will run again", trial.id, trial.attempt, outcome.reason)
        trial.losses += outcome.lost and not interrupted
        trial.failures += not outcome.lost
        data = {
            "attempt": trial.attempt,
            "reason": outcome.reason,
            "lost": outcome.lost,
            "interrupted": interrupted,
        }
        trial.next_attempt(outcome.reason)
        event = Event("attempt_ended", data, trial.sequence)

        def recorded() -> None:
            self._tell(event, self._advice.advisor.trial_restart, trial.sequence)
            self._hold(trial)

        self._append(event, then=recorded)
        self.wake()

    def _end_trial(self, trial: LiveTrial, outcome: Outcome) -> None:
        del self._by_id[trial.id]
        view = trial.view(outcome)
        data = {
            "state": outcome.state.value,
            "reason": outcome.reason,
            "value": outcome.value,
            "metric": outcome.metric,
            "advised": outcome.advised,
        }
        event = Event("ended", data, trial.sequence)
        self._brake(view)

        def recorded() -> None:
            # Only now is its slot free: at concurrency 1 the next proposal has heard this result.
            del self._live[trial.sequence]
            self._counts[outcome.state] += 1
            self._keep_best(view)
            trial_end = self._advice.advisor.trial_end
            self._tell(event, trial_end, trial.sequence, outcome.state, outcome.advised)
            self._observe("tune_trial_ended", trial, view)

        self._append(event, then=recorded)
        self.wake()

    def _keep_best(self, view: TrialView) -> None:
        best = self._best
        if view.value is None:
            return
        if best is None or best.value is None or self._loss(view.value) < self._loss(best.value):
            self._best = view

    def _loss(self, value: float) -> float:
        return orient(value, self.settings.mode)

    def _brake(self, trial: TrialView) -> None:
        if not self.settings.brake_trials:
            return
        within_s = self.settings.brake_within_s
        quick = trial.duration_s is None or trial.duration_s < within_s
        self._recent.append(trial.state is TrialState.FAILED and quick)
        if len(self._recent) == self._recent.maxlen and all(self._recent):
            self._fail(
                f"the last {len(self._recent)} trials failed within {within_s:g} s of their start,"
                f" so no more are submitted; the last one: {trial.reason}"
            )

    def _end_overlong(self, now: float, limit_s: float) -> None:
        self._overdue = now + limit_s
        for trial in list(self._live.values()):
            if trial.started is None or trial.cancel is not None:
                continue
            if now - trial.started >= limit_s:
                self.cancel(
                    trial, TrialState.EARLY_STOPPED, f"ran longer than maxTrialDuration ({limit_s:g} s)"
                )
            else:
                self._overdue = min(self._overdue, trial.started + limit_s)

    # Small things.

    def _append(
        self, *rows: Any, urgent: bool = True, then: Callable[[], None] | None = None
    ) -> asyncio.Future[None]:
        """Append to the record; `then` is called once it is durable, in the order of the record."""
        recorded = self.writer.append(*rows, urgent=urgent)

        def look(done: asyncio.Future[None]) -> None:
            error = done.exception()
            if error is not None:
                self._fail(f"the record failed: {error}")
            elif then is not None:
                then()

        recorded.add_done_callback(look)
        return recorded

    def _tell(self, event: Event, call: Callable[..., None], *arguments: Any) -> None:
        self._advice.tell(event.id, call, *arguments)
        self.wake()

    def _note(self, trial: LiveTrial, reason: str) -> None:
        if trial.reason != reason:
            trial.reason = reason
            self._append(TrialNote(trial.sequence, "reason", reason), urgent=False)

    def _at(self, key: AttemptKey) -> LiveTrial | None:
        trial = self._by_id.get(key.trial_id)
        return trial if trial is not None and trial.attempt == key.number else None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, StoreError):
            _log.error("the training service failed", exc_info=error)
            self._fail(f"{type(self.service).__name__} failed: {error}")

    def _fail(self, reason: str) -> None:
        self._failure = self._failure or reason
        self.wake()

    def _fail_algorithm(self, error: BaseException) -> None:
        name = type(error).__name__
        trace = "".join(traceback.format_exception(error))
        _log.error("%s failed\n%s", self._advice.name, trace)
        self._append(Event("failed", {"summary": f"{name}: {error}", "traceback": trace}))
        self._fail(f"{self._advice.name} failed: {name}: {error}")

    def _set_trouble(self, source: str, summary: str) -> None:
        if self._troubles.get(source, "") == summary:
            return
        self._troubles[source] = summary
        if summary:
            _log.warning("%s", summary)
        self.writer.append(urgent=False, trouble="; ".join(filter(None, self._troubles.values())))

    def _set_status(self, status: str, reason: str) -> None:
        if (status, reason) != (self.status, self.reason):
            self.status, self.reason = status, reason
            _log.info("status %s%s", status, f": {reason}" if reason else "")
            event = Event("status", {"status": status, "reason": reason})
            self._append(event)

    def _observe(
        self, hook: str, trial: LiveTrial | None = None, view: TrialView | None = None, **more: Any
    ) -> None:
        if self._notify is None:
            return
        if trial is not None:
            more["trial"] = view or trial.view()
        self._notify(hook, experiment=self.view(), **more)

    def _is_overtime(self) -> bool:
        return self.limits.duration_s is not None and self._elapsed_s() >= self.limits.duration_s

    def _elapsed_s(self) -> float:
        return self._earlier_s + time.monotonic() - self._opened

    def _activity(self) -> str:
        name = self._advice.name
        if self._advice.busy_s >= 1.0:
            return f"{name} has been computing for {self._advice.busy_s:.0f} s"
        if self._advice.declined:
            return f"{name} waits for results before it proposes more"
        if self._held and self._submitted >= self.limits.concurrency:
            return f"{len(self._held)} trials wait for a slot"
        return ""


_ASSESSED = "stopped early by the assessor"
_OVERTIME = "maxExperimentDuration is over"


def _proposal(trial: LiveTrial, after: int) -> dict[str, Any]:
    return {"id": trial.id, "parameters": trial.parameters, "source": trial.source, "after": after}


def _progress(trial: LiveTrial) -> TrialNote:
    value = trial.last_value
    finite = value if value is not None and math.isfinite(value) else None
    return TrialNote(trial.sequence, "progress", (trial.intermediates, finite))
