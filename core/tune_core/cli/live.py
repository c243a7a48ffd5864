"""Showing a running experiment: drawn anew on a terminal, in lines elsewhere. On standard error."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from tune_core.cli.output import clean, duration, in_a_line, number, parameters_text
from tune_core.objectives import DEFAULT_KEY
from tune_core.trial import TrialState

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tune_core.experiment.view import ExperimentView, TrialView

__all__ = ["Display", "display", "time_left_s"]

_LINE_S = 1.0  # at most one line a second
_SILENCE_S = 60.0  # and one a minute though nothing changed
_TRIALS_SHOWN = 12
_FRONT_SHOWN = 6


class Display(Protocol):
    """Shows an experiment from `with` to `with`'s end."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, view: ExperimentView) -> None: ...


def display() -> Display:
    """What suits standard error."""
    return _Sturdy(_Screen() if sys.stderr.isatty() else _Lines())


def time_left_s(view: ExperimentView) -> float | None:
    """An estimate from the pace so far and from the limits; None when there is nothing to go by."""
    ended = sum(count for state, count in view.counts.items() if state.is_terminal)
    guesses = []
    if view.max_trials is not None and ended:
        guesses.append(max(0, view.max_trials - ended) * view.elapsed_s / ended)
    if view.max_duration_s is not None:
        guesses.append(max(0.0, view.max_duration_s - view.elapsed_s))
    return min(guesses, default=None)


def headline(view: ExperimentView) -> str:
    """`12/30 trials, 2 running, 1 failed, best 0.9833 (trial 7), 1m 5s, about 2m 30s left`."""
    total = sum(view.counts.values())
    parts = [f"{total}/{view.max_trials} trials" if view.max_trials else f"{total} trials"]
    parts += [
        f"{count} {state.value.lower().replace('_', ' ')}"
        for state, count in view.counts.items()
        if count and state is not TrialState.SUCCEEDED
    ]
    if view.best is not None and view.best.value is not None:
        key = "" if view.objectives.primary == DEFAULT_KEY else f"{clean(view.objectives.primary)} "
        parts.append(f"best {key}{number(view.best.value)} (trial {view.best.sequence})")
        parts += [f"{len(view.front)} on the front"] if view.front else []
    elif view.objectives.constraints and view.counts.get(TrialState.SUCCEEDED):
        parts.append("none keeps the constraints yet")
    parts.append(duration(view.elapsed_s))
    left = time_left_s(view)
    if left is not None and view.status == "RUNNING":
        parts.append(f"about {duration(math.ceil(left))} left")
    return ", ".join(parts)


class _Sturdy:
    """A display whose reader may go away, which is no reason to end an experiment."""

    def __init__(self, display: Display) -> None:
        self._display: Display | None = display

    def __enter__(self) -> Self:
        self._try(lambda display: display.__enter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._try(lambda display: display.__exit__(None, None, None))

    def show(self, view: ExperimentView) -> None:
        self._try(lambda display: display.show(view))

    def _try(self, action: Callable[[Display], object]) -> None:
        if self._display is None:
            return
        try:
            action(self._display)
        except OSError:
            gone, self._display = self._display, None
            with contextlib.suppress(OSError):  # what is printed goes through it until its end
                gone.__exit__(None, None, None)


class _Lines:
    """A line when something has changed."""

    def __init__(self) -> None:
        self._last: Any = None
        self._spoke = -math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, view: ExperimentView) -> None:
        now = time.monotonic()
        news = (dict(view.counts), view.status, view.trouble, view.best and view.best.value, len(view.front))
        if now - self._spoke < (_SILENCE_S if news == self._last else _LINE_S):
            return
        self._last, self._spoke = news, now
        note = "; ".join(clean(text) for text in (view.trouble, view.activity) if text)
        print(headline(view) + (f" [{note}]" if note else ""), file=sys.stderr, flush=True)


class _Screen:
    """A table that is drawn anew."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, view: ExperimentView) -> None:
        self._live.update(picture(view), refresh=True)


def picture(view: ExperimentView) -> RenderableType:
    """The whole view."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    name = f" {clean(view.name)}" if view.name else ""
    parts: list[RenderableType] = [
        Text.assemble((f"experiment {view.id}", "bold"), name, "  ", (view.status, _colour(view.status)))
    ]
    ended = sum(count for state, count in view.counts.items() if state.is_terminal)
    if view.max_trials:
        bar = ProgressBar(total=view.max_trials, completed=min(ended, view.max_trials), width=60)
        parts.append(Columns([bar]))  # a bar alone does not end its line
    parts.append(Text(headline(view)))
    if view.front:
        parts.append(_front_table(view))
    elif view.best is not None:
        parts.append(
            Text(
                f"best so far: {parameters_line(view.best)}", style="green", overflow="ellipsis", no_wrap=True
            )
        )
    for text, style in ((view.reason, ""), (view.activity, "dim"), (view.trouble, "yellow")):
        if text:
            parts.append(Text("\n".join(clean(line) for line in text.splitlines()), style=style))
    if view.running:
        parts.append(_trial_table(view))
    return Group(*parts)


def _front_table(view: ExperimentView) -> RenderableType:
    """The best of the front by the first objective."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, expand=True, style="green")
    for title in ("front", *view.objectives.keys):
        table.add_column(clean(title), no_wrap=True)
    table.add_column("parameters", no_wrap=True, overflow="ellipsis", ratio=1)
    for trial in view.front[:_FRONT_SHOWN]:
        numbers = view.objectives.numbers_of(trial.final_metric).values()
        table.add_row(str(trial.sequence), *(number(each) for each in numbers), Text(parameters_line(trial)))
    if len(view.front) > _FRONT_SHOWN:
        table.add_row(f"and {len(view.front) - _FRONT_SHOWN} more")
    return table


def _trial_table(view: ExperimentView) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, expand=True)  # only then `ratio` spares the other columns
    for title in ("trial", "state", "time", "reports", "last"):
        table.add_column(title, no_wrap=True)
    table.add_column("parameters", no_wrap=True, overflow="ellipsis", ratio=1)
    shown = sorted(view.running, key=lambda trial: (trial.state is TrialState.WAITING, trial.sequence))
    for trial in shown[:_TRIALS_SHOWN]:
        table.add_row(
            str(trial.sequence),
            trial.state.value.lower(),
            duration(trial.duration_s),
            str(trial.intermediates or ""),
            number(trial.last_value) if trial.last_value is not None else "",
            Text(clean(in_a_line(trial.reason)) or parameters_line(trial)),
        )
    if len(shown) > _TRIALS_SHOWN:
        table.add_row("", f"and {len(shown) - _TRIALS_SHOWN} more")
    return table


def parameters_line(trial: TrialView) -> str:
    return clean(parameters_text(trial.parameters))


def _colour(status: str) -> str:
    return {"RUNNING": "green", "ERROR": "red", "CRASHED": "red", "STOPPED": "yellow"}.get(status, "cyan")
