"""`nni.experiment.Experiment`: an experiment in a process of its own, steered and read from Python."""

from __future__ import annotations

import atexit
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from nni.experiment.config import ExperimentConfig

from tune_core import Experiment as TuneExperiment
from tune_core.cli.export import rows
from tune_core.cli.output import remark
from tune_core.errors import ExperimentNotFoundError, TuneError
from tune_core.experiment.assemble import reopen
from tune_core.experiment.background import launch
from tune_core.store.directory import ExperimentDirectory, find_experiment, list_experiments
from tune_core.store.lock import ManagerLock
from tune_core.store.reader import Record, TrialRecord
from tune_nni import refuse_beside_foreign
from tune_nni.records import trial_job

__all__ = ["Experiment", "RunMode", "TrialHyperParameters", "TrialJob", "TrialMetricData", "TrialResult"]

_LOOK_S = 0.2
_STOP_S = 60.0


class RunMode(Enum):
    """What becomes of an experiment when the script ends: all but `Detach` are stopped then."""

    Background = "background"
    Foreground = "foreground"
    Detach = "detach"


@dataclass
class TrialResult:
    """Parameters with the final result, as it was reported."""

    parameter: dict[str, Any]
    value: Any
    trialJobId: str  # noqa: N815 (NNI's name)


@dataclass
class TrialMetricData:
    """One result of a trial; `data` is what it reported, `timestamp` milliseconds."""

    timestamp: int
    trialJobId: str  # noqa: N815 (NNI's name)
    parameterId: str  # noqa: N815 (NNI's name)
    type: str
    sequence: int
    data: Any


@dataclass
class TrialHyperParameters:
    """The configuration of a trial."""

    parameter_id: int
    parameter_source: str
    parameters: dict[str, Any]
    parameter_index: int = 0


@dataclass
class TrialJob:
    """A trial; times are milliseconds, None before they come."""

    trialJobId: str  # noqa: N815 (NNI's name)
    status: str
    hyperParameters: list[TrialHyperParameters]  # noqa: N815 (NNI's name)
    logPath: str  # noqa: N815 (NNI's name)
    startTime: int | None = None  # noqa: N815 (NNI's name)
    endTime: int | None = None  # noqa: N815 (NNI's name)
    finalMetricData: list[TrialMetricData] = field(default_factory=list)  # noqa: N815 (NNI's name)


