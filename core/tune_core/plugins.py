"""Finding, loading, isolating and naming plugins.

stevedore finds the packages (entry-point group `tune`), pluggy carries their hooks. Finding imports
each plugin's module of hook implementations, which imports nothing heavy; what a driver names is
imported when it is chosen. A plugin that is broken is listed with its error and harms nobody else.

`TUNE_DISABLE_PLUGINS=smac,foo` leaves plugins out; `TUNE_ENABLE_PLUGINS=tpe,local` leaves out all
others. Both take names of plugins or of their packages.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

import pluggy
from stevedore import ExtensionManager

from tune_core import hookspecs
from tune_core.errors import PluginError
from tune_core.hookspecs import Driver

__all__ = ["API_VERSION", "GROUP", "KINDS", "Found", "Kind", "Plugin", "Plugins", "plugins"]

API_VERSION = 1
"""Raised when hooks or base classes change so that older plugins break. A plugin whose module says
`tune_api = 2` is not loaded by a core of version 1; one that says nothing is taken at its word."""

GROUP = "tune"

_HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("tune_"))

_FAULTS = (Exception, SystemExit)
"""What code of a plugin may raise; Ctrl-C is the user's."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """One of the things that a plugin can bring.

    Attributes:
        hook: The hook that lists its drivers.
        words: What a person calls it, with its article.
        base: `module:Class` that a target must derive from; empty when any callable will do.
        includes: Other kinds that may be named where this one is asked for.
        package: What to install where there is none, without `tune-`.
    """

    hook: str
    words: str
    base: str = ""
    includes: tuple[str, ...] = ()
    package: str = "<name>"


KINDS: Mapping[str, Kind] = {
    "tuner": Kind("tune_tuners", "a tuner", "tune_core.algorithms.base:Tuner", includes=("advisor",)),
    "assessor": Kind("tune_assessors", "an assessor", "tune_core.algorithms.base:Assessor"),
    "advisor": Kind("tune_advisors", "an advisor", "tune_core.algorithms.base:Advisor"),
    "training_service": Kind(
        "tune_training_services", "a training service", "tune_core.services.base:TrainingService"
    ),
    "nas_trainer": Kind("tune_nas_trainers", "a NAS trainer", "tune_core.nas:NasTrainer"),
    "annotation": Kind(
        "tune_annotations",
        "a reader of annotated code",
        "tune_core.annotation:Annotation",
        package="annotation",
    ),
    "zoo": Kind("tune_search_space_zoo", "a search space of the zoo"),
    "command": Kind("tune_commands", "a command"),
}

_OBSERVERS = frozenset(_HOOKS) - {kind.hook for kind in KINDS.values()}


@dataclass
class Plugin:
    """One installed plugin, working or not.

    Attributes:
        name: Of its entry point.
        module: Holds its hook implementations.
        error: Why it is broken; empty when it works.
        disabled: The environment variable that leaves it out; empty when none does.
        exception: What `error` was made from, with its traceback.
    """

    name: str
    module: str
    distribution: str
    version: str
    error: str = ""
    disabled: str = ""
    exception: BaseException | None = None

    @property
    def status(self) -> str:
        return "disabled" if self.disabled else "broken" if self.error else "ok"

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class Found:
    """A driver, and the plugin that brings it."""

    kind: str
    driver: Driver
    plugin: Plugin

    @property
    def distribution(self) -> str:
        return self.plugin.distribution

    @property
    def version(self) -> str:
        return self.plugin.version

    @property
    def qualified(self) -> str:
        """The name that is unambiguous whatever else is installed, like `tune-tpe:TPE`."""
        return f"{self.plugin.distribution}:{self.driver.name}"

    def answers_to(self, name: str) -> bool:
        distribution, _, short = name.rpartition(":")
        if distribution and _canonical(distribution) != _canonical(self.plugin.distribution):
            return False
        return short.casefold() in (known.casefold() for known in (self.driver.name, *self.driver.aliases))

    def target_missing(self) -> bool:
        """Whether the target's module is not there. Imports the packages above it and no more."""
        try:
            return importlib.util.find_spec(self.driver.target.partition(":")[0]) is None
        except _FAULTS:
            return True  # a package that cannot be imported has no such module either

    def load(self) -> Any:
        """Import the target and check that it is what its kind demands.

        Raises:
            PluginError: It cannot be imported, is not there, or is something else.
        """
        module, _, path = self.driver.target.partition(":")
        try:
            target: Any = importlib.import_module(module)
            for attribute in path.split("."):
                target = getattr(target, attribute)
        except _FAULTS as err:
            raise PluginError(
                f"plugin {self.plugin} could not be loaded: {_reason(err)}\n"
                f"  needed for {self.driver.name!r} ({self.driver.target}); other plugins are unaffected. "
                f"Reinstall it with its dependencies: pip install --force-reinstall {self.distribution}"
            ) from err
        if problem := _unfit(target, self.kind):
            raise PluginError(
                f"plugin {self.plugin} is broken: {self.driver.target} {problem}\n"
                f"  needed for {self.driver.name!r}; other plugins are unaffected. Report it to the authors "
                f"of {self.distribution}; `tune plugins check {self.distribution}` shows more"
            )
        return target


