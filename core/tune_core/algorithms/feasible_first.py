"""What the kernel does for an algorithm that knows less than the experiment asks: constraints, front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tune_core.algorithms.base import Advisor, Observation
from tune_core.errors import ConfigError
from tune_core.objectives import Objectives, Score
from tune_core.trial import Parameters, TrialState

if TYPE_CHECKING:
    from pathlib import Path

    from tune_core.space import SearchSpace

__all__ = ["FeasibleFirst", "fitted", "refusal"]

_LARGEST = 1e300  # beyond it, numbers count as this one, so that sums of them stay finite


def fitted(advisor: Advisor, objectives: Objectives) -> Advisor:
    """`advisor` for an experiment with these objectives.

    Raises:
        ConfigError: They are several, and it looks for one.
    """
    if objectives.are_many and not advisor.many_objectives:
        raise ConfigError(refusal(advisor.algorithm_name, objectives))
    if objectives.constraints and not advisor.handles_constraints:
        return FeasibleFirst(advisor)
    return advisor


def refusal(name: str, objectives: Objectives) -> str:
    """Why the algorithm `name` cannot have several objectives, and who can."""
    from tune_core.plugins import plugins

    drivers = [found.driver for kind in ("tuner", "advisor") for found in plugins().all(kind)]
    takers = sorted(each.name for each in drivers if each.objectives == "many")
    verb = "does" if len(takers) == 1 else "do"
    who = f"; {', '.join(takers)} {verb}" if takers else "; no installed algorithm does"
    return f"{name} does not take several objectives ({', '.join(objectives.modes)}){who}"


class FeasibleFirst(Advisor):
    """Shows an algorithm that knows nothing of constraints scores with which it finds what keeps them.

    Every infeasible result comes out behind every feasible one, the less infeasible first: see `_Fence`.
    With several objectives this holds in each of them.
    """

    def __init__(self, advisor: Advisor) -> None:
        self.advisor = advisor
        self.replays_proposals = advisor.replays_proposals
        self.default_optimize_mode = advisor.default_optimize_mode  # type: ignore[misc] # each has its own
        self.many_objectives = advisor.many_objectives  # type: ignore[misc]
        self.needs_space = advisor.needs_space  # type: ignore[misc]
        self.needs_folder = advisor.needs_folder
        self.wants_reports = advisor.wants_reports  # type: ignore[misc]
        self._fences: list[_Fence] = []

    @property
    def algorithm_name(self) -> str:
        return self.advisor.algorithm_name

    @property
    def listens(self) -> bool:  # type: ignore[override] # it may come to listen, or cease to
        return self.advisor.listens

    def takes(self, parameters: Parameters) -> bool:
        return self.advisor.takes(parameters)

    def set_seed(self, seed: int) -> None:
        super().set_seed(seed)
        self.advisor.set_seed(seed)

    def set_directory(self, directory: Path) -> None:
        self.advisor.set_directory(directory)

    def update_search_space(self, search_space: SearchSpace) -> None:
        self.advisor.update_search_space(search_space)

    def propose(self, parameter_id: int) -> Parameters | None:
        return self.advisor.propose(parameter_id)

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        self.advisor.register_pending(parameter_id, parameters)

    def report_intermediate(self, parameter_id: int, value: float) -> bool:
        return self.advisor.report_intermediate(parameter_id, value)

    def trial_restart(self, parameter_id: int) -> None:
        self.advisor.trial_restart(parameter_id)

    def trial_end(self, parameter_id: int, state: TrialState, value: float | None) -> None:
        self.advisor.trial_end(parameter_id, state, None if value is None else self._shown(value))

    def import_data(self, data: Sequence[Observation]) -> None:
        self.advisor.import_data([Observation(each.parameters, self._shown(each.value)) for each in data])

    def _shown(self, value: float) -> Score:
        score = Score.of(value)
        self._fences = self._fences or [_Fence() for _ in score.values]
        pairs = zip(self._fences, score.values, strict=True)
        return Score([fence.shown(number, score.violation) for fence, number in pairs])


class _Fence:
    """Keeps the numbers of feasible results on this side of a line and those of infeasible ones beyond.

    The line is drawn at the first infeasible result, beyond the worst number seen by then, and never
    moves: what an algorithm was told before stays true, and a resumed experiment draws the same line.
    Feasible numbers are shown as they are, but those that turn out worse than that worst one, which
    are pressed together before the line in their order. Nothing here is huge, so that models of the
    numbers themselves keep their footing.
    """

    def __init__(self) -> None:
        self._lowest, self._highest = math.inf, -math.inf
        self._margin: float | None = None  # from the worst number to the line

    def shown(self, number: float, violation: float) -> float:
        number = max(-_LARGEST, min(number, _LARGEST))
        if self._margin is None:
            self._lowest, self._highest = min(self._lowest, number), max(self._highest, number)
            if not violation:
                return number
            self._margin = self._highest - self._lowest or abs(self._highest) or 1.0
            self._margin = max(self._margin, 1e-6 * abs(self._highest))  # or adding it would change nothing
        line = self._highest + self._margin
        if violation:
            return line + self._margin * math.log1p(violation)
        if number <= self._highest:
            return number
        # A hyperbola that leaves the worst number with slope 1 and never reaches the line.
        pressed = line - self._margin * (self._margin / (number - self._highest + self._margin))
        return min(pressed, math.nextafter(line, -math.inf))
