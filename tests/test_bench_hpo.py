"""The arithmetic behind docs/benchmarks.md: optima, regrets, ranks, pairing, and going on after a stop."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCH = Path(__file__).parent / "bench"
sys.path.insert(0, str(BENCH))  # as `python tests/bench` has it

from hpo.page import write_part  # noqa: E402
from hpo.problems import all_problems  # noqa: E402
from hpo.runs import BUDGETS, Result, Run, read, run_one  # noqa: E402
from hpo.scores import Scores, normaliser, ranks  # noqa: E402

from tune_core import SearchSpace  # noqa: E402

HARTMANN = (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)


def vector(*values: float) -> dict[str, float]:
    return {f"x{i}": value for i, value in enumerate(values)}


def net(**more: Any) -> dict[str, Any]:
    inside = {"width": 128.0, "layers": 3, "optimizer": {"_name": "sgd", "momentum": 0.9}}
    return {"model": {"_name": "net", **inside}, "lr": 10**-2.3, "prepare": "standard", **more}


OPTIMA: dict[str, dict[str, Any]] = {
    "branin": vector((np.pi + 5) / 15, 2.275 / 15),
    "hartmann6": vector(*HARTMANN),
    "hartmann6 (noisy)": vector(*HARTMANN),
    "rosenbrock10": vector(*[1.0] * 10),
    "ackley20": vector(*[0.0] * 20),
    "levy8": vector(*[1.0] * 8),
    "models (nested)": net(),
    "pipeline (nested)": {
        "before": {"_name": "kernel", "width": 0.125, "features": 300},
        "model": {"_name": "linear"},
        "penalty": 1e-3,
    },
}


@pytest.mark.parametrize("name", list(OPTIMA))
def test_least_loss_is_where_it_is_known_to_be(name: str) -> None:
    problem = all_problems()[name]
    space = SearchSpace.parse(problem.space)
    space.check(OPTIMA[name])
    assert problem.loss(OPTIMA[name]) == pytest.approx(problem.least, abs=1e-5)
    rng = np.random.default_rng(0)
    assert problem.losses(space.decode(rng.random((3000, space.dimensions))), 1.0).min() > problem.least


def test_every_function_has_its_optimum_checked() -> None:
    functions = {name for name, each in all_problems().items() if each.kind == "function"}
    assert functions == OPTIMA.keys()
    assert {each.is_final for each in all_problems().values() if each.kind == "function"} == {True, False}


def test_regret_is_one_at_the_median_of_random_points() -> None:
    problem = all_problems()["hartmann6"]
    scale = normaliser("hartmann6")
    rng = np.random.default_rng(5)
    losses = problem.losses([vector(*rng.random(6)) for _ in range(4000)], 1.0)
    assert np.median(scale.regret(losses)) == pytest.approx(1, abs=0.03)
    assert scale.regret(np.array([-3.32237]))[0] == 0


def test_equal_regrets_share_their_rank() -> None:
    values = np.array([[0.1, 0.3], [0.1, 0.2], [0.5, 0.1]])
    assert ranks(values).tolist() == [[1.5, 3], [1.5, 2], [3, 1]]


def test_a_run_is_repeatable_and_regret_falls() -> None:
    run = Run("branin", "Random", 3, 8, 50)
    first, second = run_one(run), run_one(run)
    assert first.losses == second.losses
    assert len(first.losses) == sum(budget <= 50 for budget in BUDGETS)
    assert first.losses[0] >= first.losses[1]


def test_noise_misleads_the_choice_and_not_the_loss() -> None:
    """The best of noisy trials is chosen by what it reported, and counts with its true loss."""
    noisy = run_one(Run("hartmann6 (noisy)", "Random", 1, 1, 200)).losses
    true = run_one(Run("hartmann6", "Random", 1, 1, 200)).losses
    assert all(a >= b for a, b in zip(noisy, true, strict=True))
    assert noisy != true


def test_what_is_in_the_file_is_known_and_a_cut_line_is_not(tmp_path: Path) -> None:
    result = Result(Run("branin", "Random", 0, 1, 25), [0.5], 0.1)
    path = tmp_path / "quality.jsonl"
    line = json.dumps(result._asdict())
    path.write_text(f"{line}\n{line[: len(line) // 2]}")
    assert read(path) == {result.run: result}


def test_searchers_are_compared_on_what_all_of_them_ran() -> None:
    def results(searcher: str, seeds: int, loss: float) -> list[Result]:
        return [Result(Run("branin", searcher, seed, 1, 25), [loss + seed], 1.0) for seed in range(seeds)]

    nested = [Result(Run("models (nested)", "A", 0, 1, 25), [0.2], 1.0)]
    refused = [Result(Run("models (nested)", "B", 0, 1, 25), [], 0.0)]
    everything = [*results("A", 4, 1.0), *results("B", 2, 2.0), *nested, *refused]
    found = {result.run: result for result in everything}
    scores = Scores(found, ["A", "B"], ["branin", "models (nested)"], at_once=1)
    assert scores.seeds == {"branin": [0, 1]}
    assert scores.mean_ranks().tolist() == [[1.0], [2.0]]
    scale = normaliser("branin")
    assert scores.means()[:, 0] == pytest.approx(scale.regret(np.array([1.5, 2.5])))
    low, high = scores.intervals()
    assert low[0, 0] == pytest.approx(scale.regret(np.array([1.0]))[0])
    assert high[0, 0] == pytest.approx(scale.regret(np.array([2.0]))[0])


def test_a_part_of_the_page_is_replaced_and_no_other(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- one: begin -->\nold\n<!-- one: end -->\n<!-- two: begin -->\n<!-- two: end -->\n"
    )
    write_part("two", "new \\1\n", page)
    write_part("one", "newer", page)
    assert page.read_text() == (
        "a\n<!-- one: begin -->\n\nnewer\n\n<!-- one: end -->\n"
        "<!-- two: begin -->\n\nnew \\1\n\n<!-- two: end -->\n"
    )
