"""Run the benchmarks: `nox -s bench` for all, `nox -s bench -- tpe` for some.

A benchmark is a file `bench_<subject>.py` here or in a plugin's `tests/bench/`, with a function `main()`
that prints a table. Nothing here is a test: what it prints depends on the machine.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def found() -> dict[str, Path]:
    """The benchmarks by subject."""
    paths = [*ROOT.glob("tests/bench/bench_*.py"), *ROOT.glob("plugins/*/tests/bench/bench_*.py")]
    return {path.stem.removeprefix("bench_"): path for path in sorted(paths, key=lambda path: path.stem)}


def run(subject: str, path: Path) -> None:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # so that its processes can import what it defines
    spec.loader.exec_module(module)
    print(f"\n== {subject}\n", flush=True)
    started = time.monotonic()
    module.main()
    print(f"\n({subject} took {time.monotonic() - started:.0f} s)", flush=True)


def main(wanted: list[str]) -> int:
    benchmarks = found()
    unknown = set(wanted) - set(benchmarks)
    if unknown:
        print(
            f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(benchmarks)}", file=sys.stderr
        )
        return 2
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load}, {platform.platform()}")
    for subject in wanted or benchmarks:
        run(subject, benchmarks[subject])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
