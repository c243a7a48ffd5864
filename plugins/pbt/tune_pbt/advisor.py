"""Population based training: the parameters change while the networks train.

Jaderberg, M. et al. (2017). Population based training of neural networks. https://arxiv.org/abs/1711.09846
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from tune_core import Advisor, ConfigError, Observation, Parameters, SearchSpace, SearchSpaceError, TrialState
from tune_core.objectives import Objectives
from tune_core.space.values import copy_json
from tune_pbt.checkpoints import Checkpoints
from tune_pbt.explore import explored
from tune_pbt.selection import State, Turn, turn_of

__all__ = ["LOAD", "SAVE", "PbtAdvisor"]

LOAD, SAVE = "load_checkpoint_dir", "save_checkpoint_dir"

_EXPLOIT = 1  # stream of random numbers; a generation has its own number, and so has the end of a trial


class _Run(NamedTuple):
    """A trial of a member."""

    member: int
    configuration: Parameters
    load: str
    save: str


def _factor(given: Any) -> Any:
    """NNI's documentation had a pair, up and down; its code a single number."""
    if isinstance(given, (list, tuple)) and len(given) == 2:
        up, down = given
        if isinstance(up, float) and isinstance(down, float) and math.isclose(up - 1.0, 1.0 - down):
            return round(up - 1.0, 12)
        raise ValueError("write one number: 0.2 is a fifth of a parameter's range, up or down")
    return given


