"""Configurations of NNI 1, in the words of version 2.

`trainingServicePlatform` marks them, as it did for NNI, and so does a key that version 1 alone has where
no platform is named at all. What every platform had in common is translated here; a platform's own
sections are translated by its training service, see `TrainingService.upgrade`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tune_core.config.problems import KeyPath, Problem, folded, nearest
from tune_core.errors import PluginError
from tune_core.plugins import plugins

__all__ = ["RENAMED", "Old", "Section", "Upgraded", "is_version_1", "upgrade"]

_MARK = "trainingServicePlatform"

RENAMED = {
    "experimentName": "experimentName",
    "trialConcurrency": "trialConcurrency",
    "maxExecDuration": "maxExperimentDuration",
    "maxTrialNum": "maxTrialNumber",
    "searchSpacePath": "searchSpaceFile",
    "useAnnotation": "useAnnotation",
    "nniManagerIp": "nniManagerIp",
    "logDir": "experimentWorkingDirectory",
    "debug": "debug",
    "logLevel": "logLevel",
}
_RENAMED_OF_TRIAL = {"command": "trialCommand", "codeDir": "trialCodeDirectory", "gpuNum": "trialGpuNumber"}
_OF_TRIAL_IN_0_1 = {
    "trialCommand": "trialCommand",
    "trialCodeDir": "trialCodeDirectory",
    "trialGpuNum": "trialGpuNumber",
}
_DROPPED = {
    "authorName": "experiments have no author",
    "description": "experiments have a name only",
    "multiThread": "an algorithm is called in a thread of its own, one call after the other",
    "versionCheck": "the runtime is sent to other machines in the manager's own version",
    "logCollection": "what trials print is always kept",
}
_OF_PLATFORMS = (
    *("localConfig", "machineList", "remoteConfig", "paiConfig", "paiYarnConfig", "kubeflowConfig"),
    *("frameworkcontrollerConfig", "adlConfig", "dltsConfig", "amlConfig", "hybridConfig"),
)


class Section(dict[str, Any]):
    """A section of version 2 whose keys know what they were in version 1, also those that are not there."""

    def __init__(self) -> None:
        super().__init__()
        self.origins: dict[str, KeyPath] = {}

    def put(self, key: str, value: Any, origin: KeyPath) -> None:
        """Set a key, unless its value is None."""
        self.origins[key] = origin
        if value is not None:
            self[key] = value

    def absorb(self, other: Mapping[str, Any]) -> None:
        """Take over all keys of another section."""
        self.update(other)
        if isinstance(other, Section):
            self.origins |= other.origins


class Old:
    """A section of an old configuration. Its keys are taken one by one; the rest is unknown.

    Case and underscores of keys do not matter, and a key without a value is as good as none.

    Args:
        content: What stands there; None for a section that is not there.
        path: Where.

    Attributes:
        is_there: Whether there is such a section.
    """

    def __init__(self, content: Any, path: KeyPath = ()) -> None:
        self._path = path
        self._problems: list[Problem] = []
        self._remarks: list[str] = []
        self._inner: dict[str, list[Old]] = {}
        self._known: list[str] = []
        self._now: dict[str, str] = {}
        if content is not None and not isinstance(content, Mapping):
            shown = "a list" if isinstance(content, list) else repr(content)[:60]
            self._problems.append(Problem(path, f"{shown} is not a section of keys and values"))
            content = None
        self.is_there = content is not None
        self._keys = {folded(str(key)): key for key in content or {}}
        self._left = {key: value for key, value in (content or {}).items() if value is not None}

    def take(self, name: str) -> Any:
        """The value of a key, which is done with; None if it is not there."""
        self._known.append(name)
        return self._left.pop(self._keys.get(folded(name), name), None)

    def move(self, names: Mapping[str, str]) -> Section:
        """The keys of `names` that are there, under the names that they have now."""
        moved = Section()
        for name, new in names.items():
            self._now.setdefault(folded(new), name)
            if new not in moved.origins or folded(name) in self._keys:
                moved.put(new, self.take(name), self.path(name))
        return moved

    def drop(self, name: str, why: str) -> None:
        """A key that means nothing any more; said aloud if it is there."""
        if self.take(name) is not None:
            self._remarks.append(f"{_shown(self.path(name))} has no effect any more: {why}")

    def refuse(self, name: str, why: str) -> None:
        """Report that a key must not be there, or must not say what it says."""
        self._problems.append(Problem(self.path(name), why))

    def section(self, name: str) -> Old:
        """The section under a key; an empty one if it is not there."""
        if name not in self._inner:
            self._inner[name] = [Old(self.take(name), self.path(name))]
        return self._inner[name][0]

    def sections(self, name: str) -> list[Old]:
        """The sections of a list under a key; none if it is not there."""
        if name not in self._inner:
            found = self.take(name)
            if found is not None and not isinstance(found, list):
                self.refuse(name, "is not a list of sections")
                found = None
            where = self.path(name)
            self._inner[name] = [Old(each, (*where, place)) for place, each in enumerate(found or ())]
        return self._inner[name]

    def left(self) -> list[str]:
        """The keys that nobody took yet."""
        return list(self._left)

    def path(self, name: str) -> KeyPath:
        """Where a key is, or would be, as it is written."""
        return (*self._path, self._keys.get(folded(name), name))

    def problems(self) -> list[Problem]:
        """What was refused, and what nobody took."""
        unknown = [self._unknown(str(key)) for key in self._left]
        inner = (problem for each in self._sections() for problem in each.problems())
        return [*self._problems, *unknown, *inner]

    def remarks(self) -> list[str]:
        """What was dropped."""
        return [*self._remarks, *(remark for each in self._sections() for remark in each.remarks())]

    def _sections(self) -> Iterable[Old]:
        return (each for found in self._inner.values() for each in found)

    def _unknown(self, key: str) -> Problem:
        path = (*self._path, key)
        was = self._now.get(folded(key)) or ("" if self._path else _OF_TODAY.get(folded(key), ""))
        if was:
            text = f"is a key of version 2, and {_MARK} makes this version 1: write {was} here"
            return Problem(path, text, meant=was)
        near = nearest(key, self._known)
        hint = f", did you mean {near!r}?" if near else f"\n  accepted: {', '.join(sorted(set(self._known)))}"
        return Problem(path, f"no such key in version 1{hint}", meant=near)


class Upgraded:
    """A configuration in version 2, made of one in version 1.

    Attributes:
        value: In version 2, as far as it can be said there.
        remarks: What was dropped, and why.
        problems: What cannot be said there; paths are of version 1.
    """

    def __init__(self, value: Section, remarks: list[str], problems: list[Problem]) -> None:
        self.value = value
        self.remarks = remarks
        self.problems = problems

    def origin(self, path: KeyPath) -> KeyPath:
        """Where in version 1 that is which has `path` in version 2."""
        here: Any = self.value
        origin: KeyPath = ()
        for part in path:
            known = here.origins.get(str(part)) if isinstance(here, Section) else None
            origin = (*origin, part) if known is None else known
            here = _at(here, part)
        return origin

    def plain(self) -> dict[str, Any]:
        """The value without anything that YAML or JSON does not know."""
        plain = _plain(self.value)
        assert isinstance(plain, dict)
        return plain


def is_version_1(raw: Any) -> bool:
    """Whether `raw` is in NNI's first format."""
    if not isinstance(raw, Mapping):
        return False
    keys = {folded(str(key)) for key, value in raw.items() if value is not None}
    return folded(_MARK) in keys or ("trainingservice" not in keys and not keys.isdisjoint(_ONLY_OLD))