class Plugins:
    """All plugins of this Python environment.

    Attributes:
        installed: Every plugin, also those that are broken or disabled.
        hook: pluggy's relay of the working ones. Observers are called through `notify`.
        observers: The working ones that hear what happens, each with the hooks that tell it.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.installed: list[Plugin] = []
        self.observers: list[tuple[Plugin, list[str]]] = []
        self._found: dict[str, list[Found]] = {kind: [] for kind in KINDS}
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self.hook = self._manager.hook
        enabled: list[tuple[importlib.metadata.EntryPoint, Plugin]] = []
        for entry_point in sorted(importlib.metadata.entry_points(group=GROUP)):
            plugin = _describe(entry_point)
            plugin.disabled = _disabled_by(plugin, environ)
            self.installed.append(plugin)
            if not plugin.disabled:
                enabled.append((entry_point, plugin))
        for plugin, module in _load_modules(enabled):
            self._add(plugin, module)
        if _log.hasHandlers():  # without any it would be on standard error, where the command line says it
            self.log_broken()

    @property
    def broken(self) -> list[Plugin]:
        return [plugin for plugin in self.installed if plugin.error]

    def log_broken(self) -> None:
        for plugin in self.broken:
            _log.warning("plugin %s is broken and was left out: %s", plugin, plugin.error)

    def all(self, kind: str) -> list[Found]:
        """Everything of one kind, by name."""
        return sorted(self._found[kind], key=_by_name)

    def find(self, kind: str, name: str) -> Found:
        """The driver called `name`; advisors count as tuners too.

        Case does not matter. `distribution:name` is understood wherever a name is.

        Raises:
            PluginError: There is none, or there are several.
        """
        kinds = (kind, *KINDS[kind].includes)
        choices = sorted((found for each in kinds for found in self._found[each]), key=_by_name)
        matches = [found for found in choices if found.answers_to(name)]
        if not matches:
            raise PluginError(self._unknown(kind, name, choices))
        if len(matches) > 1:
            owners = " and ".join(f"{found.plugin} ({found.kind})" for found in matches)
            raise PluginError(
                f"{name!r} is claimed by {owners}\n"
                f"  write {' or '.join(dict.fromkeys(found.qualified for found in matches))} instead"
            )
        return matches[0]

    def preferred(self, kind: str, *, several: bool = False) -> Found:
        """What is used when nobody says: the driver with the highest `preference` above 0.

        Args:
            kind: What it is to be.
            several: Only algorithms for several objectives, if one of them offers itself.

        Raises:
            PluginError: Nothing installed offers itself.
        """
        kinds = (kind, *KINDS[kind].includes)
        choices = sorted((found for each in kinds for found in self._found[each]), key=_by_name)
        takers = [
            found for found in choices if found.driver.objectives == "many" and found.driver.preference > 0
        ]
        best = max(
            takers if several and takers else choices,
            key=lambda found: found.driver.preference,
            default=None,
        )
        if best is None or best.driver.preference <= 0:
            noun = KINDS[kind].words.partition(" ")[2]
            if not choices and KINDS[kind].package != "<name>":
                raise PluginError(f"no {noun} is installed: pip install tune-{KINDS[kind].package}")
            raise PluginError(
                f"no {noun} is named, and none that is installed offers itself as the default\n"
                f"  installed: {', '.join(found.driver.name for found in choices) or 'none'}\n"
                f"  name one, or install one: pip install tune-{KINDS[kind].package}"
            )
        return best

    def notifier(self) -> Callable[..., None] | None:
        """`notify`, or None where nobody listens: asking each time would cost every metric."""
        heard = any(getattr(self.hook, name).get_hookimpls() for name in _OBSERVERS)
        return self.notify if heard else None

    def notify(self, hook_name: str, **arguments: Any) -> None:
        """Tell every observer; one that raises is logged with its name and harms nothing."""
        caller: pluggy.HookCaller = getattr(self.hook, hook_name)
        for implementation in reversed(caller.get_hookimpls()):
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except _FAULTS:
                _log.exception("plugin %s raised in %s", implementation.plugin_name, hook_name)

    def _add(self, plugin: Plugin, module: ModuleType) -> None:
        """Register a plugin's hooks and note its drivers: all of it, or none if anything is wrong."""
        try:
            _check_module(module)
            self._manager.register(module, name=f"{plugin.distribution}:{plugin.name}")
            try:
                self._check_hooks(module)
                drivers = {kind: self._drivers(module, kind) for kind in KINDS}
            except BaseException:
                self._manager.unregister(module)
                raise
        except _FAULTS as err:
            plugin.error, plugin.exception = _reason(err), err
            return
        for kind, listed in drivers.items():
            self._found[kind] += [Found(kind, driver, plugin) for driver in listed]
        callers = self._manager.get_hookcallers(module) or []
        if heard := sorted(caller.name for caller in callers if caller.name in _OBSERVERS):
            self.observers.append((plugin, heard))

    def _check_hooks(self, module: ModuleType) -> None:
        """Refuse what pluggy would pass over in silence."""
        for caller in self._manager.get_hookcallers(module) or ():
            for implementation in caller.get_hookimpls():
                if implementation.plugin is not module:
                    continue
                if not caller.has_spec() and not implementation.optionalhook:
                    near = difflib.get_close_matches(caller.name, _HOOKS, n=1)
                    hint = f", did you mean {near[0]}?" if near else ""
                    raise PluginError(f"there is no hook {caller.name}{hint}")
                if implementation.wrapper or implementation.hookwrapper:
                    raise PluginError(f"{caller.name} is a hook wrapper, of which tune has none")

    def _drivers(self, module: ModuleType, kind: str) -> list[Driver]:
        """What `module` offers of one kind."""
        hook = KINDS[kind].hook
        caller: pluggy.HookCaller = getattr(self.hook, hook)
        drivers: list[Driver] = []
        for implementation in caller.get_hookimpls():
            if implementation.plugin is module:
                drivers += cast("Iterable[Driver]", implementation.function())
        for driver in drivers:
            if not isinstance(driver, Driver):
                raise PluginError(f"{hook} gave {driver!r}, which is no Driver")
            if ":" not in driver.target:
                raise PluginError(
                    f"{hook}: target {driver.target!r} of {driver.name!r} is not `module:Class`"
                )
        names = [name.casefold() for driver in drivers for name in (driver.name, *driver.aliases)]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise PluginError(f"{hook} gives the name {min(repeated)!r} twice")
        return drivers

    def _left_out(self) -> dict[str, list[str]]:
        """The plugins that are here and disabled, by what disables them."""
        found: dict[str, list[str]] = {}
        for plugin in self.installed:
            if plugin.disabled:
                found.setdefault(plugin.disabled, []).append(str(plugin))
        return found

    def _unknown(self, kind: str, name: str, choices: list[Found]) -> str:
        names = {
            each.casefold(): each for found in choices for each in (found.driver.name, *found.driver.aliases)
        }
        near = [names[each] for each in difflib.get_close_matches(name.casefold(), names)]
        installed = ", ".join(dict.fromkeys(found.driver.name for found in choices)) or "none"
        hint = f", did you mean {' or '.join(map(repr, near))}?" if near else ""
        distribution = _canonical(re.sub(r"[^\w.-]", "", name.partition(":")[0]))
        package = "<name>" if near else distribution.removeprefix("tune-") or "<name>"
        return "\n".join(
            [
                f"no {KINDS[kind].words.partition(' ')[2]} called {name!r}{hint}",
                f"  installed: {installed}",
                *(
                    f"  {name!r} is {other.words}"
                    for key, other in KINDS.items()
                    if key != kind and any(found.answers_to(name) for found in self._found[key])
                ),
                *(f"  plugin {plugin} is broken and was left out: {plugin.error}" for plugin in self.broken),
                *(
                    f"  left out by {reason}: {', '.join(names)}"
                    for reason, names in self._left_out().items()
                ),
                f"  more are on PyPI: pip install tune-{package}; `tune plugins list` shows what is here",
            ]
        )


