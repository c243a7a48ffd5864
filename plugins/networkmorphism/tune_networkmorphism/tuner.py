"""Network morphism tuner: networks that grow out of those that did well, and keep what these learnt.

Jin, H., Song, Q. and Hu, X. (2019). Auto-Keras: an efficient neural architecture search system. KDD 2019.
https://arxiv.org/abs/1806.10282
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from tune_core import NoMoreTrial, Objectives, Parameters, SearchSpace, SearchSpaceError, Tuner
from tune_core.algorithms.threads import one_thread
from tune_core.errors import SpaceProblem
from tune_networkmorphism.distance import Outline, outline
from tune_networkmorphism.generator import convolutional, multilayer_perceptron
from tune_networkmorphism.graph import Graph, GraphError
from tune_networkmorphism.json_form import json_to_graph
from tune_networkmorphism.morphs import morph_to_json
from tune_networkmorphism.search import Candidate, anneal, wander
from tune_networkmorphism.surrogate import Surrogate

__all__ = ["NetworkMorphismTuner"]

_MOST_MODELLED = 100  # results that the model holds, half of them the best and half the newest

Task = Literal["cv", "common"]


@dataclass
class _Trial:
    graph: Graph
    outline: Outline
    value: float | None = None
    failed: bool = False

    @property
    def is_running(self) -> bool:
        return self.value is None and not self.failed


class NetworkMorphismTuner(Tuner):
    """Searches networks rather than a search space.

    The first proposal is a plain network. Later ones grow out of networks with results by morphs that
    leave what is computed as it is, and name the trial that has the weights to begin with.

    Raises:
        SearchSpaceError: From `update_search_space`, for any search space.
        ValueError: The first network has more than `max_model_size` weights already.
    """

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes. NNI's names and defaults."""

        model_config = ConfigDict(extra="forbid")

        task: Task = Field(
            default="cv",
            description="`cv`: convolutional networks for images; `common`: dense ones for rows.",
        )
        input_width: int = Field(
            default=32, ge=1, le=65536, description="Height and width of the images, or features of a row."
        )
        input_channel: int = Field(default=3, ge=1, le=65536, description="Channels of the images.")
        n_output_node: int = Field(default=10, ge=1, le=65536, description="What the last layer gives.")
        beta: float = Field(
            default=2.576,
            ge=0,
            description="How many standard deviations a network may promise beyond what is expected of it.",
        )
        t_min: float = Field(
            default=1e-4, gt=0, lt=1, description="Temperature at which an annealing that began at 1 ends."
        )
        max_model_size: int = Field(
            default=1 << 24, ge=1, description="The most weights that a network may have."
        )
        default_model_len: int = Field(
            default=3, ge=1, le=100, description="Blocks, or hidden layers, of the first network."
        )
        default_model_width: int = Field(
            default=64, ge=1, le=65536, description="Filters, or features, of each of them."
        )
        algorithm_name: str = Field(
            default="Bayesian", description="No effect: NNI's name for the one search that there is."
        )
        path: str = Field(
            default="model_path",
            description="No effect: networks are in the record, not in files of the tuner.",
        )
        verbose: bool = Field(default=True, description="No effect: `logLevel` says what is logged.")

    needs_space: ClassVar[bool] = False
    deduplicates: ClassVar[bool] = True
    # All state comes from what was registered and received; proposing leaves no trace.
    replays_proposals: ClassVar[bool] = False

    def __init__(
        self,
        task: Task = "cv",
        input_width: int = 32,
        input_channel: int = 3,
        n_output_node: int = 10,
        beta: float = 2.576,
        t_min: float = 1e-4,
        max_model_size: int = 1 << 24,
        default_model_len: int = 3,
        default_model_width: int = 64,
        algorithm_name: str = "Bayesian",
        path: str = "model_path",
        verbose: bool = True,
    ) -> None:
        if task == "cv":
            shape = (input_channel, input_width, input_width)
            self._first = convolutional(shape, n_output_node, default_model_len, default_model_width)
        else:
            self._first = multilayer_perceptron(
                input_width, n_output_node, default_model_len, default_model_width
            )
        if self._first.weights > max_model_size:
            raise ValueError(
                f"the first network has {self._first.weights:,} weights, more than max_model_size, "
                f"{max_model_size:,}; lower default_model_width or default_model_len"
            )
        self._beta, self._coldest, self._largest = beta, t_min, max_model_size
        self._trials: dict[int, _Trial] = {}
        self._seen: set[str] = set()

    def update_search_space(self, search_space: SearchSpace) -> None:
        if len(search_space):
            raise SearchSpaceError("NetworkMorphism searches networks: leave searchSpace out")

    def takes(self, parameters: Parameters) -> bool:
        """A graph that reads and gives what those of this search do, with or without its parent."""
        try:
            graph = json_to_graph(parameters)
        except GraphError as err:
            raise SearchSpaceError(str(err), [SpaceProblem("graph", str(err))]) from err
        for what, there, wanted in (
            ("reads", graph.input_shape, self._first.input_shape),
            ("gives", graph.shapes[graph.output], self._first.shapes[self._first.output]),
        ):
            if there != wanted:
                text = f"it {what} {list(there)}, where this experiment has {list(wanted)}"
                raise SearchSpaceError(text, [SpaceProblem("graph", text)])
        return True

    def remark(self, objectives: Objectives, trials: int | None) -> str:
        shape = " by ".join(map(str, self._first.input_shape))
        what = f"images of {shape}" if len(self._first.input_shape) > 1 else f"rows of {shape} features"
        return (
            f"networks read {what} and give {self._first.shapes[self._first.output][0]} numbers; "
            f"the first is {self._first.describe()}"
        )

    def generate_parameters(self, parameter_id: int) -> Parameters | None:
        first = Candidate(None, (), self._first)
        rng = self.rng(parameter_id)
        known = self._modelled()
        if known:
            with one_thread():
                found = self._search(known, rng)
        elif self._first.key not in self._seen:
            found = first
        else:  # nothing has a result yet
            found = wander([first], self._seen, rng, self._largest)
        if found is not None:
            return _parameters(found)
        if any(trial.is_running for trial in self._trials.values()):
            return None
        raise NoMoreTrial(
            f"no network of at most {self._largest:,} weights was found that was not tried; "
            "raise max_model_size to go on"
        )

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        graph = json_to_graph(parameters)
        self._trials[parameter_id] = _Trial(graph, outline(graph))
        self._seen.add(graph.key)

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        self._trials[parameter_id].value = float(value)

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self._trials[parameter_id].failed = not success

    def _modelled(self) -> dict[int, _Trial]:
        """Trials with results, at most as many as the model holds."""
        known = {number: trial for number, trial in self._trials.items() if trial.value is not None}
        if len(known) <= _MOST_MODELLED:
            return known
        newest = list(known)[-_MOST_MODELLED // 2 :]
        others = sorted(known.keys() - set(newest), key=lambda number: (known[number].value, number))
        kept = {*newest, *others[: _MOST_MODELLED // 2]}
        return {number: trial for number, trial in known.items() if number in kept}

    def _search(self, known: dict[int, _Trial], rng: np.random.Generator) -> Candidate | None:
        roots = [
            Candidate(number if number >= 0 else None, (), trial.graph) for number, trial in known.items()
        ]
        surrogate = self._surrogate(known)

        def promise(graphs: Sequence[Graph]) -> NDArray[np.float64]:
            mean, deviation = surrogate.predict([outline(graph) for graph in graphs])
            return mean - self._beta * deviation

        found = anneal(roots, promise, self._seen, rng, coldest=self._coldest, largest=self._largest)
        return found or wander(roots, self._seen, rng, self._largest)

    def _surrogate(self, known: dict[int, _Trial]) -> Surrogate:
        """Failed networks count as the worst of those with results."""
        others = list(self._trials.values())[-2 * _MOST_MODELLED :]
        failed = [trial.outline for trial in others if trial.failed][-_MOST_MODELLED // 4 :]
        running = [trial.outline for trial in others if trial.is_running][-_MOST_MODELLED // 2 :]
        values = [float(trial.value or 0.0) for trial in known.values()]
        tried = [trial.outline for trial in known.values()]
        return Surrogate([*tried, *failed], values + [max(values)] * len(failed), running)


def _parameters(candidate: Candidate) -> Parameters:
    """What a trial receives: for a person, whose weights to begin with and how, and the network."""
    content: dict[str, Any] = {
        "network": candidate.graph.describe(),
        "parent": candidate.root,
        "morphs": [morph_to_json(morph) for morph in candidate.morphs] if candidate.root is not None else [],
        "graph": candidate.graph.to_json(),
    }
    return content
