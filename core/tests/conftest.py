"""What several test files of core need: packages that look installed, and experiments."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from experiment_lab import Lab

from tune_core.plugins import plugins

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a package `tune-<name>` on the path, as pip would leave it.

    `hooks` and `module` (its `tune_<name>.things`) may say `{module}` for the package's name.
    """
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(name: str, hooks: str, module: str = "", version: str = "1.0") -> None:
        package = f"tune_{name}"
        info = site / f"{package}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tune-{name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[tune]\n{name} = {package}\n")
        (site / package).mkdir()
        head = "from tune_core import Driver, hookimpl\n"
        (site / package / "__init__.py").write_text(
            head + textwrap.dedent(hooks).replace("{module}", package)
        )
        (site / package / "things.py").write_text(textwrap.dedent(module).replace("{module}", package))
        monkeypatch.delitem(sys.modules, package, raising=False)
        monkeypatch.delitem(sys.modules, f"{package}.things", raising=False)
        importlib.invalidate_caches()  # Python may have looked into the folder in the same tick of its clock

    yield install
    plugins.cache_clear()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """An experiment that has not begun, in a home of its own."""
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    return Lab()


HOOKS = """
@hookimpl
def tune_tuners():
    yield Driver("Echo", "{module}.things:Echo", summary="Proposes the lowest values", aliases=("Parrot",))
    yield Driver("Flat", "{module}.things:Echo", accepts=frozenset({"uniform"}), nested=False)
    yield Driver("Fussy", "{module}.things:Fussy")

@hookimpl
def tune_assessors():
    yield Driver("Strict", "{module}.things:Strict", summary="Lets nothing pass")

@hookimpl
def tune_advisors():
    yield Driver("Both", "{module}.things:Both")

@hookimpl
def tune_training_services():
    yield Driver("here", "{module}.things:Here", summary="Nowhere in particular")
"""

THINGS = """
from typing import ClassVar, Literal

from pydantic import BaseModel

from tune_core import Advisor, Assessor, SearchSpaceError, TrainingService, Tuner
from tune_core.config import ConfigModel, Secret, Size


class Echo(Tuner):
    default_optimize_mode = "minimize"

    def __init__(self, gain: float = 1.0, levels: tuple[int, ...] = (), how: Literal["up", "down"] = "up"):
        self.gain, self.levels, self.how = gain, levels, how

    def update_search_space(self, search_space): self.space = search_space
    def generate_parameters(self, parameter_id): return self.space.at(0)
    def receive_trial_result(self, parameter_id, parameters, value): pass


class Fussy(Echo):
    def __init__(self, optimize_mode="maximize", seed=None):
        self.optimize_mode, self.seed = optimize_mode, seed

    def update_search_space(self, search_space):
        if "x" in search_space:
            raise SearchSpaceError("Fussy does not like x")
        raise ZeroDivisionError("on the way")


class Strict(Assessor):
    class Arguments(BaseModel):
        patience: int = 3

    def __init__(self, patience): self.patience = patience
    def assess_trial(self, trial_id, history): return False


class Both(Advisor):
    def update_search_space(self, search_space): pass
    def propose(self, parameter_id): return {}
    def trial_end(self, parameter_id, state, value): pass
    def import_data(self, data): pass


class Here(TrainingService):
    class Config(ConfigModel):
        memory: Size = 100
        password: Secret | None = None

    def __init__(self, config): self.config = config
    async def open(self, context): pass
    async def submit(self, attempt): pass
    async def adopt(self, attempt, identity, last_sequence): pass
    async def cancel(self, key): pass
    async def close(self): pass
"""


@pytest.fixture
def demo(install: Install, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only one plugin is there: `tune-demo`, with the tuners Echo, Flat and Fussy, the assessor
    Strict, the advisor Both and the platform `here`."""
    install("demo", HOOKS, THINGS)
    monkeypatch.setenv("TUNE_ENABLE_PLUGINS", "demo")
    plugins.cache_clear()
    yield
    plugins.cache_clear()
