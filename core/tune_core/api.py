"""Experiments from Python: to run, to steer and to read.

An experiment runs in a thread with an event loop of its own, so a notebook, whose own loop is
busy, can start one and go on. It is the same loop as the command line's and writes the same record.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import html
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_core.errors import ExperimentBusyError, TuneError
from tune_core.objectives import Objectives
from tune_core.store.commands import request
from tune_core.store.directory import ExperimentDirectory, find_experiment
from tune_core.store.lock import ManagerLock
from tune_core.store.reader import MetricRecord, Record, TrialRecord
from tune_core.trial import Parameters, TrialState

if TYPE_CHECKING:
    from tune_core.algorithms.base import Advisor, Assessor, Tuner
    from tune_core.config.model import ExperimentConfig
    from tune_core.experiment.engine import Engine
    from tune_core.experiment.manager import Parts
    from tune_core.experiment.view import ExperimentView

__all__ = ["Experiment"]


class Experiment:
    """One experiment: to run, to steer, and to read; now or long after.

    Args:
        config: A configuration: the path of a file, a dictionary with the same keys, or a model.
        id: Its id; None draws one.

    Raises:
        ConfigError: With every problem of the configuration.
    """

    def __init__(
        self,
        config: str | Path | Mapping[str, Any] | ExperimentConfig,
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        from tune_core.config.load import read_config
        from tune_core.experiment.assemble import create

        directory, parts = create(read_config(config), id)
        self._attach(directory, parts)

    @classmethod
    def connect(cls, name: str | None = None) -> Experiment:
        """An experiment that exists, by id, unique start of an id or path; None for the newest.

        Reading it needs no manager; steering it needs one, in whichever process.
        """
        return cls._made(find_experiment(name), None)

    @classmethod
    def resume(
        cls,
        name: str | None = None,
        function: Callable[..., Any] | None = None,
        *,
        tuner: str | Tuner | Advisor | None = None,
        assessor: str | Assessor | None = None,
    ) -> Experiment:
        """An experiment that ended or crashed, ready to `run` on.

        Args:
            name: As for `connect`.
            function: For an experiment of a Python function: the function again.
            tuner, assessor: Again, where they were given as objects rather than by name.
        """
        from tune_core.experiment.assemble import reopen

        directory = find_experiment(name)
        if function is None:
            return cls._made(directory, reopen(directory))
        with Record(directory) as record:
            state = record.state()
        config = state["config"] or {}
        parts = _function_parts(
            function,
            state["first_search_space"],
            Objectives.of_state(state),
            state["limits"],
            state["seed"],
            state["name"],
            tuner or config.get("tuner"),
            assessor or config.get("assessor"),
            config.get("initialPoints", ()),
            by_name=config.get("byName", False),
        )
        return cls._made(directory, parts)

    @classmethod
    def of_function(
        cls,
        function: Callable[..., Any],
        search_space: Mapping[str, Any] | None = None,
        *,
        mode: str | Mapping[str, str],
        constraints: Mapping[str, Any] | None = None,
        trials: int | None = 100,
        duration_s: float | None = None,
        concurrency: int = 1,
        tuner: str | Tuner | Advisor | None = None,
        assessor: str | Assessor | None = None,
        initial_points: Sequence[Mapping[str, Any]] = (),
        seed: int | None = None,
        name: str = "",
    ) -> Experiment:
        """An experiment whose trial is a Python function; see `minimize`.

        `mode` is `minimize`, `maximize`, or a mapping of keys of the function's result to these.
        """
        from tune_core.experiment.manager import create_record
        from tune_core.plugins import plugins
        from tune_core.space.signature import read_signature
        from tune_core.store.directory import create_experiment

        objectives = Objectives.of(mode, constraints)
        by_name = search_space is None
        if search_space is None:
            search_space, defaults = read_signature(function)
            initial_points = initial_points or ([] if defaults is None else [defaults])
        if tuner is None:
            tuner = plugins().preferred("tuner", several=objectives.are_many).qualified
        parts = _function_parts(
            function,
            search_space,
            objectives,
            {"concurrency": concurrency, "trials": trials, "duration_s": duration_s},
            secrets.randbits(32) if seed is None else seed,
            name or getattr(function, "__name__", ""),
            tuner,
            assessor,
            initial_points,
            by_name=by_name,
        )
        directory = create_experiment()
        names = {"tuner": tuner, "assessor": assessor}
        config: dict[str, Any] = {key: each if isinstance(each, str) else None for key, each in names.items()}
        config["byName"] = by_name
        config["initialPoints"] = list(parts.settings.initial_points)
        create_record(directory, parts, config)
        return cls._made(directory, parts)

    @classmethod
    def _made(cls, directory: ExperimentDirectory, parts: Parts | None) -> Experiment:
        self = cls.__new__(cls)
        self._attach(directory, parts)
        return self

    def _attach(self, directory: ExperimentDirectory, parts: Parts | None) -> None:
        self.directory = directory
        self._parts = parts
        self._engine: Engine | None = None
        self._ended: Future[str] | None = None

    @property
    def id(self) -> str:
        return self.directory.id

    # Running.

    def start(self, *, hide_gpus: bool = False) -> Experiment:
        """Run in the background of this process; `wait` waits for the end.

        Args:
            hide_gpus: Show the algorithm no GPUs but those of `tunerGpuIndices`. This is done with
                a variable of the whole process, so only for one that does nothing else.

        Raises:
            ExperimentBusyError: It was started before, or another manager has it.
        """
        if self._parts is None:
            raise ExperimentBusyError(
                f"experiment {self.id} ran before; Experiment.resume({self.id!r}) goes on"
            )
        parts, self._parts = self._parts, None
        if not hide_gpus:
            parts.algorithm_gpus = None
        ready: Future[None] = Future()
        ended = self._ended = Future()
        arguments = (self.directory, parts, self._set_engine, ready, ended)
        threading.Thread(target=_run, args=arguments, name=f"tune-{self.id}", daemon=True).start()
        ready.result()
        return self

    def wait(self, timeout_s: float | None = None) -> str:
        """Wait for the end; returns the status. Ctrl-C stops the experiment cleanly.

        Raises:
            TimeoutError: It goes on.
            TuneError: What ended it before it could run.
        """
        if self._ended is None:
            return self.status
        try:
            return self._ended.result(timeout_s)
        except KeyboardInterrupt:
            self.stop()
            self._ended.result()
            raise

    def run(self, progress: Callable[[ExperimentView], None] | bool = False) -> str:
        """Start and wait.

        Args:
            progress: Called about twice a second with a picture of the experiment; True prints it.
        """
        show = print if progress is True else progress
        if not (show is False or callable(show)):
            raise TypeError(f"progress is {progress!r}; give a function of one argument, True or False")
        self.start()
        assert self._ended is not None
        try:
            while show and not concurrent.futures.wait([self._ended], 0.5).done:
                view = self.view()
                if view is not None:
                    show(view)
        except BaseException:
            self.stop()
            self._ended.result()
            raise
        return self.wait()

    def view(self) -> ExperimentView | None:
        """A picture of the experiment if this process runs it, else None."""
        engine, ended = self._engine, self._ended
        if engine is None or ended is None or ended.done():
            return None
        picture: Future[ExperimentView] = Future()
        try:
            self._loop.call_soon_threadsafe(lambda: picture.set_result(engine.view()))
        except RuntimeError:  # its loop was closed just now
            return None
        either: list[Future[Any]] = [picture, ended]
        concurrent.futures.wait(either, return_when=concurrent.futures.FIRST_COMPLETED)
        return picture.result() if picture.done() else None

    # Steering, whoever manages it.

    def stop(self) -> None:
        """Cancel what runs and end; `Experiment.resume` goes on later."""
        if self._engine is not None:  # in this process: a full disk cannot keep it from hearing
            with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended
                self._loop.call_soon_threadsafe(self._engine.stop)
            return
        with contextlib.suppress(ExperimentBusyError):  # nobody runs it: stopped already
            request(self.directory, "stop")

    def add_trial(self, parameters: Parameters) -> str:
        """Run a configuration of your own; returns the trial's id."""
        return str(request(self.directory, "add", parameters=parameters)["trial"])

    def kill_trial(self, trial: str) -> None:
        """End one trial, its whole process tree."""
        request(self.directory, "kill", trial=trial)

    def update(self, **limits: Any) -> None:
        """Change `concurrency`, `trials` or `duration_s`: at once, or for the next resume."""
        from tune_core.experiment.offline import change_limits

        if ManagerLock.is_held(self.directory.lock):
            request(self.directory, "update", **limits)
        else:
            change_limits(self.directory, limits)

    def update_search_space(self, search_space: Mapping[str, Any]) -> None:
        """Search another space from now on."""
        request(self.directory, "space", search_space=dict(search_space))

    def import_data(self, observations: Sequence[Mapping[str, Any]]) -> int:
        """Teach the algorithm evaluations made elsewhere: `parameters` and `value` of each."""
        answer = request(self.directory, "import", observations=[dict(item) for item in observations])
        return int(answer["count"])

    # Reading; needs no manager.

    def record(self) -> Record:
        """The record, to read anything from. Close it, or use it in a `with` statement."""
        return Record(self.directory)

    @property
    def status(self) -> str:
        with self.record() as record:
            return record.status()

    @property
    def best(self) -> TrialRecord | None:
        """The best trial so far: of the results that keep the constraints, that with the best primary
        objective. None while there is none."""
        with self.record() as record:
            found = record.best(1)
        return found[0] if found else None

    @property
    def front(self) -> list[TrialRecord]:
        """The Pareto front of several objectives: see `Record.front`."""
        with self.record() as record:
            return record.front()

    def trials(self, *states: TrialState) -> list[TrialRecord]:
        """All trials, or those in some states, in the order of submission."""
        with self.record() as record:
            return list(record.trials(states=states))

    def metrics(self, trial: TrialRecord | str | int) -> list[MetricRecord]:
        """What a trial reported; given as itself, its id or its number."""
        with self.record() as record:
            found = trial if isinstance(trial, TrialRecord) else record.trial(trial)
            return list(record.metrics(found.sequence))

    def __iter__(self) -> Iterator[TrialRecord]:
        return iter(self.trials())

    def __repr__(self) -> str:
        return f"<Experiment {self.id}: {self.status}>"

    def _repr_html_(self) -> str:
        with self.record() as record:
            status, counts, objectives = record.status(), record.counts(), record.objectives()
            best = record.front() if objectives.are_many else record.best(10)
            reason = str(record.state().get("reason", ""))
        head = (
            ", ".join(f"{count} {state.value.lower()}" for state, count in counts.items()) or "no trials yet"
        )
        names = list(dict.fromkeys(name for trial in best for name in trial.parameters))
        results = list(objectives.keys) if not objectives.is_plain else ["value"]
        titles = "".join(f"<th>{html.escape(title)}</th>" for title in ["trial", *results, *names])
        rows = "".join(
            "<tr>"
            + "".join(
                f"<td>{html.escape(_short(cell))}</td>"
                for cell in [
                    trial.id,
                    *objectives.numbers_of(trial.metric).values(),
                    *(trial.parameters.get(name, "") for name in names),
                ]
            )
            + "</tr>"
            for trial in best
        )
        return (
            f"<p><b>experiment {html.escape(self.id)}</b>: {html.escape(status)}, {head}"
            f" {html.escape(reason)}</p>"
            f"<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"
        )

    def _set_engine(self, engine: Engine) -> None:
        self._loop = asyncio.get_running_loop()
        self._engine = engine


