"""What `tune` loads before it does anything. Modules are counted, not milliseconds: those vary."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"numpy", "pandas", "pydantic", "scipy", "sklearn", "sqlite3", "torch", "yaml"}
PROBE = """
import json, sys
from tune_core.cli import main
sys.argv = ["tune", *{arguments!r}]
try:
    main()
except SystemExit:
    pass
print("\\n" + json.dumps(sorted(sys.modules)))
"""


def modules_after(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(arguments=arguments)], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("plugins", "list"), ("trial", "--help")])
def test_tune_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert HEAVY.isdisjoint(modules_after(*arguments))


def test_tune_plugins_list_loads_no_algorithm() -> None:
    loaded = modules_after("plugins", "list")
    plugins = {name for name in loaded if name.startswith("tune_") and not name.startswith("tune_core")}
    assert plugins
    assert not {name for name in plugins if "." in name}