class PbtAdvisor(Advisor):
    """Runs a trial for each member of a population and each of its epochs.

    Synchronously, the next epoch begins when the whole population has ended this one; otherwise each member
    is compared with the present population, and goes on, as soon as its trial has ended.

    Args:
        population_size: Members; so many trials can run at once.
        factor: How far a parameter is moved, as a share of its range.
        resample_probability: Of a parameter being drawn anew rather than moved.
        fraction: How many are leaders, and how many laggards, as a share of the population.
        all_checkpoint_dir: Where checkpoints are, absolute. None: a folder in the experiment's.
        asynchronous: Do not wait for the population.
        keep_checkpoints: Keep those that no member can load any more, too.

    Raises:
        ConfigError: `all_checkpoint_dir` is relative.
    """

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes."""

        model_config = ConfigDict(extra="forbid")

        population_size: int = Field(
            default=10, ge=1, description="Members; no more trials than that run at once."
        )
        factor: Annotated[float, BeforeValidator(_factor)] = Field(
            default=0.2,
            gt=0,
            le=1,
            validation_alias=AliasChoices("factor", "factors"),
            description="How far exploring moves a number, as a share of its range.",
        )
        resample_probability: float = Field(
            default=0.25, ge=0, le=1, description="Of a parameter being drawn anew rather than moved."
        )
        fraction: float = Field(
            default=0.2,
            gt=0,
            le=0.5,
            description="The share of the population that is copied, and the share that copies.",
        )
        all_checkpoint_dir: str | None = Field(
            default=None,
            min_length=1,
            description="Where checkpoints are, an absolute path. Null: in the experiment's folder.",
        )
        asynchronous: bool = Field(
            default=False, description="Each member goes on at once, without waiting for the population."
        )
        keep_checkpoints: bool = Field(
            default=False, description="Keep checkpoints that no member can load any more."
        )

    listens = False

    def __init__(
        self,
        population_size: int = 10,
        factor: float = 0.2,
        resample_probability: float = 0.25,
        fraction: float = 0.2,
        all_checkpoint_dir: str | None = None,
        asynchronous: bool = False,
        keep_checkpoints: bool = False,
    ) -> None:
        self._size = population_size
        self._factor, self._resample_probability = factor, resample_probability
        self._fraction = fraction
        self._is_asynchronous, self._keeps_all = asynchronous, keep_checkpoints
        self._root = _absolute(all_checkpoint_dir) if all_checkpoint_dir else None
        if self._root is None:
            self.needs_folder = "name one that all machines share: all_checkpoint_dir"
        self._space: SearchSpace | None = None
        self._turns = deque(Turn(member, None, explores=False) for member in range(population_size))
        self._epochs = [0] * population_size  # how many each member began
        self._states: dict[int, State] = {}
        self._running: dict[int, _Run] = {}
        self._arrived: dict[int, State | None] = {}  # of the present generation, None: failed
        self._generation = 0
        self._best: State | None = None
        self._beginnings: list[Observation] = []  # from elsewhere, best first
        self._proposed: tuple[int, _Run] | None = None

    def set_directory(self, directory: Path) -> None:
        self._root = self._root or directory / "checkpoints"

    def remark(self, objectives: Objectives, trials: int | None) -> str:
        if trials is None:
            return f"trains {self._size} members until it is stopped; maxTrialNumber would end it"
        epochs, more = divmod(trials, self._size)
        rest = f", and one more of {more}" if more else ""
        return f"{trials} trials are {epochs} epoch{'' if epochs == 1 else 's'} of {self._size} members{rest}"

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Members go on with their checkpoints; parameters that are none of the new space are drawn anew."""
        if taken := [name for name in (LOAD, SAVE) if name in search_space]:
            raise SearchSpaceError(f"{taken[0]}: trials find a folder under this name; rename the parameter")
        if self._space is None:
            root = self._root or Path("tune-standalone", "pbt").absolute()  # where there is no experiment
            self._checkpoints = Checkpoints(root, keeps_all=self._keeps_all)
        self._space = search_space
        self._beginnings = [
            one for one in self._beginnings if search_space.contains(one.parameters, extra=True)
        ]

    def propose(self, parameter_id: int) -> Parameters | None:
        if not self._turns:
            return None
        turn = self._turns[0]
        run = _Run(
            turn.member,
            self._configuration(turn, self.rng(parameter_id)),
            turn.origin.checkpoint if turn.origin else self._checkpoints.beginning(turn.member),
            self._checkpoints.folder(turn.member, self._epochs[turn.member]),
        )
        self._proposed = (parameter_id, run)
        return {**run.configuration, LOAD: run.load, SAVE: run.save}

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        """What was proposed is a member's trial now; a trial of the user's own is none."""
        if self._proposed is None or self._proposed[0] != parameter_id:
            return
        _, run = self._proposed
        self._proposed = None
        # The record counts, should another version have proposed something else.
        known = {name: value for name, value in parameters.items() if name not in (LOAD, SAVE)}
        run = _Run(run.member, known, parameters.get(LOAD, run.load), parameters.get(SAVE, run.save))
        self._turns.popleft()
        self._epochs[run.member] += 1
        self._checkpoints.issue(run.save)
        self._running[parameter_id] = run

    def trial_end(self, parameter_id: int, state: TrialState, value: float | None) -> None:
        run = self._running.pop(parameter_id, None)
        if run is None:
            return
        reached = None if value is None else State(run.configuration, run.save, value)
        if reached is not None and (self._best is None or reached.value < self._best.value):
            self._best = reached
        if self._is_asynchronous:
            self._go_on(run.member, reached, self.rng(parameter_id, _EXPLOIT))
        else:
            self._arrived[run.member] = reached
            if len(self._arrived) == self._size:
                self._next_generation()
        self._checkpoints.prune(self._needed())

    def import_data(self, data: Sequence[Observation]) -> None:
        """Members begin with the best parameters from elsewhere, for which there are no checkpoints."""
        assert self._space is not None
        fitting = [one for one in data if self._space.contains(one.parameters, extra=True)]
        self._beginnings = sorted([*self._beginnings, *fitting], key=lambda one: one.value)

    def _go_on(self, member: int, reached: State | None, rng: np.random.Generator) -> None:
        """The next turn of one member, as it compares with where the others stand."""
        own = self._states.get(member) if reached is None else reached
        others = {each: state for each, state in self._states.items() if each != member}
        present = others if reached is None else {**others, member: reached}
        failed = [member] if reached is None else []
        self._turns.append(turn_of(member, own, present, failed, self._fraction, rng))
        if reached is not None:
            self._states[member] = reached

    def _next_generation(self) -> None:
        """The next turn of all members, as they compare with one another."""
        # By generation and by member, so that the order in which trials ended has no part in it.
        rng = self.rng(self._generation, _EXPLOIT)
        present = {member: state for member, state in sorted(self._arrived.items()) if state is not None}
        failed = [member for member, state in sorted(self._arrived.items()) if state is None]
        self._states |= present
        for member in range(self._size):
            own = self._states.get(member)
            self._turns.append(turn_of(member, own, present, failed, self._fraction, rng))
        self._arrived = {}
        self._generation += 1

    def _configuration(self, turn: Turn, rng: np.random.Generator) -> Parameters:
        assert self._space is not None
        if turn.origin is None:
            return self._beginning(turn.member, rng)
        if not self._space.contains(turn.origin.configuration):
            return self._space.sample(rng)
        if not turn.explores:
            unchanged: Parameters = copy_json(turn.origin.configuration)
            return unchanged
        return explored(self._space, turn.origin.configuration, self._factor, self._resample_probability, rng)

    def _beginning(self, member: int, rng: np.random.Generator) -> Parameters:
        assert self._space is not None
        if self._epochs[member] == 0 and member < len(self._beginnings):
            parameters = self._beginnings[member].parameters
            return {name: parameters[name] for name in self._space.names}
        return self._space.sample(rng)

    def _needed(self) -> set[str]:
        """The checkpoints that a trial may yet load, those in the making, and that of the best trial."""
        states = [*self._states.values(), *filter(None, self._arrived.values())]
        needed = {state.checkpoint for state in states}
        needed |= {turn.origin.checkpoint for turn in self._turns if turn.origin}
        needed |= {folder for run in self._running.values() for folder in (run.load, run.save)}
        return needed | ({self._best.checkpoint} if self._best else set())


def _absolute(path: str) -> Path:
    expanded = Path(path).expanduser()
    if not expanded.is_absolute():
        raise ConfigError(
            f"all_checkpoint_dir {path!r} is relative, and trials may run elsewhere; write an absolute path"
        )
    return expanded
