"""What the platform tells, and what becomes of it: starts, messages and ends of attempts."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tune_core.errors import MetricError
from tune_core.experiment.trials import LiveTrial, Outcome, judge
from tune_core.json import dump_json
from tune_core.metric import Metric, orient
from tune_core.store.events import Event, MetricRow, TrialNote
from tune_core.trial import AttemptKey, Ending, Message, TrialState

if TYPE_CHECKING:
    from tune_core.experiment.engine import Engine

__all__ = ["ASSESSED", "Reception"]

ASSESSED = "stopped early by the assessor"

_log = logging.getLogger(__name__)


class Reception:
    """The engine's ear towards its platform: implements `ServiceEvents`.

    Everything is recorded first, and told to the algorithm once that is durable.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._settings = engine.settings
        self._roster = engine.roster
        self._journal = engine.journal
        self._advice = engine.advice

    def waiting(self, key: AttemptKey, reason: str) -> None:
        trial = self._roster.at(key)
        if trial is not None:
            self._journal.reason(trial, reason)

    async def started(self, key: AttemptKey, identity: Mapping[str, Any]) -> bool:
        trial = self._roster.at(key)
        if trial is None or trial.cancel is not None:
            return False
        await self._journal.event("started", trial, attempt=key.number, identity=dict(identity))
        if self._roster.at(key) is None or trial.cancel is not None:
            return False
        trial.started = time.monotonic()
        trial.state = TrialState.RUNNING
        trial.reason = ""
        self._engine.trial_started(trial)
        return True

    async def messages(self, key: AttemptKey, messages: Sequence[Message]) -> None:
        trial = self._roster.at(key)
        if trial is None:
            return
        rows: list[MetricRow] = []
        told: list[tuple[str, Metric]] = []
        for message in messages:
            if message.sequence <= trial.last_sequence:
                continue  # delivered before
            trial.last_sequence = message.sequence
            refused_before = trial.refused
            metric = self._read(trial, message)
            if metric is not None:
                rows.append(self._row(trial, message, metric))
                told.append((message.kind, metric))
            elif trial.refused != refused_before:
                rows.append(self._refusal(trial, message))
        if rows:
            last = rows[-1].id
            self._journal.append(
                *rows,
                _progress(trial),
                urgent=False,  # the end of the trial, which mostly follows, is recorded with it
                then=lambda: self._recorded(trial, key, last, told),
            )
        await self._journal.writer.room()
        await self._advice.room()

    def ended(self, key: AttemptKey, ending: Ending) -> None:
        trial = self._roster.at(key)
        if trial is None:
            return
        self._roster.take_back(trial)
        outcome = judge(trial, ending, self._settings)
        if outcome.state is TrialState.WAITING:
            self._end_attempt(trial, outcome)
        else:
            self.end_trial(trial, outcome)

    def trouble(self, summary: str) -> None:
        self._engine.set_trouble("platform", summary)

    def end_trial(self, trial: LiveTrial, outcome: Outcome) -> None:
        """Record the end of a trial, and tell the algorithm once it is durable."""
        self._roster.end(trial)
        view = trial.view(outcome)

        def recorded(event: Event) -> None:
            # Only now is its slot free: at concurrency 1 the next proposal has heard this result.
            self._roster.close(trial, view)
            trial_end = self._advice.advisor.trial_end
            self._advice.tell(event.id, trial_end, trial.sequence, outcome.state, outcome.advised)
            self._engine.observe("tune_trial_ended", view)
            self._engine.wake()

        self._journal.event(
            "ended",
            trial,
            recorded,
            state=outcome.state.value,
            reason=outcome.reason,
            value=outcome.value,
            metric=outcome.metric,
            advised=None if outcome.advised is None else outcome.advised.to_json(),
        )
        self._engine.trial_ended(view)

    def _end_attempt(self, trial: LiveTrial, outcome: Outcome) -> None:
        """The attempt is over, the trial is not: it will run again."""
        interrupted = trial.cancel is TrialState.WAITING
        attempt = trial.attempt
        _log.info("trial %s, attempt %d: %s; it will run again", trial.id, attempt, outcome.reason)
        trial.losses += outcome.lost and not interrupted
        trial.failures += not outcome.lost
        trial.next_attempt(outcome.reason)

        def recorded(event: Event) -> None:
            self._advice.tell(event.id, self._advice.advisor.trial_restart, trial.sequence)
            self._roster.hold(trial)
            self._engine.wake()

        self._journal.event(
            "attempt_ended",
            trial,
            recorded,
            attempt=attempt,
            reason=outcome.reason,
            lost=outcome.lost,
            interrupted=interrupted,
        )
        self._engine.wake()

    # Messages.

    def _read(self, trial: LiveTrial, message: Message) -> Metric | None:
        """Check a message and keep what it says; None if there is nothing to record."""
        is_final = message.kind == "final"
        if is_final and (trial.final is not None or trial.refused):
            _log.warning("trial %s reported a second final result; the first one counts", trial.id)
            return None
        try:
            objectives = self._settings.objectives
            read = objectives.read_final if is_final else objectives.read_intermediate
            metric = read(message.value)
        except MetricError as err:
            _log.warning("trial %s: its %s result was refused: %s", trial.id, message.kind, err)
            if is_final:
                trial.refused = str(err)
            else:
                self._journal.reason(trial, f"an intermediate result was refused: {err}")
            return None
        if is_final:
            trial.final = metric
        else:
            trial.intermediates += 1
            trial.last_value = metric.value
        return metric

    def _row(self, trial: LiveTrial, message: Message, metric: Metric) -> MetricRow:
        is_finite = math.isfinite(metric.value)
        plain = is_finite and not isinstance(metric.whole, dict)
        return MetricRow(
            id=self._journal.writer.number(),
            time=_seconds(message.time),
            trial=trial.sequence,
            attempt=trial.attempt,
            sequence=message.sequence,
            final=int(message.kind == "final"),
            value=metric.value if is_finite else None,
            data=None if plain else dump_json(metric.whole),
        )

    def _refusal(self, trial: LiveTrial, message: Message) -> MetricRow:
        """A final result that is none, so that a manager which adopts the trial knows of it."""
        return MetricRow(
            id=self._journal.writer.number(),
            time=_seconds(message.time),
            trial=trial.sequence,
            attempt=trial.attempt,
            sequence=message.sequence,
            final=1,
            value=None,
            data=dump_json(str(message.value)[:200]),
        )

    def _recorded(self, trial: LiveTrial, key: AttemptKey, last: int, told: list[tuple[str, Metric]]) -> None:
        for kind, metric in told:
            self._engine.observe("tune_metric_reported", trial, kind=kind, value=metric.whole)
        if not self._advice.listens:
            return
        objectives, wants_reports = self._settings.objectives, self._advice.advisor.wants_reports
        values = [
            objectives.intermediate_score(metric) if wants_reports else orient(metric.value, objectives.mode)
            for kind, metric in told
            if kind == "intermediate" and metric.is_finite
        ]
        if values:
            verdict = self._advice.assess(last, key, trial.sequence, values)
            verdict.add_done_callback(lambda done: self._assessed(done, key))

    def _assessed(self, done: asyncio.Future[bool], key: AttemptKey) -> None:
        trial = self._roster.at(key)
        if done.exception() is None and not done.result() and trial is not None and trial.cancel is None:
            trial.condemned = True
            self._engine.cancel(trial, TrialState.EARLY_STOPPED, ASSESSED)
        self._engine.wake()


def _seconds(moment: Any) -> float:
    """The clock of a trial's machine may be anything; it is for display only."""
    fits = isinstance(moment, (int, float)) and 0 <= moment < 1e12
    return float(moment) if fits else time.time()


def _progress(trial: LiveTrial) -> TrialNote:
    value = trial.last_value
    finite = value if value is not None and math.isfinite(value) else None
    return TrialNote(trial.sequence, "progress", (trial.intermediates, finite))
