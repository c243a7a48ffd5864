"""The policy: a recurrent network that writes a sequence action by action, and says what to expect of it.

Here it only runs; its weights are arrays that `tune_ppo.learner` trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tune_core import Parameters
from tune_ppo.grammar import Grammar

__all__ = ["Episode", "Floats", "Policy", "Weights", "new_weights"]

Floats: TypeAlias = NDArray[np.float64]
Weights: TypeAlias = dict[str, Floats]

_EMBEDDED = 32
_HIDDEN = 64


@dataclass(frozen=True)
class Episode:
    """One sequence, and what the policy thought of it when it wrote or read it.

    Attributes:
        actions: Shape (steps,).
        decisions: The number of the parameter that each decides on, shape (steps,).
        legal: Shape (steps, actions).
        log_probs: Of the actions taken, shape (steps,).
        values: The reward expected before each step, shape (steps,).
    """

    actions: NDArray[np.int64]
    decisions: NDArray[np.int64]
    legal: NDArray[np.bool_]
    log_probs: Floats
    values: Floats

    def __len__(self) -> int:
        return len(self.actions)


def new_weights(grammar: Grammar, rng: np.random.Generator) -> Weights:
    """Of a policy that takes every legal action with nearly the same probability."""

    def normal(*shape: int, scale: float) -> Floats:
        return scale * rng.standard_normal(shape)

    gates = np.zeros(4 * _HIDDEN)
    gates[_HIDDEN : 2 * _HIDDEN] = 1.0  # of forgetting: to remember at first
    return {
        "action": normal(grammar.actions + 1, _EMBEDDED, scale=1.0),  # the last is for no action before
        "decision": normal(grammar.decisions, _EMBEDDED, scale=1.0),
        "input": normal(_EMBEDDED, 4 * _HIDDEN, scale=_EMBEDDED**-0.5),
        "recurrent": normal(_HIDDEN, 4 * _HIDDEN, scale=_HIDDEN**-0.5),
        "gates": gates,
        "policy": normal(_HIDDEN, grammar.actions, scale=0.01),
        "policy_bias": np.zeros(grammar.actions),
        "value": normal(_HIDDEN, 1, scale=0.1),
        "value_bias": np.zeros(1),
    }


class Policy:
    """Writes and reads sequences."""

    def __init__(self, grammar: Grammar, weights: Weights) -> None:
        self._grammar, self._weights = grammar, weights

    def write(self, rng: np.random.Generator, temperature: float = 1.0) -> Parameters:
        """A configuration, drawn action by action.

        Args:
            temperature: By which logits are divided: above 1 all is more alike.
        """
        run = _Run(self._grammar, self._weights)

        def choose(decision: int, legal: Sequence[int]) -> int:
            probabilities = np.exp(_log_softmax(run.logits(decision)[list(legal)] / temperature))
            place = int(np.searchsorted(np.cumsum(probabilities), rng.random(), side="right"))
            action = legal[min(place, len(legal) - 1)]
            run.take(action)
            return action

        return self._grammar.write(choose)

    def read(self, parameters: Parameters) -> Episode:
        """The sequence of a configuration, as this policy would have written it."""
        run = _Run(self._grammar, self._weights)
        steps: list[tuple[int, int, list[int], float, float]] = []

        def heed(decision: int, legal: Sequence[int], action: int) -> None:
            log_probs = _log_softmax(run.logits(decision)[list(legal)])
            log_prob = float(log_probs[list(legal).index(action)])
            steps.append((action, decision, list(legal), log_prob, run.value()))
            run.take(action)

        self._grammar.read(parameters, heed)
        legal = np.zeros((len(steps), self._grammar.actions), dtype=np.bool_)
        for row, step in enumerate(steps):
            legal[row, step[2]] = True
        return Episode(
            actions=np.array([step[0] for step in steps], dtype=np.int64),
            decisions=np.array([step[1] for step in steps], dtype=np.int64),
            legal=legal,
            log_probs=np.array([step[3] for step in steps]),
            values=np.array([step[4] for step in steps]),
        )


class _Run:
    """One sequence under way.

    Hochreiter, S. and Schmidhuber, J. (1997). Long short-term memory. https://doi.org/10.1162/neco.1997.9.8.1735
    """

    def __init__(self, grammar: Grammar, weights: Weights) -> None:
        self._weights = weights
        self._before = grammar.actions
        self._hidden, self._cell = np.zeros(_HIDDEN), np.zeros(_HIDDEN)

    def logits(self, decision: int) -> Floats:
        """Of all actions, at the next step; shape (actions,)."""
        w = self._weights
        embedded = w["action"][self._before] + w["decision"][decision]
        gates = embedded @ w["input"] + self._hidden @ w["recurrent"] + w["gates"]
        into, forget, content, out = np.split(gates, 4)
        self._cell = _sigmoid(forget) * self._cell + _sigmoid(into) * np.tanh(content)
        self._hidden = _sigmoid(out) * np.tanh(self._cell)
        return np.asarray(self._hidden @ w["policy"] + w["policy_bias"])

    def value(self) -> float:
        """The reward to expect at the step that `logits` was asked of."""
        return float((self._hidden @ self._weights["value"] + self._weights["value_bias"])[0])

    def take(self, action: int) -> None:
        self._before = action


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))  # which does not overflow


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))
