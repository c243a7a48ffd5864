"""Run the benchmarks: `nox -s bench` for all that are quick, `nox -s bench -- tpe` for some.

A benchmark is a file `bench_<subject>.py` here or in a plugin's `tests/bench/`, with a function `main()`
that prints a table. What follows the subjects from the first word with a dash on is given to it as a list:
`nox -s bench -- hpo --seeds 5`. One that takes hours has `BY_NAME_ONLY = True`. Nothing here is a test: what
is printed depends on the machine.
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


def run(subject: str, path: Path, options: list[str], *, by_name: bool) -> None:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # so that its processes can import what it defines
    spec.loader.exec_module(module)
    if getattr(module, "BY_NAME_ONLY", False) and not by_name:
        print(f"\n== {subject}: takes hours, and runs when it is named", flush=True)
        return
    print(f"\n== {subject}\n", flush=True)
    started = time.monotonic()
    module.main(options) if options else module.main()
    print(f"\n({subject} took {time.monotonic() - started:.0f} s)", flush=True)


def main(arguments: list[str]) -> int:
    benchmarks = found()
    dash = next((place for place, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    wanted, options = arguments[:dash], arguments[dash:]
    unknown = set(wanted) - set(benchmarks)
    if unknown:
        print(
            f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(benchmarks)}", file=sys.stderr
        )
        return 2
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load}, {platform.platform()}")
    for subject in wanted or benchmarks:
        run(subject, benchmarks[subject], options, by_name=bool(wanted))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
