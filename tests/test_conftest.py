"""The rule that nothing is skipped in CI, seen from outside: pytest run on files of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SKIPS = {
    "test": 'import pytest\n\n@pytest.mark.skip(reason="{}")\ndef test_it(): pass\n',
    "call": 'import pytest\n\ndef test_it():\n    pytest.skip("{}")\n',
    "module": 'import pytest\npytest.skip("{}", allow_module_level=True)\n',
}


def run_pytest(folder: Path, source: str, ci: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(source)
    environment = {**os.environ, "CI": ci, "PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("kind", SKIPS)
def test_ci_fails_when_something_is_missing(tmp_path: Path, kind: str) -> None:
    result = run_pytest(tmp_path, SKIPS[kind].format("no strace here"), ci="true")
    assert result.returncode != 0
    assert "skipped in CI: no strace here" in result.stdout


def test_ci_lets_another_platform_be_skipped(tmp_path: Path) -> None:
    result = run_pytest(tmp_path, SKIPS["test"].format("platform: needs Windows"), ci="true")
    assert result.returncode == 0, result.stdout


def test_ci_lets_an_expected_failure_be(tmp_path: Path) -> None:
    source = "import pytest\n\n@pytest.mark.xfail(strict=True)\ndef test_it(): assert False\n"
    assert run_pytest(tmp_path, source, ci="true").returncode == 0


def test_skip_is_a_remark_outside_ci(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, SKIPS["test"].format("no strace here"), ci="").returncode == 0
