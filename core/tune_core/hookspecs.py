"""The manual of what can be extended: every hook that `tune` calls.

A plugin is an installed package with one entry point in the group `tune`, whose value is a module
with `@hookimpl` functions. The module imports nothing heavy: it is loaded whenever `tune` lists
plugins. What it offers is named by drivers, whose targets are imported when they are chosen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pluggy

if TYPE_CHECKING:
    from tune_core.experiment.view import ExperimentView, TrialView

__all__ = ["Driver", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("tune")
hookimpl = pluggy.HookimplMarker("tune")


@dataclass(frozen=True)
class Driver:
    """Something to choose by name.

    Attributes:
        name: As written in a configuration; case does not matter there.
        target: `module:Class`, imported only when the driver is chosen.
        summary: One line for `tune plugins list`.
        aliases: Other names for the same thing.
        accepts: For tuners and advisors, the search-space types it takes; None for all.
        nested: For tuners and advisors, whether it takes nested choices.
        objectives: For tuners and advisors: `many` if it takes several objectives. What counts is the
            class's `many_objectives`; this is so that messages can name it without importing it.
        constraints: Likewise, whether the class `handles_constraints` itself.
        needs_space: Likewise, whether the class `needs_space`. One that brings a space of its own is
            False, and takes no other if `accepts` is empty.
        preference: For tuners and advisors: a configuration that names none gets the installed one
            with the highest preference above 0.
    """

    name: str
    target: str
    summary: str = ""
    aliases: tuple[str, ...] = ()
    accepts: frozenset[str] | None = None
    nested: bool = True
    objectives: Literal["one", "many"] = "one"
    constraints: bool = False
    needs_space: bool = True
    preference: int = 0


@hookspec
def tune_tuners() -> Iterable[Driver]:
    """Tuners that a configuration may name under `tuner`. Targets: `tune_core.Tuner`. What the `remark` of
    one returns is shown when a configuration that names it is validated, and when its experiment starts.

    Called when plugins are listed and when a name is looked up. An exception marks the plugin as
    broken, which is shown by `tune plugins list` and harms no other plugin.
    """
    return ()


@hookspec
def tune_assessors() -> Iterable[Driver]:
    """Assessors for `assessor`. Targets: `tune_core.Assessor`. Called as `tune_tuners`."""
    return ()


@hookspec
def tune_advisors() -> Iterable[Driver]:
    """Advisors for `advisor` or `tuner`. Targets: `tune_core.Advisor`. Called as `tune_tuners`."""
    return ()


@hookspec
def tune_training_services() -> Iterable[Driver]:
    """Platforms for `trainingService.platform`. Targets: `tune_core.TrainingService`. Called as
    `tune_tuners`."""
    return ()


@hookspec
def tune_nas_trainers() -> Iterable[Driver]:
    """One-shot architecture searches. Targets: `tune_core.NasTrainer`. Called as `tune_tuners`."""
    return ()


@hookspec
def tune_annotations() -> Iterable[Driver]:
    """Readers of annotated code, for `useAnnotation`. Targets: `tune_core.Annotation`. The one with the
    highest `preference` is used. Called as `tune_tuners`."""
    return ()


@hookspec
def tune_search_space_zoo() -> Iterable[Driver]:
    """Ready-made search spaces to take by name. Targets: a callable that returns the space, as a
    search-space dictionary or as a model space. Called as `tune_tuners`."""
    return ()


@hookspec
def tune_commands() -> Iterable[Driver]:
    """Commands added to the command line. Targets: a `click.Command`; `name` is the word that is
    typed. Called when a word is typed that is no command of core, and by `tune --help`."""
    return ()


@hookspec
def tune_experiment_started(experiment: ExperimentView) -> None:
    """The manager is about to submit the first trial of this run, after a resume as well.

    Observers run in the manager's event loop: take less than a millisecond, or have a recorder of
    `tune_core.observing` write. An exception is logged with the plugin's name and does not stop the
    experiment. The same holds for the other observers below.
    """


@hookspec
def tune_trial_started(experiment: ExperimentView, trial: TrialView) -> None:
    """An attempt at a trial has started, after its identity is stored. Not called for trials that
    a resumed experiment adopts."""


@hookspec
def tune_metric_reported(experiment: ExperimentView, trial: TrialView, kind: str, value: Any) -> None:
    """A metric was stored. `kind` is `intermediate` or `final`, `value` a number or a dictionary."""


@hookspec
def tune_trial_ended(experiment: ExperimentView, trial: TrialView) -> None:
    """A trial reached a terminal state, after its record is stored. Not called for trials that
    had ended before a resume. `trial.final_metric` is None unless the trial SUCCEEDED."""


@hookspec
def tune_experiment_ended(experiment: ExperimentView) -> None:
    """The manager is about to exit; `experiment.status` says why. Not called when it is killed."""
