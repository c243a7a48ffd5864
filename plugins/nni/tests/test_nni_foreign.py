"""Microsoft's nni in the same environment, and `import nni` where nothing is installed."""

from __future__ import annotations

import importlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nni
import pytest

from tune.host import boot

HERE = Path(nni.__file__).parents[1]
SDK = Path(boot.__file__).parents[2]


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder of packages where nni 2.10 is installed, and then tune-nni over it."""
    info = tmp_path / "nni-2.10.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nni\nVersion: 2.10\n")
    (info / "RECORD").write_text("nni/__init__.py,,\n")
    for package in ("nni", "tune_nni"):
        shutil.copytree(HERE / package, tmp_path / package)
    return tmp_path


def run(packages: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": f"{packages}:{SDK}", **environment}
    return subprocess.run(
        [sys.executable, *words], env=variables, capture_output=True, text=True, timeout=60, check=False
    )


def test_import_is_refused_beside_the_foreign_nni(foreign: Path) -> None:
    done = run(foreign, "-c", "import nni")
    assert done.returncode == 1
    assert "Microsoft's nni is installed here" in done.stderr.splitlines()[-1]
    (foreign / "nni-2.10.dist-info").rename(foreign / "tune_nni-2.10.dist-info")
    assert run(foreign, "-c", "import nni").returncode == 0


def test_commands_say_what_to_do_beside_the_foreign_nni(foreign: Path) -> None:
    # Its files came last, so that nothing of ours is asked when nni is imported.
    (foreign / "nni" / "__init__.py").write_text("__version__ = '2.10'")
    nnictl = "import sys; from tune_nni.nnictl import main; sys.exit(main())"
    listed = run(foreign, "-c", nnictl, "experiment", "list")
    assert listed.returncode == 1
    assert listed.stderr.startswith("nnictl: Microsoft's nni 2.10 is installed here")
    assert "pip uninstall nni" in listed.stderr
    plugins = run(foreign, "-m", "tune_core", "plugins", "list")
    assert "broken: tune-nni" in plugins.stdout
    assert "Microsoft's nni 2.10 is installed here" in plugins.stdout


def test_runtime_that_is_sent_to_other_machines_has_nni(tmp_path: Path) -> None:
    _, archive = boot.runtime_archive()
    zipfile.ZipFile(io.BytesIO(archive)).extractall(tmp_path)
    script = "import nni, nni.utils; print(nni.__file__, nni.get_trial_id())"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == f"{tmp_path}/nni/__init__.py STANDALONE\n"


def test_algorithms_of_nni_are_not_imported_and_it_says_what_is_done_instead() -> None:
    with pytest.raises(ImportError, match=r"Name one in the configuration \(tuner: \{name: TPE\}\)"):
        importlib.import_module("nni.algorithms.hpo.hyperopt_tuner")


@pytest.mark.parametrize(
    ("module", "advice"),
    [
        ("nni.hyperopt_tuner.hyperopt_tuner", "Name one in the configuration"),
        ("nni.nas.pytorch.mutables", "architectures are searched by plugins"),
        ("nni.retiarii.nn.pytorch", "architectures are searched by plugins"),
        ("nni.compression.torch", "it compresses no models"),
        ("nni.recoverable", "what trial code and custom tuners, assessors and advisors import"),
    ],
)
def test_absent_modules_say_why(module: str, advice: str) -> None:
    first = ".".join(module.split(".")[:2])
    with pytest.raises(ImportError, match=f"{first} is not part of tune-nni: .*{advice}"):
        importlib.import_module(module)


def test_variables_are_attributes_as_in_nni(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = importlib.import_module("nni.env_vars").trial_env_vars
    assert variables is importlib.import_module("nni.runtime.env_vars").trial_env_vars
    monkeypatch.delenv("NNI_OUTPUT_DIR", raising=False)
    assert variables.NNI_OUTPUT_DIR is None
    monkeypatch.setenv("NNI_OUTPUT_DIR", "/out")
    assert variables.NNI_OUTPUT_DIR == "/out"
    with pytest.raises(AttributeError, match="there is no variable NNI_OUTPUT"):
        variables.NNI_OUTPUT  # noqa: B018 (it raises)


def test_modules_are_there_without_being_imported() -> None:
    code = "import nni; print(nni.tuner.Tuner.__name__, nni.assessor.Assessor.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "Tuner Assessor\n"
