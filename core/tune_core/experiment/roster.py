"""The trials of an experiment: those that are not over, one by one, and a count of those that are."""

from __future__ import annotations

import math
import random
import string
from collections import Counter

from tune_core.experiment.replay import Restored
from tune_core.experiment.trials import LiveTrial
from tune_core.experiment.view import TrialView
from tune_core.front import Front
from tune_core.objectives import Objectives, Score
from tune_core.trial import AttemptKey, Parameters, TrialState

__all__ = ["Roster"]

_ID_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 5  # NNI's


class Roster:
    """What the engine knows of its trials. Finished ones are in the record alone.

    Attributes:
        live: By sequence number: not over, or over and not yet recorded as such.
        held: Those of them that are recorded and wait for a slot.
        submitted: How many of them the platform has.
        next_sequence: The number of the next trial, and how many there were.
        best: The best feasible result.
        front: The feasible results that no other one is better than; empty for one objective.
    """

    def __init__(self, restored: Restored, objectives: Objectives) -> None:
        self.live = dict(restored.live)
        self.held = {sequence: trial for sequence, trial in self.live.items() if not trial.submitted}
        self.submitted = len(self.live) - len(self.held)
        self.next_sequence = restored.next_sequence
        self.best = restored.best
        self.front: Front[TrialView] = Front()
        self._objectives = objectives
        self._best_score = Score((math.inf,)) if self.best is None else self._score(self.best)
        for view in restored.front:
            self.front.add(self._score(view).values, view)
        self._random = random.Random()  # noqa: S311 (an id is no secret)
        self._by_id = {trial.id: trial for trial in self.live.values()}
        self._ids = restored.trial_ids
        over = {state: count for state, count in restored.counts.items() if state.is_terminal}
        self._over = Counter(over)

    def new(self, parameters: Parameters, source: str) -> LiveTrial:
        """A trial with a number and an id that no other has or had."""
        sequence = self.next_sequence
        self.next_sequence += 1
        while (name := "".join(self._random.choices(_ID_ALPHABET, k=_ID_LENGTH))) in self._ids:
            pass
        self._ids.add(name)
        trial = LiveTrial(sequence, name, parameters, source)
        self.live[sequence] = self._by_id[name] = trial
        return trial

    def hold(self, trial: LiveTrial) -> None:
        """It is in the record and waits for a slot."""
        self.held[trial.sequence] = trial

    def submit(self, trial: LiveTrial) -> None:
        """It is given to the platform."""
        del self.held[trial.sequence]
        trial.submitted = True
        trial.reason = ""
        self.submitted += 1

    def take_back(self, trial: LiveTrial) -> None:
        """The platform has it no more."""
        if trial.submitted:
            trial.submitted = False
            self.submitted -= 1

    def end(self, trial: LiveTrial) -> None:
        """It is over; it keeps its slot until that is recorded, see `close`."""
        self.held.pop(trial.sequence, None)
        del self._by_id[trial.id]

    def close(self, trial: LiveTrial, view: TrialView) -> None:
        """Its end is recorded."""
        del self.live[trial.sequence]
        self._over[view.state] += 1
        if view.value is not None:
            self._rank(view)

    def at(self, key: AttemptKey) -> LiveTrial | None:
        """The trial whose present attempt is `key`, unless it is over."""
        trial = self._by_id.get(key.trial_id)
        return trial if trial is not None and trial.attempt == key.number else None

    def find(self, name: str) -> LiveTrial | None:
        """The unfinished trial with this id or sequence number."""
        by_number = name.isdecimal() and len(name) < 20  # int() refuses thousands of digits
        return self._by_id.get(name) or (self.live.get(int(name)) if by_number else None)

    def counts(self) -> Counter[TrialState]:
        """Trials by state."""
        return self._over + Counter(trial.state for trial in self.live.values())

    def _score(self, view: TrialView) -> Score:
        return self._objectives.score_of(view.final_metric)

    def _rank(self, view: TrialView) -> None:
        score = self._score(view)
        if not score.is_feasible:
            return
        if score < self._best_score:
            self.best, self._best_score = view, score
        if self._objectives.are_many:
            self.front.add(score.values, view)
