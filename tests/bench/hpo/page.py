"""The tables of `docs/benchmarks.md`, each between two markers, so that each part may be made by itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hpo.problems import all_problems
from hpo.runs import BUDGETS
from hpo.scores import Scores

__all__ = ["quality_tables", "table", "write_part"]

PAGE = Path(__file__).parents[3] / "docs" / "benchmarks.md"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def write_part(name: str, text: str, page: Path = PAGE) -> None:
    """Replace what is between the markers of part `name`."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    old = page.read_text()
    new, times = re.subn(
        f"({re.escape(begin)}\n).*?({re.escape(end)})",
        lambda found: f"{found[1]}\n{text.strip()}\n\n{found[2]}",
        old,
        flags=re.DOTALL,
    )
    assert times == 1, f"{page} has no part {name}"
    page.write_text(new)


def quality_tables(scores: Scores) -> str:
    """Regret and ranks over all problems, then regret of each kind of problem."""
    budgets = BUDGETS[: scores.budgets]
    kinds = {name: all_problems()[name] for name in scores.problems}
    groups = {
        "real surrogates": [name for name, each in kinds.items() if each.kind == "surrogate"],
        "functions": [name for name, each in kinds.items() if each.kind == "function"],
    }
    seeds = sorted({len(each) for each in scores.seeds.values()})
    seed_words = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    parts = [
        f"{len(scores.problems)} problems, {seed_words} seeds: {', '.join(scores.problems)}.\n",
        "Mean regret with its 95 % interval, mean rank, and CPU milliseconds of ask and tell a trial:\n",
        _summary(scores, budgets),
    ]
    for title, names in groups.items():
        if names:
            means = scores.means(names)
            rows = [
                [name, *(f"{value:.3f}" for value in means[index])]
                for index, name in enumerate(scores.searchers)
            ]
            parts += [f"Mean regret, {len(names)} {title}:\n", table(["", *map(str, budgets)], rows)]
    return "\n".join(parts)


def _summary(scores: Scores, budgets: Sequence[int]) -> str:
    means, ranks = scores.means(), scores.mean_ranks()
    low, high = scores.intervals()
    rows = []
    for index in np.argsort(ranks[:, -1]):
        name = scores.searchers[index]
        cells = [
            f"{means[index, at]:.3f} ({low[index, at]:.3f} to {high[index, at]:.3f})"
            for at in range(len(budgets))
        ]
        rows.append(
            [
                name,
                *cells,
                *(f"{ranks[index, at]:.1f}" for at in range(len(budgets))),
                f"{scores.cpu_ms[name]:.1f}",
            ]
        )
    return table(["", *map(str, budgets), *(f"rank {budget}" for budget in budgets), "CPU ms"], rows)
