"""Nothing that a user can write, type or implement is missing from the documentation."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import click
import pytest

from tune_core import hookspecs
from tune_core.cli import cli
from tune_core.config.model import ExperimentConfig
from tune_core.plugins import KINDS, plugins

ROOT = Path(__file__).parents[1]
HOOKS = [name for name in vars(hookspecs) if name.startswith("tune_")]


def load_pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_pages", ROOT / "docs" / "reference_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages = load_pages()
CONFIG_PAGE, CLI_PAGE, HOOKS_PAGE = pages.config_page(), pages.cli_page(), pages.hooks_page()
MODELS = [ExperimentConfig, *pages.nested_models(ExperimentConfig)]
MODELS += [found.load().Config for found in plugins().all("training_service")]
FIELDS = [(model, name) for model in MODELS for name in model.model_fields]
COMMANDS = dict(pages.commands())


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_is_documented(hook: str) -> None:
    assert len(inspect.getdoc(getattr(hookspecs, hook)) or "") > 40
    assert f"## `{hook}`" in HOOKS_PAGE
    assert f"`{hook}`" in (ROOT / "docs" / "plugin-guide.md").read_text()


@pytest.mark.parametrize(("model", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_config_field_is_documented(model: type, name: str) -> None:
    field = model.model_fields[name]
    assert pages.prose(field), f"{model.__name__}.{name} has no description"
    assert f"| `{field.alias or name}` |" in CONFIG_PAGE


@pytest.mark.parametrize("path", COMMANDS)
def test_command_is_documented(path: str) -> None:
    command = COMMANDS[path]
    assert command.help
    assert f"## `{path}`" in CLI_PAGE
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{path} {parameter.opts[-1]} has no help"


def test_every_command_is_seen() -> None:
    assert {"tune run", "tune trial ls", "tune experiment export", "tune plugins new"} <= set(COMMANDS)
    assert set(cli.list_commands(click.Context(cli))) <= {path.removeprefix("tune ") for path in COMMANDS}


def test_every_kit_is_in_the_guide() -> None:
    from tune_core import testing

    kits = [name for name in testing.__all__ if name.endswith("Contract")]
    assert len(kits) == 5
    guide = (ROOT / "docs" / "plugin-guide.md").read_text()
    assert not [name for name in kits if name not in guide]
    assert not [kind.hook for kind in KINDS.values() if kind.hook not in guide]


def test_every_plugin_is_in_the_docs() -> None:
    page = pages.plugins_page(ROOT)
    assert [
        name
        for path in ROOT.glob("plugins/*/README.md")
        if f"## tune-{(name := path.parent.name)}" not in page
    ] == []


def test_local_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]:
        if "_build" in page.parts:
            continue
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page}: {target}"
