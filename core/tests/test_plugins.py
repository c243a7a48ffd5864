"""Plugins are found, named, and kept from harming each other."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable

import pytest

from tune_core.errors import PluginError
from tune_core.plugins import API_VERSION, Plugins

ECHO = """
@hookimpl
def tune_tuners():
    yield Driver("Echo", "{module}.things:Echo", summary="Says it again", aliases=("Parrot",))
"""
TUNER = """
from tune_core import Tuner

class Echo(Tuner):
    def update_search_space(self, search_space): pass
    def generate_parameters(self, parameter_id): return {}
    def receive_trial_result(self, parameter_id, parameters, value): pass
"""

Install = Callable[..., None]


def found(*names: str) -> Plugins:
    return Plugins({"TUNE_ENABLE_PLUGINS": ",".join(names)})


@pytest.mark.parametrize("name", ["Echo", "ECHO", "parrot", "tune-aa:Echo", "Tune_AA:echo"])
def test_find_forgives_case_and_knows_aliases_and_qualified_names(install: Install, name: str) -> None:
    install("aa", ECHO, TUNER)
    echo = found("aa").find("tuner", name)
    assert (echo.distribution, echo.version, echo.qualified) == ("tune-aa", "1.0", "tune-aa:Echo")
    assert echo.load().__name__ == "Echo"


def test_finding_imports_no_target(install: Install) -> None:
    install("aa", ECHO, "raise RuntimeError")
    assert [each.driver.name for each in found("aa").all("tuner")] == ["Echo"]
    assert "tune_aa.things" not in sys.modules


def test_name_claimed_twice_names_both_packages(install: Install) -> None:
    install("aa", ECHO, TUNER)
    install("bb", ECHO, TUNER)
    both = found("aa", "bb")
    with pytest.raises(
        PluginError, match=r"tune-aa 1.0 .* and tune-bb 1.0 .*\n.*tune-aa:Echo or tune-bb:Echo"
    ):
        both.find("tuner", "echo")
    assert both.find("tuner", "tune-bb:Echo").distribution == "tune-bb"


def test_advisor_is_found_as_a_tuner(install: Install) -> None:
    install("aa", ECHO.replace("tune_tuners", "tune_advisors"))
    assert found("aa").find("tuner", "Echo").kind == "advisor"
    with pytest.raises(PluginError, match="'Echo' is an advisor"):
        found("aa").find("assessor", "Echo")


def test_unknown_name_answers_with_the_nearest(install: Install) -> None:
    install("aa", ECHO, TUNER)
    with pytest.raises(PluginError) as caught:
        found("aa").find("tuner", "Ecoh")
    text = str(caught.value)
    assert text.startswith("no tuner called 'Ecoh', did you mean 'Echo'?\n  installed: Echo\n")
    assert "pip install tune-<name>" in text


@pytest.mark.parametrize(
    ("kind", "name", "package"), [("tuner", "TPE", "tune-tpe"), ("training_service", "local", "tune-local")]
)
def test_nothing_installed_names_the_package_to_install(kind: str, name: str, package: str) -> None:
    with pytest.raises(PluginError, match=rf"installed: none\n(.*\n)*.*pip install {package};"):
        found("no-such-plugin").find(kind, name)


@pytest.mark.parametrize(
    ("hooks", "reason"),
    [
        ("import no_such_module_at_all", "No module named 'no_such_module_at_all'"),
        ("assert False, 'not here'", "AssertionError: not here"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
        ("@hookimpl\ndef tune_tuners():\n    raise OSError('no disk')", "OSError: no disk"),
        ("@hookimpl\ndef tune_tuners():\n    yield 'TPE'", "tune_tuners gave 'TPE', which is no Driver"),
        ("@hookimpl\ndef tune_tuners():\n    yield Driver('X', 'tune_x')", "not `module:Class`"),
        ("@hookimpl\ndef tune_tuners():\n    return [Driver('X', 'a:B'), Driver('x', 'a:C')]", "'x' twice"),
        ("@hookimpl\ndef tune_tuners(colour):\n    return []", "colour"),
        ("@hookimpl\ndef tune_tuner():\n    return []", "no hook tune_tuner, did you mean tune_tuners?"),
        ("def tune_tuners():\n    return []", "tune_tuners lacks @hookimpl"),
        ("tune_api = 99", f"plugin API 99, this tune-core has {API_VERSION}; upgrade tune-core"),
        ("tune_api = 0", f"plugin API 0, this tune-core has {API_VERSION}; upgrade the plugin"),
    ],
)
def test_broken_plugin_is_listed_and_harms_no_other(install: Install, hooks: str, reason: str) -> None:
    install("aa", hooks)
    install("bb", ECHO, TUNER)
    both = found("aa", "bb")
    assert [plugin.distribution for plugin in both.broken] == ["tune-aa"]
    assert reason in both.broken[0].error
    assert "\n" not in both.broken[0].error
    assert both.find("tuner", "Echo").distribution == "tune-bb"
    with pytest.raises(PluginError, match=r"tune-aa 1\.0 is broken"):
        both.find("tuner", "missing")


def test_plugin_that_raises_in_one_hook_offers_nothing(install: Install) -> None:
    install("aa", ECHO + "\n@hookimpl\ndef tune_assessors():\n    raise OSError\n")
    broken = found("aa")
    assert broken.all("tuner") == []
    assert broken.hook.tune_tuners() == []


@pytest.mark.parametrize(
    ("tuner", "reason"),
    [
        ("import no_such_module_at_all", "could not be loaded: No module named 'no_such_module_at_all'"),
        ("raise SystemExit(1)", "could not be loaded: SystemExit: 1"),
        ("", "has no attribute 'Echo'"),
        ("class Echo: pass", "is not a subclass of tune_core.Tuner"),
        ("Echo = 3", "is not a subclass of tune_core.Tuner"),
        ("from tune_core import Tuner\nclass Echo(Tuner): pass", "does not define generate_parameters, rec"),
    ],
)
def test_load_says_what_is_wrong_with_the_target(install: Install, tuner: str, reason: str) -> None:
    install("aa", ECHO, tuner)
    with pytest.raises(PluginError, match=r"plugin tune-aa 1\.0") as caught:
        found("aa").find("tuner", "Echo").load()
    assert reason in str(caught.value)


def test_missing_target_is_seen_without_importing_it(install: Install) -> None:
    install("aa", ECHO, TUNER)
    install("bb", ECHO.replace(".things:", ".toner:"))
    here, gone = (found("aa", "bb").find("tuner", f"tune-{name}:Echo") for name in ("aa", "bb"))
    assert not here.target_missing()
    assert gone.target_missing()
    assert "tune_aa.things" not in sys.modules


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {"tune-aa": "ok", "tune-bb": "ok"}),
        ({"TUNE_DISABLE_PLUGINS": "aa, Tune_BB"}, {"tune-aa": "disabled", "tune-bb": "disabled"}),
        ({"TUNE_ENABLE_PLUGINS": "tune-aa"}, {"tune-aa": "ok", "tune-bb": "disabled"}),
        (
            {"TUNE_ENABLE_PLUGINS": "aa,bb", "TUNE_DISABLE_PLUGINS": "bb"},
            {"tune-aa": "ok", "tune-bb": "disabled"},
        ),
    ],
)
def test_environment_leaves_plugins_out(
    install: Install, environ: dict[str, str], expected: dict[str, str]
) -> None:
    install("aa", ECHO, TUNER)
    install("bb", ECHO, TUNER)
    status = {plugin.distribution: plugin.status for plugin in Plugins(environ).installed}
    assert expected.items() <= status.items()


def test_disabled_plugin_is_not_imported_and_is_named_when_missed(install: Install) -> None:
    install("aa", "raise RuntimeError")
    plugins = Plugins({"TUNE_DISABLE_PLUGINS": "aa", "TUNE_ENABLE_PLUGINS": "none"})
    assert plugins.broken == []
    with pytest.raises(PluginError, match=r"left out by TUNE_DISABLE_PLUGINS: tune-aa 1\.0"):
        plugins.find("tuner", "Echo")


def test_observer_that_raises_is_logged_by_name(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    observer = (
        "heard = []\n@hookimpl\ndef tune_experiment_ended(experiment):\n    {}heard.append(experiment)\n"
    )
    install("aa", observer.format(""))
    install("bb", observer.format("raise SystemExit(2); "))
    both = found("aa", "bb")
    with caplog.at_level(logging.ERROR):
        both.notify("tune_experiment_ended", experiment="view")
    assert sys.modules["tune_aa"].heard == ["view"]
    assert ["tune-bb" in record.message for record in caplog.records] == [True]


def test_observer_takes_only_the_arguments_it_names(install: Install) -> None:
    install("aa", "heard = []\n@hookimpl\ndef tune_metric_reported(value):\n    heard.append(value)\n")
    found("aa").notify("tune_metric_reported", experiment=1, trial=2, kind="final", value=3)
    assert sys.modules["tune_aa"].heard == [3]


def test_finding_plugins_imports_nothing_heavy() -> None:
    script = """
import sys
from tune_core.plugins import plugins
plugins()
print(sorted({"numpy", "pydantic", "rich", "yaml", "click", "scipy", "torch", "asyncio"} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
