"""For all tests of the repository: nothing is skipped in CI because something is missing.

Also, `python` and `tune` mean those of the environment that runs the tests, whether it was activated or not.

A skip says that a promise was not checked. On a developer's machine that is a remark; in CI (`CI=true`)
it is a failure, unless the reason names the platform, as in
`pytest.mark.skipif(sys.platform != "darwin", reason="platform: needs macOS")`.
"""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ALLOWED = "platform: "
PROGRAMS = str(Path(sys.executable).parent)

if os.environ.get("PATH", "").split(os.pathsep)[0] != PROGRAMS:
    os.environ["PATH"] = os.pathsep.join([PROGRAMS, os.environ.get("PATH", os.defpath)])

# The same examples in every run: whether a change is good must not depend on chance. To look for others:
# pytest --hypothesis-profile=search
PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("search", **PATIENT)
settings.register_profile("repeatable", derandomize=True, **PATIENT)
settings.load_profile("repeatable")


def _refuse_skip(report):
    """Turn the skip that `report` tells of into a failure, if nothing allows it."""
    if not report.skipped or hasattr(report, "wasxfail") or os.environ.get("CI", "") in ("", "false", "0"):
        return
    place, line, reason = report.longrepr
    reason = reason[len("Skipped: ") :] if reason.startswith("Skipped: ") else reason
    if reason.startswith(ALLOWED):
        return
    report.outcome = "failed"
    report.longrepr = (
        f"{place}:{line}: skipped in CI: {reason}\nA skip in CI needs a reason that begins with {ALLOWED!r}."
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    """Look at each test's report."""
    outcome = yield
    _refuse_skip(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report():
    """Look at modules skipped as a whole, such as by `importorskip`."""
    outcome = yield
    _refuse_skip(outcome.get_result())
