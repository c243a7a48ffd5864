"""Advantages, losses and probabilities against their formulae."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tune_ppo.grammar import Grammar
from tune_ppo.learner import Batch, Learner, Settings, advantages, clipped_loss
from tune_ppo.policy import Policy, Weights, new_weights
from tune_ppo.rewards import rewards

from tune_core import SearchSpace, SearchSpaceError

RAW: dict[str, Any] = {
    "op": {"_type": "layer_choice", "_value": ["conv", "pool", "skip"]},
    "fixed": {"_type": "choice", "_value": ["only"]},
    "one": {"_type": "input_choice", "_value": {"candidates": ["a", "b", "c"], "n_chosen": 1}},
    "maybe": {"_type": "input_choice", "_value": {"candidates": ["a", "b"], "n_chosen": [0, 1]}},
    "some": {"_type": "input_choice", "_value": {"candidates": list("abcde"), "n_chosen": [0, 2, 4]}},
    "all": {"_type": "input_choice", "_value": {"candidates": ["a", "b"], "n_chosen": 2}},
    "none": {"_type": "input_choice", "_value": {"candidates": ["a", "b"], "n_chosen": 0}},
}
SPACE = SearchSpace.parse(RAW)
GRAMMAR = Grammar(SPACE)


def wild_weights(seed: int = 0) -> Weights:
    """Of a policy with strong opinions."""
    weights = new_weights(GRAMMAR, np.random.default_rng(seed))
    weights["policy"] *= 300.0
    return weights


def test_advantages_are_the_discounted_sum_of_errors() -> None:
    values, reward, gamma, lam = np.array([0.3, -0.2, 0.5, 0.1]), 1.5, 0.9, 0.7
    errors = [gamma * 0.2 * -1 - 0.3, gamma * 0.5 + 0.2, gamma * 0.1 - 0.5, reward - 0.1]
    expected = [sum((gamma * lam) ** (j - i) * errors[j] for j in range(i, 4)) for i in range(4)]
    assert advantages(reward, values, gamma, lam) == pytest.approx(expected)


@pytest.mark.parametrize(("lam", "expected"), [(1.0, [2.0 - 0.5, 2.0 - 1.0]), (0.0, [1.0 - 0.5, 2.0 - 1.0])])
def test_lambda_trusts_rewards_or_values(lam: float, expected: list[float]) -> None:
    assert advantages(2.0, np.array([0.5, 1.0]), gamma=1.0, lam=lam) == pytest.approx(expected)


def batch_of(**columns: Any) -> Batch:
    """One episode of these columns; what the loss does not look at is 0."""
    shape = (1, len(columns["advantages"]))
    filled = {name: torch.zeros(shape, dtype=torch.float64) for name in Batch.__annotations__}
    filled |= {name: torch.tensor([column], dtype=torch.float64) for name, column in columns.items()}
    filled["is_step"] = torch.tensor([columns.get("is_step", [True] * shape[1])])
    return Batch(**filled)


def test_policy_loss_is_clipped_where_it_would_gain() -> None:
    ratios, gains = [1.5, 1.5, 0.5, 0.5, 1.1], [2.0, -2.0, 2.0, -2.0, 1.0]
    batch = batch_of(advantages=gains)
    zeros = torch.zeros(1, 5, dtype=torch.float64)
    loss = clipped_loss(
        torch.log(torch.tensor([ratios])).double(), zeros, zeros, batch, Settings(vf_coef=0.0)
    )
    # The worse of both for each: 1.2, 1.5, 0.5, 0.8 and 1.1 times the advantage.
    expected = -np.mean([1.2 * 2.0, 1.5 * -2.0, 0.5 * 2.0, 0.8 * -2.0, 1.1 * 1.0])
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_a_clipped_ratio_has_no_slope() -> None:
    log_probs = torch.log(torch.tensor([[1.5, 0.5, 1.0]], dtype=torch.float64)).requires_grad_()
    zeros = torch.zeros(1, 3, dtype=torch.float64)
    clipped_loss(
        log_probs, zeros, zeros, batch_of(advantages=[1.0, -1.0, 1.0]), Settings(vf_coef=0.0)
    ).backward()
    assert log_probs.grad is not None
    assert log_probs.grad[0].tolist() == [0.0, 0.0, pytest.approx(-1 / 3)]


def test_value_loss_is_the_worse_of_both() -> None:
    values, before, returns = [1.0, 0.0, 0.1], [0.0, 0.0, 0.0], [2.0, 1.0, 0.05]
    batch = batch_of(advantages=[0.0] * 3, values=before, returns=returns)
    zeros = torch.zeros(1, 3, dtype=torch.float64)
    loss = clipped_loss(zeros, torch.tensor([values]).double(), zeros, batch, Settings(vf_coef=0.5))
    clipped = np.clip(values, -0.2, 0.2)  # around 0
    squares = np.maximum((np.array(values) - returns) ** 2, (clipped - returns) ** 2)
    assert float(loss) == pytest.approx(0.5 * 0.5 * squares.mean())


def test_entropy_lowers_the_loss_and_padding_does_not_count() -> None:
    batch = batch_of(advantages=[1.0, 99.0], is_step=[True, False])
    zeros = torch.zeros(1, 2, dtype=torch.float64)
    entropies = torch.tensor([[0.7, 50.0]], dtype=torch.float64)
    loss = clipped_loss(zeros, zeros, entropies, batch, Settings(ent_coef=0.1, vf_coef=0.0))
    assert float(loss) == pytest.approx(-1.0 - 0.07)


def test_every_configuration_is_one_sequence() -> None:
    policy = Policy(GRAMMAR, wild_weights())
    sequences = {tuple(policy.read(parameters).actions.tolist()) for parameters in SPACE.grid()}
    assert len(sequences) == SPACE.size == 3 * 3 * 3 * (1 + 10 + 5)


def test_probabilities_of_all_sequences_sum_to_one() -> None:
    policy = Policy(GRAMMAR, wild_weights())
    log_probs = [policy.read(parameters).log_probs.sum() for parameters in SPACE.grid()]
    assert np.exp(log_probs).sum() == pytest.approx(1.0, abs=1e-12)
    assert max(log_probs) - min(log_probs) > 5  # far from uniform


def test_what_is_forced_is_no_step() -> None:
    policy = Policy(GRAMMAR, wild_weights())
    for parameters in SPACE.grid():
        episode = policy.read(parameters)
        assert (episode.legal.sum(axis=1) >= 2).all()
        assert episode.legal[np.arange(len(episode)), episode.actions].all()
        assert set(episode.decisions.tolist()) <= {0, 2, 3, 4}


def test_frequencies_are_the_probabilities() -> None:
    policy = Policy(GRAMMAR, wild_weights(3))
    rng = np.random.default_rng(0)
    drawn = [policy.write(rng) for _ in range(1500)]
    for parameters in drawn[:5]:
        SPACE.check(parameters)
    likely = max(SPACE.grid(), key=lambda each: float(policy.read(each).log_probs.sum()))
    p = float(np.exp(policy.read(likely).log_probs.sum()))
    assert p > 0.02
    found = sum(each == likely for each in drawn)
    assert found == pytest.approx(1500 * p, abs=6 * np.sqrt(1500 * p * (1 - p)))  # 6 sigma


def test_the_learner_thinks_what_the_policy_thinks() -> None:
    """Two implementations of one network; and illegal actions have probability 0, exactly."""
    weights = wild_weights(1)
    policy, learner = Policy(GRAMMAR, weights), Learner(weights, Settings())
    episodes = [policy.read(parameters) for parameters in list(SPACE.grid())[::37]]
    batch = learner._batch(episodes, np.zeros(len(episodes)))
    log_probs, values, entropies = learner.evaluate(batch)
    assert len({len(episode) for episode in episodes}) > 1
    for row, episode in enumerate(episodes):
        steps = slice(0, len(episode))
        assert log_probs[row, steps].detach().numpy() == pytest.approx(episode.log_probs, abs=1e-12)
        assert values[row, steps].detach().numpy() == pytest.approx(episode.values, abs=1e-12)
        assert not batch.is_step[row, len(episode) :].any()
    assert torch.isfinite(entropies).all()
    masked = torch.zeros(1, 3).masked_fill(torch.tensor([[False, True, False]]), -torch.inf)
    assert torch.log_softmax(masked, dim=-1).exp()[0, 1] == 0.0


def test_an_update_makes_what_did_well_more_likely() -> None:
    weights = new_weights(GRAMMAR, np.random.default_rng(2))
    policy, learner = Policy(GRAMMAR, weights), Learner(weights, Settings(lr=1e-3))
    rng = np.random.default_rng(3)
    drawn = [policy.write(rng) for _ in range(20)]
    good = [each["op"]["_value"] == "pool" for each in drawn]
    before = [policy.read(each).log_probs[0] for each in drawn]
    learner.update([policy.read(each) for each in drawn], np.where(good, 1.0, -1.0), rng)
    after = [Policy(GRAMMAR, learner.weights).read(each).log_probs[0] for each in drawn]
    assert 0 < sum(good) < 20
    assert all((new > old) == well for new, old, well in zip(after, before, good, strict=True))


def test_training_leaves_torch_as_it_was() -> None:
    torch.manual_seed(7)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    weights = new_weights(GRAMMAR, np.random.default_rng(2))
    episodes = [Policy(GRAMMAR, weights).read(each) for each in list(SPACE.grid())[:4]]
    learner = Learner(weights, Settings())
    learner.update(episodes, np.arange(4.0), np.random.default_rng(0))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert any((learner.weights[name] != weights[name]).any() for name in weights)


def test_rewards_are_standardised_results_turned_round() -> None:
    everything = [1.0, 2.0, 3.0, 4.0]
    assert rewards([1.0, 4.0], everything) == pytest.approx(np.array([1.5, -1.5]) / np.std(everything))


def test_a_failure_is_worth_the_mean_of_its_batch() -> None:
    found = rewards([1.0, None, 2.0, None], [1.0, 2.0, 9.0])
    assert found[1] == found[3] == pytest.approx((found[0] + found[2]) / 2)
    assert list(rewards([None, None], [])) == [0.0, 0.0]


def test_one_disaster_does_not_hide_the_others() -> None:
    found = rewards([0.1, 0.2, 1e300], [*np.linspace(0, 1, 30), 1e300])
    assert np.isfinite(found).all()
    assert found.min() == -3.0


def test_what_it_does_not_take_is_refused_by_name() -> None:
    nested = {"layer": {"_type": "choice", "_value": [{"_name": "a"}, {"_name": "b"}]}}
    with pytest.raises(SearchSpaceError, match=r"layer: PPO takes .* not a nested choice; TPE"):
        Grammar(SearchSpace.parse(nested))
    with pytest.raises(SearchSpaceError, match=r"lr: PPO takes .* not uniform; TPE"):
        Grammar(SearchSpace.parse({"lr": {"_type": "uniform", "_value": [0, 1]}}))
    many = {f"x{i}": {"_type": "choice", "_value": list(range(4000))} for i in range(3)}
    with pytest.raises(SearchSpaceError, match=r"up to 10,000 options in all, this search space has 12,000"):
        Grammar(SearchSpace.parse(many))
