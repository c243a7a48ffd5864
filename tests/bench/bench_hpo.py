"""How good and how quick the tuners are, beside their peers: `nox -s bench -- hpo`, or with `--help`.

Writes the tables of docs/benchmarks.md. Results are kept, so that an interrupted run goes on; by default in
.bench/hpo, one file for each part. What is measured and how is said on that page.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

BY_NAME_ONLY = True
ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str] = ()) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # of the processes that are started: times are of one core
    chosen = _options(arguments)
    wanted = chosen.parts or ["quality", "fidelity", "latency"]
    if "quality" in wanted:
        quality(chosen)
    if "fidelity" in wanted:
        from hpo import fidelity

        fidelity.main(chosen)
    if "latency" in wanted:
        from hpo import latency

        latency.main(chosen)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nox -s bench -- hpo", description=__doc__)
    add = parser.add_argument
    add("--parts", nargs="+", choices=("quality", "fidelity", "latency"), help="default: all")
    add("--seeds", type=int, default=20, help="runs of each searcher on each problem (20)")
    add("--costly-seeds", type=int, default=5, help="the same for optuna's GP and SMAC (5)")
    add("--trials", type=int, default=200, help="of a run (200)")
    add("--costly-trials", type=int, default=100, help="the same for optuna's GP and SMAC (100)")
    add("--at-once", type=int, nargs="+", default=[1, 8], help="trials pending at any time (1 8)")
    add("--searchers", nargs="+", help="default: all that are installed")
    add("--problems", nargs="+", help="default: all of the split")
    add("--final", action="store_true", help="the final problems, which nobody tunes for")
    add("--workers", type=int, default=max(1, (os.cpu_count() or 2) // 2), help="processes")
    add("--results", type=Path, default=ROOT / ".bench" / "hpo", help="where results are kept")
    add("--no-page", action="store_true", help="print the tables and leave docs/benchmarks.md as it is")
    return parser.parse_args(list(arguments))


def quality(chosen: argparse.Namespace) -> None:
    from hpo.page import quality_tables, write_part
    from hpo.problems import all_problems, surrogates_folder
    from hpo.runs import Run, run_all
    from hpo.scores import Scores
    from hpo.searchers import COSTLY, installed

    if surrogates_folder() is None:
        print("no surrogates of real problems: TUNE_SHARED does not name a folder with data/yahpo in it")
    everyone = installed()
    searchers = [name for name in everyone if not chosen.searchers or name in chosen.searchers]
    if unknown := set(chosen.searchers or ()) - set(everyone):
        sys.exit(f"not here: {', '.join(sorted(unknown))}; there are: {', '.join(everyone)}")
    split = [each.name for each in all_problems().values() if each.is_final == chosen.final]
    problems = [name for name in split if not chosen.problems or name in chosen.problems]
    trials = {name: chosen.costly_trials if name in COSTLY else chosen.trials for name in searchers}
    runs = [
        Run(problem, searcher, seed, at_once, trials[searcher])
        for seed in range(chosen.seeds)  # seeds outermost: an interrupted run is one with fewer seeds
        for at_once in chosen.at_once
        for searcher in searchers
        for problem in problems
        if searcher not in COSTLY or seed < chosen.costly_seeds
    ]
    results = run_all(runs, chosen.results / "quality.jsonl", chosen.workers)
    ran = {run: results[run] for run in runs if run in results}
    parts = []
    for at_once in chosen.at_once:
        parts.append(f"### {'One' if at_once == 1 else at_once} at a time\n")
        for title, names in _comparisons(searchers):
            scores = Scores(ran, names, problems, at_once)
            if scores.problems:
                parts += [f"{title}\n", quality_tables(scores)]
    text = "\n".join(parts)
    print(text)
    if not chosen.no_page:
        write_part("final" if chosen.final else "development", text)


def _comparisons(searchers: list[str]) -> list[tuple[str, list[str]]]:
    """Each on the problems and seeds that all its searchers ran: titles and searchers."""
    from hpo.searchers import COSTLY, FLAT

    found = {
        "*Everyone that takes nested spaces.*": [name for name in searchers if name not in FLAT],
        "*Without the costly ones, on all seeds.*": [
            name for name in searchers if name not in COSTLY and name not in FLAT
        ],
        "*With those that do not take nested spaces, on the problems without.*": [
            name for name in searchers if name not in COSTLY
        ],
    }
    return list({tuple(names): (title, names) for title, names in reversed(found.items())}.values())[::-1]


if __name__ == "__main__":
    main(sys.argv[1:])
