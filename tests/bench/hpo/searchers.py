"""Who optimises: our tuners and their peers, behind `ask` and `tell`."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from tune_core import AskTell, SearchSpace, SearchSpaceError
from tune_core.plugins import plugins

__all__ = ["COSTLY", "FLAT", "SEARCHERS", "Searcher", "Unfit", "installed", "versions"]


class Unfit(Exception):  # noqa: N818 (nothing is wrong with it)
    """This searcher does not take this search space."""


class Searcher(Protocol):
    """One run of one algorithm."""

    def ask(self) -> tuple[Any, dict[str, Any]]:
        """A token for `tell`, and a configuration in our form."""

    def tell(self, token: Any, value: float) -> None: ...


class Ours:
    """A tuner of ours, by name."""

    def __init__(self, name: str, space: dict[str, Any], seed: int, _trials: int) -> None:
        try:
            self._search = AskTell(name, space, mode="minimize", seed=seed)
        except SearchSpaceError as err:
            raise Unfit from err

    def ask(self) -> tuple[Any, dict[str, Any]]:
        asked = self._search.ask()
        assert asked is not None
        return asked, asked.parameters

    def tell(self, token: Any, value: float) -> None:
        self._search.tell(token, value)


class Optuna:
    """A sampler of optuna."""

    def __init__(
        self, name: str, options: Mapping[str, Any], space: dict[str, Any], seed: int, _trials: int
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore")
        if name == "GPSampler":
            import torch

            torch.set_num_threads(1)
        sampler = getattr(optuna.samplers, name)(seed=seed, **options)
        self._study, self._space = optuna.create_study(sampler=sampler), space

    def ask(self) -> tuple[Any, dict[str, Any]]:
        trial = self._study.ask()
        return trial, suggest(trial, self._space)

    def tell(self, token: Any, value: float) -> None:
        self._study.tell(token, value)


def suggest(trial: Any, space: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """A configuration, asked of optuna parameter by parameter as its users do."""
    found: dict[str, Any] = {}
    for name, spec in space.items():
        if name == "_name":
            continue
        here, kind, value = f"{path}{name}", spec["_type"], spec["_value"]
        if kind == "choice" and isinstance(value[0], dict):
            branch = trial.suggest_categorical(here, [option["_name"] for option in value])
            inside = next(option for option in value if option["_name"] == branch)
            found[name] = {"_name": branch, **suggest(trial, inside, f"{here}.{branch}.")}
        elif kind == "choice":
            found[name] = trial.suggest_categorical(here, value)
        elif kind == "randint":
            found[name] = trial.suggest_int(here, value[0], value[1] - 1)
        elif kind == "quniform":
            found[name] = trial.suggest_float(here, value[0], value[1], step=value[2])
        else:
            found[name] = trial.suggest_float(here, *value, log=kind == "loguniform")
    return found


class Smac:
    """SMAC as its users run it: the facade for hyper-parameters, which is told its budget in advance.

    Only the search space is translated by tune-smac.
    """

    def __init__(self, space: dict[str, Any], seed: int, trials: int) -> None:
        from smac import HyperparameterOptimizationFacade, Scenario
        from tune_smac.translation import Translation

        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        self._folder = tempfile.TemporaryDirectory()
        self._translation = Translation(SearchSpace.parse(space))
        scenario = Scenario(
            self._translation.configspace,
            deterministic=True,
            n_trials=trials,
            seed=seed,
            output_directory=self._folder.name,
        )
        self._facade = HyperparameterOptimizationFacade(scenario, logging_level=False, overwrite=True)

    def ask(self) -> tuple[Any, dict[str, Any]]:
        info = self._facade.ask()
        return info, self._translation.parameters(info.config)

    def tell(self, token: Any, value: float) -> None:
        from smac.runhistory import TrialValue

        self._facade.tell(token, TrialValue(cost=value), save=False)


def _ours(name: str) -> Callable[..., Searcher]:
    return lambda *run: Ours(name, *run)


def _optuna(name: str, **options: Any) -> Callable[..., Searcher]:
    return lambda *run: Optuna(name, options, *run)


SEARCHERS: dict[str, Callable[..., Searcher]] = {
    **{name: _ours(name) for name in ("Auto", "GP", "TPE", "CMAES", "Evolution", "Anneal", "Random")},
    "optuna TPE": _optuna("TPESampler"),
    "optuna TPE (group)": _optuna("TPESampler", multivariate=True, group=True, constant_liar=True),
    "optuna TPE (univariate)": _optuna("TPESampler", multivariate=False, constant_liar=False),
    "optuna GP": _optuna("GPSampler"),
    # Hyperopt itself, through our adapter: proposals are its own on the same seeds.
    "hyperopt TPE": _ours("HyperoptTPE"),
    "hyperopt anneal": _ours("HyperoptAnneal"),
    "SMAC": Smac,
    "SMAC (tune-smac)": _ours("SMAC"),
}
"""By the name in the tables: what makes a searcher from a search space, a seed and the number of trials."""

COSTLY = frozenset({"optuna GP", "SMAC", "SMAC (tune-smac)"})
"""Half a second a trial and more; they get fewer seeds."""

FLAT = frozenset({"CMAES"})
"""They do not take nested spaces."""

_PEERS = {"optuna": "optuna", "hyperopt": "hyperopt", "SMAC": "smac"}
_OURS = {"hyperopt TPE": "HyperoptTPE", "hyperopt anneal": "HyperoptAnneal", "SMAC (tune-smac)": "SMAC"}


def installed() -> list[str]:
    """The searchers that can run here."""
    tuners = {found.driver.name for found in plugins().all("tuner")}
    return [name for name in SEARCHERS if _is_installed(name, tuners)]


def _is_installed(name: str, tuners: set[str]) -> bool:
    peer = next((package for begin, package in _PEERS.items() if name.startswith(begin)), None)
    if peer is None:
        return name in tuners
    return peer in versions() and _OURS.get(name, "Random") in tuners


def versions() -> dict[str, str]:
    """Of the peers that are installed."""
    found = {}
    for package in ("optuna", "hyperopt", "smac", "torch", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
