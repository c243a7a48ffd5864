"""`Tuner`, `Assessor` and `Advisor`: what an algorithm is to the kernel.

The kernel talks to one kind of algorithm, the `Advisor`. A tuner with an optional assessor is
composed into one by `tune_core.algorithms.compose`. All calls to one algorithm are serial, in the
order of the experiment's record, and run outside the event loop; it may take its time.

Values are oriented before an algorithm sees them: **lower is better**, whatever the user's
`optimize_mode`, and always finite. A result is a `Score`: a number, the first objective, which also
has all objectives and says by how much constraints are broken.

Randomness comes from `self.rng(parameter_id)`, which depends on the experiment's seed and the number
of the proposal alone: this is what makes a resumed experiment go on exactly as an undisturbed one would.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tune_core.objectives import Objectives, Score
from tune_core.trial import Parameters, TrialState

if TYPE_CHECKING:
    import numpy as np

    from tune_core.space import SearchSpace

__all__ = ["Advisor", "Assessor", "Observation", "Tuner"]


@dataclass(frozen=True)
class Observation:
    """One finished evaluation that came from elsewhere: an earlier experiment, a file.

    Attributes:
        value: Oriented, lower is better, finite; a `Score`, or a plain number for one objective.
    """

    parameters: Parameters
    value: float

    def to_json(self) -> dict[str, Any]:
        """For the record."""
        return {"parameters": self.parameters, "value": Score.of(self.value).to_json()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """What `to_json` gave."""
        return cls(content["parameters"], Score.from_json(content["value"]))


class _Seeded:
    """Randomness that depends on (seed, proposal) alone, so that replay repeats it."""

    default_optimize_mode: ClassVar[str] = "maximize"
    """What a configuration without `optimize_mode` means, for information only: the kernel
    orients values."""

    many_objectives: ClassVar[bool] = False
    """Whether it looks for a whole front: takes `Score.values` rather than the number that a score is.
    An experiment with several objectives refuses an algorithm that does not. For a plugin's, its
    `Driver` says so too."""

    handles_constraints: ClassVar[bool] = False
    """Whether it heeds `Score.violation`. Otherwise the kernel hands it scores in which every
    infeasible result is behind every feasible one, and nothing is said of violations."""

    needs_space: ClassVar[bool] = True
    """Whether it searches the experiment's search space. One that brings a space of its own says False:
    the configuration may then have none, `update_search_space` is given an empty one, and `takes` says
    what its configurations are. For a plugin's, its `Driver` says so too."""

    needs_folder: str = ""
    """Not empty: its trials have to see the folder of `set_directory`, such as to hand files to one another.
    The text says what to do on a platform where they do not, and where it is therefore refused."""

    wants_reports: ClassVar[bool] = False
    """Whether intermediate results are `Score`s, with what the trial `reported`, rather than plain numbers.
    Final ones always are."""

    _seed: int = 0

    def takes(self, parameters: Parameters) -> bool:
        """Whether these, which are no configuration of the search space, are one to this algorithm.

        Asked of results that are imported, of initial points and of trials that the user adds, since
        some algorithms propose what is written in no search space. Must leave no trace.

        Raises:
            SearchSpaceError: They are not, and this is why; its `problems` are shown.
        """
        return False

    def set_seed(self, seed: int) -> None:
        """Called by the kernel once, before anything else."""
        self._seed = seed

    def set_directory(self, directory: Path) -> None:
        """A folder in the experiment's own that is the algorithm's, and lasts as long as the experiment.

        Called once, before `update_search_space`; not where there is no experiment. The path is absolute
        and the same at each resume. The folder is not there until somebody makes it.
        """

    def remark(self, objectives: Objectives, trials: int | None) -> str:
        """What a person should know of how this algorithm will go about it, in one line; "" for nothing.

        `tune validate` and the start of an experiment show it, behind the algorithm's name. Asked after
        `update_search_space`, of an instance that is not used for anything else.

        Args:
            objectives: What is optimised, and within which bounds.
            trials: How many there will be at most, None where nothing limits them.
        """
        return ""

    def rng(self, parameter_id: int, stream: int = 0) -> np.random.Generator:
        """The generator of proposal `parameter_id`; `stream` gives independent ones for it."""
        import numpy as np

        # Philox is counter-based: a fresh generator costs microseconds and no two keys overlap.
        key = np.random.SeedSequence((self._seed, parameter_id, stream))
        return np.random.Generator(np.random.Philox(key))