def upgrade(raw: Mapping[str, Any]) -> Upgraded:
    """`raw`, in version 1, as version 2.

    Values are passed on as they are: what is wrong with them is found when version 2 is checked.
    """
    old = Old(raw)
    platform = old.take(_MARK)
    service = _service(old, platform)
    new = old.move(RENAMED)
    new.origins["searchSpace"] = new.origins["searchSpaceFile"]
    if new.get("useAnnotation") is False:
        del new["useAnnotation"]
    for name, why in _DROPPED.items():
        old.drop(name, why)
    if old.take("multiPhase"):
        old.refuse("multiPhase", "trials that ask for several configurations are no more, as in NNI 2")
    trial = old.section("trial")
    new.absorb(trial.move({**_RENAMED_OF_TRIAL, **_OF_TRIAL_IN_0_1}))
    if not any(found.answers_to(str(platform)) for found in plugins().all("training_service")):
        new.setdefault("trialCommand", "unknown")  # it may be written elsewhere on that platform
    trial.drop("nasMode", "each NAS trainer is a plugin of its own")
    _move_algorithms(old, new)
    for name in _OF_PLATFORMS:
        old.drop(name, f"it is not of the platform {platform}")
    new.put("trainingService", service, old.path(_MARK))
    return Upgraded(new, old.remarks(), old.problems())


