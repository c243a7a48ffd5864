"""`tune plugins list|show|new|check`."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import click

from tune_core.cli.options import as_json
from tune_core.cli.output import print_json, print_table, remark
from tune_core.errors import PluginError
from tune_core.plugins import API_VERSION, KINDS, Found, Plugin, plugins


@click.group("plugins")
def plugins_() -> None:
    """See what is installed, and make plugins of your own."""


@plugins_.command("list")
@click.option("--load", is_flag=True, help="Import everything that is listed, to find what cannot be.")
@as_json
def list_(load: bool, as_json: bool) -> int:
    """List what is installed, and what is broken.

    With --load, the exit code is 1 when anything is broken.
    """
    rows = [_row(found, load) for found in _everything()]
    rows += [_observer_row(plugin, hooks) for plugin, hooks in plugins().observers]
    apart = [plugin for plugin in plugins().installed if plugin.status != "ok"]
    if as_json:
        print_json({"drivers": rows, "left_out": [_plugin_row(plugin) for plugin in apart]})
    else:
        titles = ("kind", "name", "package", "version")
        summaries = [f"broken: {row['error']}" if row["error"] else row["summary"] for row in rows]
        lines = [[*(row[title] for title in titles), text] for row, text in zip(rows, summaries, strict=True)]
        print_table([*titles, "summary"], lines)
        for plugin in apart:
            print(f"{plugin.status}: {plugin}: {plugin.error or f'left out by {plugin.disabled}'}")
        if not plugins().installed:
            remark("no plugin is installed\n  tuners and platforms are packages: pip install tune-<name>")
    return 1 if load and (plugins().broken or any(row["error"] for row in rows)) else 0


@plugins_.command()
@click.argument("name")
@as_json
def show(name: str, as_json: bool) -> int:
    """Show a plugin. NAME is its package, or the name of something it brings.

    Everything it brings is imported; the exit code is 1 when that fails.
    """
    chosen = _packages(name) or [found.plugin for found in _everything() if found.answers_to(name)]
    if not chosen:
        raise PluginError(
            f"nothing that is installed is called {name!r}\n  `tune plugins list` shows what is here"
        )
    if as_json:
        rows = [_row(found, True) for found in _everything() if found.plugin in chosen]
        rows += [_observer_row(each, hooks) for each, hooks in plugins().observers if each in chosen]
        print_json({"packages": [_plugin_row(plugin) for plugin in chosen], "drivers": rows})
        faults = [row["error"] for row in rows] + [plugin.error for plugin in chosen]
        return 1 if any(faults) else 0
    healthy = True
    for plugin in plugins().installed:
        if plugin in chosen:
            healthy &= _show(plugin)
    return 0 if healthy else 1


@plugins_.command()
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["tuner", "assessor", "advisor"]),
    default="tuner",
    help="What it is to bring.",
)
@click.option("--directory", type=click.Path(path_type=Path), help="Its folder; tune-NAME here by default.")
def new(name: str, kind: str, directory: Path | None) -> None:
    """Write a working plugin with its tests, to start from.

    NAME is a word like `halton`, which makes the package tune-halton.
    """
    from tune_core.cli.template import write_plugin

    name = name.removeprefix("tune-")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise click.UsageError(f"{name!r}: use lower-case letters, digits and hyphens, a letter first")
    folder = directory or Path(f"tune-{name}")
    for path in write_plugin(name, kind, folder):
        print(path)
    remark(f"it works as it stands: pip install -e {folder} && pytest {folder}")


@plugins_.command()
@click.argument("package")
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def check(package: str, pytest_arguments: tuple[str, ...]) -> int:
    """Run the conformance kits on what an installed package brings.

    Needs pytest; what follows `--` is given to it. Everything is made with default arguments; what
    has none is tested in its package's own tests, by subclassing the kit.
    """
    from tune_core.cli.conformance import run_kits

    chosen = _packages(package)
    if not chosen:
        raise PluginError(
            f"no plugin package {package!r} is installed\n  `tune plugins list` shows what is here"
        )
    for plugin in chosen:
        if plugin.status != "ok":
            raise PluginError(f"plugin {plugin} is {plugin.status}: {plugin.error or plugin.disabled}")
    return run_kits([found for found in _everything() if found.plugin in chosen], list(pytest_arguments))


def _everything() -> list[Found]:
    return [found for kind in KINDS for found in plugins().all(kind)]


def _packages(name: str) -> list[Plugin]:
    return [plugin for plugin in plugins().installed if name in {plugin.name, plugin.distribution}]


def _row(found: Found, load: bool) -> dict[str, object]:
    return {
        "kind": found.kind,
        "name": found.driver.name,
        "aliases": list(found.driver.aliases),
        "package": found.distribution,
        "version": found.version,
        "summary": found.driver.summary,
        "target": found.driver.target,
        "error": _fault(found, load),
    }


def _observer_row(plugin: Plugin, hooks: list[str]) -> dict[str, object]:
    return {
        "kind": "observer",
        "name": plugin.name,
        "aliases": [],
        "package": plugin.distribution,
        "version": plugin.version,
        "summary": f"Hears {', '.join(hook.removeprefix('tune_') for hook in hooks)}",
        "target": plugin.module,
        "error": "",
    }


def _plugin_row(plugin: Plugin) -> dict[str, object]:
    return {
        "package": plugin.distribution,
        "version": plugin.version,
        "status": plugin.status,
        "error": plugin.error,
        "disabled_by": plugin.disabled,
    }


def _fault(found: Found, load: bool) -> str:
    """What is wrong with a driver's target: that it is not there, or cannot be loaded."""
    if not load:
        return f"no module {found.driver.target.partition(':')[0]}" if found.target_missing() else ""
    try:
        found.load()
    except PluginError as err:
        return str(err).splitlines()[0]
    return ""


def _show(plugin: Plugin) -> bool:
    """Print all about one plugin; returns whether it works."""
    print(f"{plugin}, module {plugin.module}, plugin API {API_VERSION}: {plugin.status}")
    if plugin.disabled:
        print(f"  left out by {plugin.disabled}")
    if plugin.error:
        print(f"  {plugin.error}")
        trace = "".join(traceback.format_exception(plugin.exception)) if plugin.exception else ""
        print("".join(f"    {line}\n" for line in trace.splitlines()), end="")
        return False
    healthy = True
    for found in _everything():
        if found.plugin is plugin:
            fault = _fault(found, load=True)
            healthy &= not fault
            names = ", ".join([found.driver.name, *found.driver.aliases])
            print(f"\n{found.kind} {names}: {found.driver.summary}")
            print(f"  {fault or _details(found)}")
    for observer, hooks in plugins().observers:
        if observer is plugin:
            print(f"\nobserver {plugin.name}: {', '.join(hooks)}")
    return healthy


def _details(found: Found) -> str:
    """What a working driver takes."""
    parts = [found.driver.target]
    if found.driver.accepts is not None:
        parts.append(f"takes {', '.join(sorted(found.driver.accepts))}")
    if not found.driver.nested:
        parts.append("no nested choices")
    if found.driver.objectives == "many":
        parts.append("several objectives")
    if KINDS[found.kind].base.startswith("tune_core.algorithms"):
        from tune_core.config.algorithm import arguments_model

        fields = arguments_model(found.load()).model_fields
        parts.append(
            "classArgs: " + (", ".join(each.alias or name for name, each in fields.items()) or "none")
        )
    return "; ".join(parts)