def _run(
    directory: ExperimentDirectory,
    parts: Parts,
    on_engine: Callable[[Engine], None],
    ready: Future[None],
    ended: Future[str],
) -> None:
    from tune_core.experiment.manager import manage

    def started(engine: Engine) -> None:
        on_engine(engine)
        ready.set_result(None)

    try:
        status = asyncio.run(manage(directory, parts, started))
    except BaseException as err:  # noqa: BLE001 (raised again in the thread that waits)
        if ready.done():
            ended.set_exception(err)
        else:
            ready.set_exception(err)
    else:
        ended.set_result(status)


def _function_parts(
    function: Callable[..., Any],
    search_space: Mapping[str, Any],
    objectives: Objectives,
    limits: Mapping[str, Any],
    seed: int,
    name: str,
    tuner: str | Tuner | Advisor | None,
    assessor: str | Assessor | None,
    initial_points: Sequence[Mapping[str, Any]],
    *,
    by_name: bool,
) -> Parts:
    from tune_core.algorithms.ask_tell import make_advisor
    from tune_core.algorithms.compose import check_configuration
    from tune_core.experiment.manager import Parts
    from tune_core.experiment.requests import check_limits
    from tune_core.experiment.settings import Limits, Settings
    from tune_core.plugins import plugins
    from tune_core.services.function import FunctionService
    from tune_core.space import SearchSpace

    if tuner is None:
        raise TuneError(
            "this experiment was started with a tuner object; give the same kind again as `tuner`"
        )
    first = check_limits(Limits(1), dict(limits))
    advisor = make_advisor(tuner, assessor, objectives=objectives)
    space = SearchSpace.parse(search_space, allow_empty=not advisor.needs_space)
    for point in initial_points:
        check_configuration(point, space, None if advisor.needs_space else advisor)
    return Parts(
        settings=Settings(
            name, objectives, seed, "", Path.cwd(), first, initial_points=tuple(map(dict, initial_points))
        ),
        search_space=space,
        advisor=advisor,
        service=FunctionService(function, by_name=by_name),
        notify=plugins().notifier(),
        algorithm_gpus=None,
    )


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