def _service(old: Old, platform: Any) -> Section:
    """The section `trainingService`."""
    section = Section()
    section.put("platform", platform, old.path(_MARK))
    try:
        found = plugins().find("training_service", str(platform))
        upgraded = found.load().upgrade(old)
    except PluginError:
        # Which is told when version 2 is checked. What only its plugin knows is not called unknown.
        for name in (*_OF_PLATFORMS, "sharedStorage"):
            old.take(name)
        trial = old.section("trial")
        for name in trial.left():
            if name not in _RENAMED_OF_TRIAL and name not in _OF_TRIAL_IN_0_1:
                trial.take(name)
        return section
    section["platform"] = found.driver.name
    section.absorb(upgraded)
    return section


def _move_algorithms(old: Old, new: Section) -> None:
    """The sections of the algorithms, and what was in them and is not any more."""
    for kind in ("tuner", "assessor", "advisor"):
        section = old.section(kind)
        if not section.is_there:
            continue
        new.put(kind, _algorithm(kind, section), old.path(kind))
        for name in ("gpuNum", f"{kind}GpuNum"):  # up to NNI 0.8, and 0.1
            section.drop(name, "an algorithm sees the GPUs that gpuIndices names")
        if kind == "assessor":
            section.drop("gpuIndices", "an assessor is in the process of the tuner")
        new.absorb(section.move({"gpuIndices": "tunerGpuIndices"}))
        new.absorb(section.move({"includeIntermediateResults": "includeIntermediateResults"}))


def _algorithm(kind: str, old: Old) -> Section:
    names = ("className", "classFileName", "classArgs")
    builtin = {f"builtin{kind.capitalize()}Name": "name", f"{kind}Name": "name"}  # as of 0.2, and in 0.1
    # NNI's documents wrote codeDirectory, its code read codeDir.
    code = {"codeDir": "codeDirectory", "codeDirectory": "codeDirectory"}
    new = old.move({**builtin, **code, **{name: name for name in names}})
    mode = old.take("optimizationMode")
    if mode is not None:  # NNI 0.1, which had no classArgs
        arguments = Section()
        arguments.absorb(new.get("classArgs") or {})
        arguments.put("optimize_mode", str(mode).lower(), old.path("optimizationMode"))
        new["classArgs"] = arguments
    file, name = new.get("classFileName"), new.get("className")
    if isinstance(file, str) and file.endswith(".py") and isinstance(name, str):
        del new["classFileName"]
        new["className"] = f"{file.removesuffix('.py').replace('/', '.').lstrip('.')}.{name}"
    return new


def _at(here: Any, part: str | int) -> Any:
    try:
        return here[part]
    except (KeyError, IndexError, TypeError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value


def _shown(path: KeyPath) -> str:
    return Problem(path, "").key


_OF_TODAY = {
    **{folded(new): f"trial.{name}" for name, new in _RENAMED_OF_TRIAL.items()},
    "trainingservice": _MARK,
    "tunergpuindices": "tuner.gpuIndices",
    "includeintermediateresults": "tuner.includeIntermediateResults",
}
"""The keys of version 2 that were elsewhere, and where."""

_ONLY_OLD = {
    folded(name)
    for name in ("trial", *_DROPPED, *_OF_PLATFORMS, *RENAMED)
    if name not in RENAMED or RENAMED[name] != name
}
