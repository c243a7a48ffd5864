"""Where experiments are: one folder each, and how one is found by its id.

The list of experiments is derived from the folders. An experiment that the configuration puts
elsewhere leaves a symbolic link in the home folder.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import string
from collections.abc import Iterator
from pathlib import Path

from tune_core.errors import (
    ConfigError,
    ExperimentBusyError,
    ExperimentNotFoundError,
    StoreError,
    TuneError,
)

__all__ = [
    "ExperimentDirectory",
    "create_experiment",
    "delete_experiment",
    "experiments_home",
    "find_experiment",
    "list_experiments",
    "new_id",
]

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,31}")
_ALPHABET = string.ascii_lowercase + string.digits


def new_id() -> str:
    """An id for an experiment: eight small letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(8))


def experiments_home() -> Path:
    """`$TUNE_HOME`, or `~/tune-experiments`."""
    path = Path(os.environ.get("TUNE_HOME") or "~/tune-experiments")
    try:
        return path.expanduser().absolute()
    except RuntimeError as err:
        raise StoreError(f"{path}: no such user's home folder\n  set TUNE_HOME to a folder of yours") from err


class ExperimentDirectory:
    """The places inside an experiment's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = path / "experiment.sqlite"
        self.lock = path / "lock"
        self.doorbell = path / "doorbell"
        self.created = path / "created"  # empty and never touched again; its time says when
        self.log = path / "log"
        self.manager_output = self.log / "manager.stderr"  # of one that has no terminal
        self.trials = path / "trials"
        self.algorithm = path / "algorithm"  # whatever it keeps; made when it is needed
        self.code = path / "code"  # of trials, where it was rewritten for them

    @property
    def id(self) -> str:
        return self.path.name

    def attempt(self, trial_id: str, number: int) -> Path:
        """The folder of one attempt at one trial."""
        return self.trials / trial_id / str(number)

    def __repr__(self) -> str:
        return f"ExperimentDirectory({str(self.path)!r})"


def create_experiment(parent: Path | None = None, experiment_id: str | None = None) -> ExperimentDirectory:
    """Make the folder of a new experiment, mode 0700 whatever the umask.

    Args:
        parent: `experimentWorkingDirectory`; None for `experiments_home()`.
        experiment_id: 1 to 32 letters, digits, `_` and `-`, the first no `-`; None for eight random ones.

    Raises:
        ConfigError: The id has other characters.
        ExperimentBusyError: The id is taken.
        StoreError: The folder cannot be made or is open to others.
    """
    home = experiments_home()
    parent = parent or home
    if experiment_id is not None and not _ID.fullmatch(experiment_id):
        raise ConfigError(
            f"experiment id {experiment_id!r}: use 1 to 32 letters, digits, underscores and hyphens, "
            "and no hyphen first"
        )
    try:
        for folder in (home, parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _refuse_open_folder(parent)
        for _ in range(100):
            path = parent / (experiment_id or new_id())
            try:
                path.mkdir(mode=0o700)
            except FileExistsError:
                if experiment_id is not None:
                    raise ExperimentBusyError(
                        f"{path}: there is an experiment with this id already\n"
                        f"  go on with it: tune resume {experiment_id}"
                    ) from None
                continue
            break
        directory = ExperimentDirectory(path)
        path.chmod(0o700)
        for folder in (directory.log, directory.trials):
            folder.mkdir(mode=0o700)
        directory.created.touch(mode=0o600)
        directory.doorbell.touch(mode=0o600)
        link = home / path.name
        if parent.resolve() != home.resolve() and not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(path.absolute())
    except StoreError:
        raise
    except OSError as err:
        raise StoreError(
            f"{err.filename or parent}: the experiment's folder cannot be made: {err.strerror}\n"
            "  set experimentWorkingDirectory, or TUNE_HOME, to a folder that you may write"
        ) from err
    return directory


def list_experiments() -> Iterator[ExperimentDirectory]:
    """All experiments of this user on this machine, newest first."""
    found = []
    for path in _entries(experiments_home()):
        directory = ExperimentDirectory(path)
        try:
            written = directory.record.stat().st_mtime_ns
            found.append((_modified(directory.created) or written, path))
        except OSError:
            continue  # a link whose target is gone, or a folder that is no experiment
    for _, path in sorted(found, reverse=True):
        yield ExperimentDirectory(path.resolve())


def find_experiment(name: str | None = None) -> ExperimentDirectory:
    """The experiment with this id, unique start of an id, or path; None for the only or newest one.

    Raises:
        ExperimentNotFoundError: There is none.
        TuneError: The start of an id fits several.
    """
    if name and ("/" in name or name in {".", ".."}):
        path = Path(name).expanduser().absolute()
        if not (path / "experiment.sqlite").exists():
            raise ExperimentNotFoundError(f"{path}: this folder holds no experiment")
        return ExperimentDirectory(path)
    everything = list(list_experiments())
    if name is None:
        if not everything:
            raise ExperimentNotFoundError(
                f"there is no experiment in {experiments_home()} yet\n  start one: tune run config.yml"
            )
        return everything[0]
    fits = [item for item in everything if item.id == name] or [
        item for item in everything if item.id.startswith(name)
    ]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise TuneError(f"{name!r} could be " + ", ".join(sorted(item.id for item in fits)))
    raise ExperimentNotFoundError(
        f"no experiment {name!r} in {experiments_home()}\n  `tune experiment list` shows what is there"
    )


def delete_experiment(directory: ExperimentDirectory) -> None:
    """Remove the folder, and its link in the home folder."""
    shutil.rmtree(directory.path)
    link = experiments_home() / directory.id
    if link.is_symlink():
        link.unlink()


def _modified(path: Path) -> int:
    """Nanoseconds since the epoch; 0 if it is not there."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as err:
        raise StoreError(
            f"{folder}: the experiments there cannot be listed: {err.strerror}\n"
            "  set TUNE_HOME to a folder that you may read"
        ) from err


def _refuse_open_folder(folder: Path) -> None:
    """Whoever may write this folder could swap an experiment, and so run code as its owner."""
    info = folder.stat()
    others_write = info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if others_write and not info.st_mode & stat.S_ISVTX:
        raise StoreError(
            f"{folder}: other users may write this folder (mode {stat.S_IMODE(info.st_mode):o})\n"
            f"  they could run code as you. Close it: chmod go-w {folder}"
        )