class Tuner(_Seeded, ABC):
    """Proposes configurations and learns from final results.

    The methods are NNI's. Order of calls: `set_seed`, `update_search_space`, `import_data` for
    what is imported, then for each trial `generate_parameters`, `register_pending`, and
    `receive_trial_result` if it succeeded, `trial_end` in any case.
    """

    replays_proposals: ClassVar[bool] = True
    """Whether resuming must repeat `generate_parameters`. Set to False when it leaves no trace
    that `register_pending` does not also leave, and resuming costs nothing however slow it is."""

    deduplicates: ClassVar[bool] = False
    """True when the tuner itself sees to repeats, to combinations that the space forbids and to the
    end of a finite space. Otherwise the kernel replaces a configuration that was proposed before,
    or is forbidden, by one that was not and is not, and ends the search when a finite space is
    used up."""

    _imported = 0  # evaluations made elsewhere; their ids are negative

    @abstractmethod
    def update_search_space(self, search_space: SearchSpace) -> None:
        """The space to search; called first, and again when the user changes it at run time.

        Raises:
            SearchSpaceError: The tuner cannot take this space; names the parameter. Must leave no
                trace: the search goes on in the old one.
        """

    @abstractmethod
    def generate_parameters(self, parameter_id: int) -> Parameters | None:
        """Propose a configuration.

        Returns None for "not now" (asked again after the next event; must leave no trace).

        Raises:
            NoMoreTrial: There will never be another one, unless data is imported or the search
                space changes; must leave no trace either.
        """

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        """`parameters` are now on trial under `parameter_id`.

        They are what `generate_parameters` returned, or the kernel's replacement for a repeat, or
        a configuration that the user submitted, for which nothing was generated.
        """

    @abstractmethod
    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        """A trial succeeded with `value`, oriented: lower is better. From the kernel it is a `Score`;
        `Score.of(value)` makes one of a plain number, too."""

    def trial_end(self, parameter_id: int, success: bool) -> None:
        """A trial is over. `success` means that it had a result, which was received before."""

    def import_data(self, data: Sequence[Observation]) -> None:
        """Learn from evaluations made elsewhere. The default treats each as a finished trial
        with a negative parameter id."""
        for observation in data:
            self._imported += 1
            self.register_pending(-self._imported, observation.parameters)
            self.receive_trial_result(-self._imported, observation.parameters, observation.value)
            self.trial_end(-self._imported, success=True)


class Assessor(_Seeded, ABC):
    """Judges running trials by their intermediate results."""

    @abstractmethod
    def assess_trial(self, trial_id: str, history: Sequence[float]) -> bool:
        """Should this trial go on? `history` is all it reported so far, oriented, never empty.

        Called for each intermediate result, in order. False ends the trial as EARLY_STOPPED. A
        retried trial begins again with a history of one.
        """

    def trial_end(self, trial_id: str, success: bool) -> None:
        """A trial that reported at least once is over. `success` means it was not stopped and
        did not fail."""


class Advisor(_Seeded, ABC):
    """A whole algorithm: proposes configurations, hears everything, may stop a trial.

    Hyperband and its kind implement this directly. `listens` spares the experiment the calls of
    `report_intermediate` for an algorithm that has no use for them.
    """

    @property
    def algorithm_name(self) -> str:
        """What messages call it."""
        return type(self).__name__

    listens: bool = True
    replays_proposals: bool = True  # as `Tuner.replays_proposals`

    @abstractmethod
    def update_search_space(self, search_space: SearchSpace) -> None:
        """As `Tuner.update_search_space`."""

    @abstractmethod
    def propose(self, parameter_id: int) -> Parameters | None:
        """As `Tuner.generate_parameters`; parameters may carry keys beside those of the space,
        such as TRIAL_BUDGET."""

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        """As `Tuner.register_pending`; follows `propose` with no other call in between."""

    def report_intermediate(self, parameter_id: int, value: float) -> bool:
        """An intermediate result, oriented, in order. Return False to stop the trial."""
        return True

    def trial_restart(self, parameter_id: int) -> None:
        """The trial runs again from its start, with the same configuration: its machine was lost,
        or it is retried. What it reported so far is void."""

    @abstractmethod
    def trial_end(self, parameter_id: int, state: TrialState, value: float | None) -> None:
        """A trial is over. `value` is its oriented final result, a `Score`.

        None unless it SUCCEEDED, or was stopped early by this algorithm and the configuration asks
        for its last result to count. Also None for a trial that SUCCEEDED without reporting one.
        """

    @abstractmethod
    def import_data(self, data: Sequence[Observation]) -> None:
        """As `Tuner.import_data`."""
