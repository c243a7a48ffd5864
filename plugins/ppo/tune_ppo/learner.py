"""Proximal policy optimisation of the policy's weights.

Schulman, J. et al. (2017). Proximal policy optimization algorithms. https://arxiv.org/abs/1707.06347
Schulman, J. et al. (2016). High-dimensional continuous control using generalized advantage estimation.
https://arxiv.org/abs/1506.02438

The clipped loss of values, and the constants that are not arguments, are those of the PPO2 of OpenAI's
baselines, which NNI's tuner is made from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tune_core.algorithms.threads import one_thread
from tune_ppo.policy import Episode, Floats, Weights

__all__ = ["Batch", "Learner", "Settings", "advantages", "clipped_loss"]

_EPSILON = 1e-5  # of Adam
_LEAST_SPREAD = 0.1  # of advantages: where all are alike, their differences are noise


@dataclass(frozen=True)
class Settings:
    """NNI's arguments of the same names."""

    epochs_per_update: int = 4
    minibatch_size: int = 4
    ent_coef: float = 0.0
    lr: float = 3e-4
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    gamma: float = 0.99
    lam: float = 0.95
    cliprange: float = 0.2


def advantages(reward: float, values: Floats, gamma: float, lam: float) -> Floats:
    """Generalised advantages of the steps of one episode, whose reward comes after its last; shape (steps,).

    Equations 11, 12 and 16 of Schulman et al. (2016): the sum over l of (gamma lam)^l delta_(t + l).
    """
    result = np.empty(len(values))
    ahead = 0.0
    for step in reversed(range(len(values))):
        is_last = step == len(values) - 1
        delta = (reward if is_last else gamma * values[step + 1]) - values[step]
        ahead = delta + gamma * lam * ahead
        result[step] = ahead
    return result


@dataclass(frozen=True)
class Batch:
    """Episodes side by side, padded to the longest; all but `legal` of shape (episodes, steps).

    Attributes:
        before: The action before each step.
        legal: Shape (episodes, steps, actions).
        log_probs, values: By the policy that proposed.
        returns: What the values should have been.
        advantages: Of the actions, normalised.
        is_step: False where an episode is over.
    """

    before: Tensor
    actions: Tensor
    decisions: Tensor
    legal: Tensor
    log_probs: Tensor
    values: Tensor
    returns: Tensor
    advantages: Tensor
    is_step: Tensor

    def some(self, rows: Tensor) -> Batch:
        return Batch(**{name: column[rows] for name, column in vars(self).items()})


def clipped_loss(log_probs: Tensor, values: Tensor, entropies: Tensor, batch: Batch, how: Settings) -> Tensor:
    """What is minimised: losses of policy and of values, less the entropy; means over all steps.

    Equation 7 of Schulman et al. (2017) with its sign turned, and the same caution for values.

    Args:
        log_probs, values, entropies: By the policy of now, of the shape of the batch.
    """
    ratio = torch.exp(log_probs - batch.log_probs)
    clipped = torch.clamp(ratio, 1.0 - how.cliprange, 1.0 + how.cliprange)
    policy = torch.maximum(-batch.advantages * ratio, -batch.advantages * clipped)
    near = batch.values + torch.clamp(values - batch.values, -how.cliprange, how.cliprange)
    value = 0.5 * torch.maximum((values - batch.returns) ** 2, (near - batch.returns) ** 2)
    loss: Tensor = policy + how.vf_coef * value - how.ent_coef * entropies
    return loss[batch.is_step].mean()


class Learner:
    """Owns the weights and makes them better.

    Args:
        weights: To begin with.
    """

    def __init__(self, weights: Weights, settings: Settings) -> None:
        self._settings = settings
        self._weights = {
            name: torch.from_numpy(array.copy()).requires_grad_() for name, array in weights.items()
        }
        self._optimiser = torch.optim.Adam(self._weights.values(), lr=settings.lr, eps=_EPSILON)

    @property
    def weights(self) -> Weights:
        return {name: tensor.detach().numpy().copy() for name, tensor in self._weights.items()}

    def update(self, episodes: Sequence[Episode], rewards: Floats, rng: np.random.Generator) -> None:
        """Learn from a batch of episodes of a step or more, whose number `minibatch_size` divides.

        Args:
            rewards: Of the episodes, higher is better, of about unit variance; shape (episodes,).
        """
        how = self._settings
        with one_thread():
            batch = self._batch(episodes, rewards)
            for _ in range(how.epochs_per_update):
                order = torch.from_numpy(rng.permutation(len(episodes)))
                for rows in torch.split(order, how.minibatch_size):
                    part = batch.some(rows)
                    loss = clipped_loss(*self.evaluate(part), part, how)
                    self._optimiser.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    torch.nn.utils.clip_grad_norm_(self._weights.values(), how.max_grad_norm)
                    self._optimiser.step()

    def _batch(self, episodes: Sequence[Episode], rewards: Floats) -> Batch:
        how = self._settings
        gained = [
            advantages(reward, episode.values, how.gamma, how.lam)
            for episode, reward in zip(episodes, rewards.tolist(), strict=True)
        ]
        returns = [gain + episode.values for gain, episode in zip(gained, episodes, strict=True)]
        steps = np.concatenate(gained)
        normed = [(gain - steps.mean()) / max(float(steps.std()), _LEAST_SPREAD) for gain in gained]
        none_before = len(self._weights["action"]) - 1
        lengths = torch.tensor([len(episode) for episode in episodes])
        legal = _padded([episode.legal for episode in episodes])
        legal[..., 0] |= ~legal.any(dim=-1)  # where there is no step: a distribution of nothing is no number
        return Batch(
            before=_padded([np.append(none_before, episode.actions[:-1]) for episode in episodes]),
            actions=_padded([episode.actions for episode in episodes]),
            decisions=_padded([episode.decisions for episode in episodes]),
            legal=legal,
            log_probs=_padded([episode.log_probs for episode in episodes]),
            values=_padded([episode.values for episode in episodes]),
            returns=_padded(returns),
            advantages=_padded(normed),
            is_step=torch.arange(legal.shape[1]) < lengths[:, None],
        )

    def evaluate(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Log probabilities of the actions, values, and entropies, by the weights of now.

        Each of the shape of the batch.
        """
        w = self._weights
        embedded = w["action"][batch.before] + w["decision"][batch.decisions]
        gates = embedded @ w["input"] + w["gates"]
        hidden = cell = torch.zeros(len(gates), w["recurrent"].shape[0], dtype=gates.dtype)
        states = []
        for step in range(gates.shape[1]):
            into, forget, content, out = (gates[:, step] + hidden @ w["recurrent"]).chunk(4, dim=1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(into) * torch.tanh(content)
            hidden = torch.sigmoid(out) * torch.tanh(cell)
            states.append(hidden)
        state = torch.stack(states, dim=1)
        logits = state @ w["policy"] + w["policy_bias"]
        log_probs = torch.log_softmax(logits.masked_fill(~batch.legal, -torch.inf), dim=-1)
        safe = log_probs.masked_fill(~batch.legal, 0.0)  # 0 times -inf is no number
        entropies = -(log_probs.exp() * safe).sum(dim=-1)
        taken = safe.gather(-1, batch.actions[..., None]).squeeze(-1)
        return taken, (state @ w["value"] + w["value_bias"]).squeeze(-1), entropies


def _padded(columns: Sequence[np.ndarray]) -> Tensor:
    """Arrays of different lengths, side by side; 0 where one is over."""
    return torch.nn.utils.rnn.pad_sequence([torch.from_numpy(each) for each in columns], batch_first=True)