class Experiment:
    """An experiment to start, to steer and to read.

    Args:
        config_or_platform: A configuration; or the name of a platform, for `config` to be filled in; None
            for an experiment that exists.
        id: Of an experiment that exists, or of a new one.
    """

    def __init__(
        self,
        config_or_platform: ExperimentConfig | str | None = None,
        id: str | None = None,  # noqa: A002 (NNI's name)
    ) -> None:
        refuse_beside_foreign()
        self.config: Any = config_or_platform
        if not isinstance(config_or_platform, ExperimentConfig):
            self.config = ExperimentConfig(config_or_platform)
        self.id = id
        self.port: int | None = None  # there is none
        self._directory: ExperimentDirectory | None = None

    # Running.

    def start(self, port: int = 8080, debug: bool = False, run_mode: RunMode = RunMode.Background) -> None:
        """Start it, in a process of its own. `port` and `debug` are not used.

        Raises:
            ConfigError: With every problem of the configuration.
        """
        experiment = TuneExperiment(self.config.json(), id=self.id)
        self.id, self._directory = experiment.id, experiment.directory
        self._launch(run_mode)

    def run(self, port: int = 8080, wait_completion: bool = True, debug: bool = False) -> bool | None:
        """Start it and wait; whether it was done or stopped rather than failed, None without waiting.

        Ctrl-C stops it.
        """
        self.start(port, debug)
        return self._wait() if wait_completion else None

    def resume(
        self: Experiment | str, port: int = 8080, wait_completion: bool = True, debug: bool = False
    ) -> Any:
        """Go on with it, as `run`. `Experiment.resume(id)` of NNI 2 returns the experiment."""
        experiment = _given(self)
        reopen(experiment.directory)  # what is wrong is said here rather than in a log
        experiment._launch(RunMode.Background)
        done = experiment._wait() if wait_completion else None
        return experiment if isinstance(self, str) else done

    def run_or_resume(
        self, port: int = 8080, wait_completion: bool = True, debug: bool = False
    ) -> bool | None:
        """Go on with the experiment that has this id, or run a new one if there is none."""
        try:
            found = self.id is not None and find_experiment(self.id)
        except ExperimentNotFoundError:
            found = False
        done: bool | None = (self.resume if found else self.run)(port, wait_completion, debug)
        return done

    def view(self: Experiment | str, port: int = 8080, non_blocking: bool = False) -> Any:
        """Read it; there is no page to wait for. `Experiment.view(id)` of NNI 2 returns the experiment."""
        experiment = _given(self)
        experiment.get_status()
        return experiment

    def connect(self: Experiment | str | int, port: int | str | None = None) -> Any:
        """The experiment with this id, perhaps of another process: there are no ports to connect to.

        Raises:
            TuneError: A port was given.
        """
        name = port if isinstance(self, Experiment) and port is not None else self
        if isinstance(name, int):
            raise TuneError(
                f"experiments have no port such as {name}; connect with the id: nnictl experiment list"
            )
        experiment = _given(name)
        if isinstance(self, Experiment):
            self.id, self._directory = experiment.id, experiment.directory
            return self
        return experiment

    def stop(self) -> None:
        """Stop it, if it runs, and wait until it has ended."""
        TuneExperiment.connect(str(self.directory.path)).stop()
        deadline = time.monotonic() + _STOP_S
        while ManagerLock.is_held(self.directory.lock):
            if time.monotonic() > deadline:
                raise TuneError(f"experiment {self.id} is still stopping after {_STOP_S:g} s")
            time.sleep(_LOOK_S)

    @property
    def directory(self) -> ExperimentDirectory:
        """Where it is.

        Raises:
            TuneError: It was not started, and has no id.
        """
        if self._directory is None:
            if self.id is None:
                raise TuneError("the experiment has not been started, and has no id")
            self._directory = find_experiment(self.id)
            self.id = self._directory.id
        return self._directory

    def _launch(self, run_mode: RunMode) -> None:
        launch(self.directory)
        remark(f"experiment {self.id} runs, in {self.directory.path}")
        if run_mode is not RunMode.Detach:
            atexit.register(self._stop_at_exit)

    def _stop_at_exit(self) -> None:
        if self.directory.path.exists() and ManagerLock.is_held(self.directory.lock):
            remark(f"stopping experiment {self.id}")
            self.stop()

    def _wait(self) -> bool:
        try:
            while ManagerLock.is_held(self.directory.lock):
                time.sleep(_LOOK_S)
        except KeyboardInterrupt:
            self.stop()
            raise
        return self.get_status() in {"DONE", "STOPPED"}

    # Steering.

    def update_trial_concurrency(self, value: int) -> None:
        """Change how many trials run at once."""
        self._tune.update(concurrency=value)

    def update_max_trial_number(self, value: int) -> None:
        """Change the number of trials."""
        self._tune.update(trials=value)

    def update_max_experiment_duration(self, value: str | int) -> None:
        """Change how long trials may be started: `2h`, or seconds."""
        from tune_core.config.values import seconds

        self._tune.update(duration_s=seconds(value))

    def update_search_space(self, value: dict[str, Any]) -> None:
        """Search another space from now on."""
        self._tune.update_search_space(value)

    def kill_trial_job(self, trial_job_id: str) -> None:
        """End a trial."""
        self._tune.kill_trial(trial_job_id)

    # Reading.

    def get_status(self) -> str:
        """RUNNING, DONE, STOPPED, ERROR, ...; a crash is an ERROR."""
        with Record(self.directory) as record:
            status = record.status()
        return "ERROR" if status == "CRASHED" else status

    def get_trial_job(self, trial_job_id: str) -> TrialJob:
        """One trial."""
        with Record(self.directory) as record:
            return self._job(record.trial(trial_job_id))

    def list_trial_jobs(self) -> list[TrialJob]:
        """All trials."""
        with Record(self.directory) as record:
            return [self._job(each) for each in record.trials()]

    def get_job_statistics(self) -> list[dict[str, Any]]:
        """How many trials are in each state."""
        with Record(self.directory) as record:
            counts = record.counts()
        return [{"trialJobStatus": state.value, "trialJobNumber": count} for state, count in counts.items()]

    def get_job_metrics(self, trial_job_id: str | None = None) -> dict[str, list[TrialMetricData]]:
        """What trials reported, by their ids; of one trial or all."""
        with Record(self.directory) as record:
            found = list(record.trials()) if trial_job_id is None else [record.trial(trial_job_id)]
            return {each.id: list(_metrics(record, each)) for each in found}

    def export_data(self) -> list[TrialResult]:
        """Parameters and results of the trials that succeeded."""
        with Record(self.directory) as record:
            return [TrialResult(**row) for row in rows(record, everything=False, intermediate=False)]

    def get_experiment_profile(self) -> dict[str, Any]:
        """Its configuration, and how far it is; times are milliseconds, `execDuration` seconds."""
        with Record(self.directory) as record:
            state = record.state()
            return {
                "id": self.id,
                "revision": record.revision(),
                "execDuration": record.elapsed_s(),
                "logDir": str(self.directory.path),
                "nextSequenceId": sum(record.counts().values()),
                "params": state.get("config") or {},
                "startTime": _milliseconds(state.get("created")),
                "endTime": _milliseconds(state.get("ended")),
            }

    @staticmethod
    def get_experiment_metadata(experiment_id: str) -> dict[str, Any]:
        """What there is to know of an experiment of this machine."""
        from tune_core.cli.experiment import summary

        return summary(find_experiment(experiment_id))

    @staticmethod
    def get_all_experiments_metadata() -> list[dict[str, Any]]:
        """The same of all experiments, newest first."""
        from tune_core.cli.experiment import summary

        return [summary(each) for each in list_experiments()]

    @property
    def _tune(self) -> TuneExperiment:
        return TuneExperiment.connect(str(self.directory.path))

    def _job(self, trial: TrialRecord) -> TrialJob:
        content = trial_job(self.directory, trial)
        final = [
            TrialMetricData(**{**each, "data": json.loads(json.loads(each["data"]))})
            for each in content.get("finalMetricData", ())
        ]
        return TrialJob(
            trialJobId=trial.id,
            status=content["status"],
            hyperParameters=[TrialHyperParameters(**json.loads(each)) for each in content["hyperParameters"]],
            logPath=content["logPath"],
            startTime=content.get("startTime"),
            endTime=content.get("endTime"),
            finalMetricData=final,
        )


def _given(experiment: Any) -> Experiment:
    """An experiment, itself or by its id."""
    return experiment if isinstance(experiment, Experiment) else Experiment(id=experiment)


def _metrics(record: Record, trial: TrialRecord) -> Iterator[TrialMetricData]:
    """The results of the newest attempt, numbered as NNI did: the final one has number 0, too."""
    count = 0
    for each in record.metrics(trial.sequence, attempt=trial.attempt):
        yield TrialMetricData(
            timestamp=round(1000 * each.time),
            trialJobId=trial.id,
            parameterId=str(trial.sequence),
            type="FINAL" if each.final else "PERIODICAL",
            sequence=0 if each.final else count,
            data=each.value,
        )
        count += not each.final


def _milliseconds(moment: float | None) -> int | None:
    return None if moment is None else round(1000 * moment)