@functools.cache
def plugins() -> Plugins:
    """The plugins of this process, found on the first call."""
    return Plugins()


class _Loader(ExtensionManager[ModuleType]):
    """stevedore's loader, except that nothing which a plugin raises gets past it.

    stevedore lets AssertionError and SystemExit through. Its cache on disk is not used: it forgets
    which package an entry point came from, and misses a plugin that is reinstalled within two minutes;
    reading the metadata of 450 packages takes 16 ms.
    """

    def _load_one_plugin(self, ep: importlib.metadata.EntryPoint, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._load_one_plugin(ep, *args, **kwargs)
        except _FAULTS as err:
            assert self._on_load_failure_callback is not None
            self._on_load_failure_callback(self, ep, err)
            return None


def _load_modules(
    wanted: Sequence[tuple[importlib.metadata.EntryPoint, Plugin]],
) -> list[tuple[Plugin, ModuleType]]:
    """Import the modules of `wanted`; a plugin whose module fails is marked as broken and left out."""
    owners = {id(entry_point): plugin for entry_point, plugin in wanted}

    def failed(_: Any, entry_point: importlib.metadata.EntryPoint, err: BaseException) -> None:
        owners[id(entry_point)].error, owners[id(entry_point)].exception = _reason(err), err

    _Loader.ENTRY_POINT_CACHE = {GROUP: [entry_point for entry_point, _ in wanted]}
    extensions = _Loader(GROUP, on_load_failure_callback=failed).extensions
    return [(owners[id(each.entry_point)], cast("ModuleType", each.plugin)) for each in extensions]


def _by_name(found: Found) -> tuple[str, str]:
    return found.driver.name.casefold(), found.distribution


def _describe(entry_point: importlib.metadata.EntryPoint) -> Plugin:
    metadata = entry_point.dist.metadata if entry_point.dist else None  # parsed anew by each access
    return Plugin(
        name=entry_point.name,
        module=entry_point.value,
        distribution=(metadata and metadata["Name"]) or entry_point.name,
        version=(metadata and metadata["Version"]) or "of unknown version",
    )


def _disabled_by(plugin: Plugin, environ: Mapping[str, str]) -> str:
    names = {_canonical(plugin.name), _canonical(plugin.distribution)}
    disabled = {_canonical(name) for name in environ.get("TUNE_DISABLE_PLUGINS", "").split(",")}
    if names & disabled:
        return "TUNE_DISABLE_PLUGINS"
    enabled = {_canonical(name) for name in environ.get("TUNE_ENABLE_PLUGINS", "").split(",")} - {""}
    return "TUNE_ENABLE_PLUGINS" if enabled and not names & enabled else ""


def _canonical(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _check_module(module: ModuleType) -> None:
    if not isinstance(module, ModuleType):
        raise PluginError("its entry point names an object, where the module of its hooks is wanted")
    wanted = getattr(module, "tune_api", API_VERSION)
    if wanted != API_VERSION:
        older = "tune-core" if isinstance(wanted, int) and wanted > API_VERSION else "the plugin"
        raise PluginError(
            f"incompatible: it is written for plugin API {wanted}, this tune-core has {API_VERSION}; "
            f"upgrade {older}"
        )
    for name, value in vars(module).items():
        if name in _HOOKS and inspect.isfunction(value) and not hasattr(value, f"{GROUP}_impl"):
            raise PluginError(f"{name} lacks @hookimpl")


def _unfit(target: Any, kind: str) -> str:
    """What keeps `target` from being of `kind`; empty when nothing does."""
    base_target = KINDS[kind].base or ("click:Command" if kind == "command" else "")
    if not base_target:
        return "" if callable(target) else "cannot be called"
    module, _, name = base_target.partition(":")
    base = getattr(importlib.import_module(module), name)
    if kind == "command":
        return "" if isinstance(target, base) else "is not a click.Command"
    if not (inspect.isclass(target) and issubclass(target, base)):
        return f"is not a subclass of tune_core.{name}"
    return missing_methods(target)


def missing_methods(cls: type) -> str:
    """Which abstract methods keep `cls` from being made, as the end of a sentence."""
    missing: Iterable[str] = getattr(cls, "__abstractmethods__", ())
    return f"does not define {', '.join(sorted(missing))}" if missing else ""


def _reason(err: BaseException) -> str:
    """One line that says what went wrong, as a person would want it."""
    text = "; ".join(line.strip() for line in str(err).splitlines() if line.strip())
    plain = isinstance(err, ImportError | PluginError | pluggy.PluginValidationError)
    return text if plain and text else f"{type(err).__name__}: {text}".removesuffix(": ")
