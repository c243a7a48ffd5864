"""Reference pages made from the code: configuration, command line, hooks, installed plugins.

What is documented here can't be out of date. Each function returns one page of Markdown.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tune_core.config.checking import ConfigModel

WORDS = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "`true` or `false`",
    Path: "path",
    Any: "anything",
    type(None): "",
}


def write(folder: Path, root: Path) -> None:
    """Write all pages into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {
        "config.md": config_page(),
        "cli.md": cli_page(),
        "hooks.md": hooks_page(),
        "plugins.md": plugins_page(root),
    }
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:  # or Sphinx builds everything anew
            path.write_text(text)


def config_page() -> str:
    """Every field of the configuration, with those of its sections and of installed platforms."""
    from tune_core.config.model import ExperimentConfig
    from tune_core.plugins import plugins

    parts = ["## The experiment\n", model_table(ExperimentConfig)]
    for model in nested_models(ExperimentConfig):
        parts += [f"## `{model.__name__}`\n", first_paragraph(model), model_table(model)]
    for found in plugins().all("training_service"):
        parts += [
            f"## trainingService: `platform: {found.driver.name.lower()}`\n",
            f"Brought by `pip install {found.distribution}`. {found.driver.summary}.\n",
            model_table(found.load().Config),
        ]
        for model in nested_models(found.load().Config):
            parts += [f"### `{model.__name__}`\n", first_paragraph(model), model_table(model)]
    return "\n".join(parts)


def model_table(model: type[BaseModel]) -> str:
    """The fields of `model` as a table, by the names they have in a file."""
    lines = ["| field | type | default | |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        kind = typing.Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        cells = (f"`{field.alias or name}`", type_words(kind), default_words(field), prose(field))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def nested_models(model: type[BaseModel], seen: set[type] | None = None) -> Iterator[type[BaseModel]]:
    """The models that fields of `model` hold, each once, in order."""
    seen = {model} if seen is None else seen
    for field in model.model_fields.values():
        for part in parts_of(field.annotation):
            if is_section(part) and part not in seen:
                seen.add(part)
                yield part
                yield from nested_models(part, seen)


def is_section(annotation: Any) -> bool:
    """Whether it is one of our models; that of a platform is shown with the platform."""
    return inspect.isclass(annotation) and issubclass(annotation, ConfigModel)


def parts_of(annotation: Any) -> Iterator[Any]:
    """`annotation` and all that it is made of."""
    yield annotation
    for part in typing.get_args(annotation):
        yield from parts_of(part)


def type_words(annotation: Any) -> str:
    """A type as a reader of configurations would put it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return " or such as ".join([type_words(arguments[0]), *examples_in(arguments[1:])])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_words(part) for part in arguments if part is not type(None)))
    if origin in (list, tuple, set, frozenset):
        inner = [type_words(part) for part in arguments if part is not Ellipsis]
        return f"list of {' or '.join(dict.fromkeys(inner))}" if inner else "list"
    if origin is dict or annotation is dict or "Mapping" in str(origin):
        return "mapping"
    if is_section(annotation):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return WORDS.get(annotation, "section")


def examples_in(metadata: tuple[Any, ...]) -> list[str]:
    """The examples that a type gives of what may be written, as one text in a list; or none."""
    schemas = [extra.json_schema for extra in metadata if isinstance(extra, WithJsonSchema)]
    examples = [example for schema in schemas if schema for example in schema.get("examples", ())]
    return [", ".join(f"`{example}`" for example in examples)] if examples else []


def default_words(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True) if field.default_factory else field.default
    if isinstance(value, BaseModel):
        return "see there"
    return "" if value is None or value is PydanticUndefined else f"`{yaml_words(value)}`"


def yaml_words(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def prose(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def first_paragraph(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n\n")[0] + "\n"


def cli_page() -> str:
    """Every command with its arguments and options."""
    return "\n".join(
        part for path, command in commands() for part in (f"## `{path}`\n", command_text(path, command))
    )


def commands(group: click.Group | None = None, path: str = "tune") -> Iterator[tuple[str, click.Command]]:
    """Every visible command below `group`, `tune` itself first: ("tune trial ls", command), ..."""
    from tune_core.cli import cli

    group = group or cli
    if path == "tune":
        yield path, group
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def command_text(path: str, command: click.Command) -> str:
    """What `--help` says, as it says it."""
    context = click.Context(command, info_name=path, max_content_width=90, terminal_width=90)
    return f"```text\n{command.get_help(context)}\n```\n"


def hooks_page() -> str:
    """Every hook with its signature and its paragraph, from the specs themselves."""
    from tune_core import hookspecs

    parts = [inspect.getdoc(hookspecs) or "", "\n## Driver\n", code(hookspecs.Driver)]
    for name, hook in hooks():
        parts += [f"## `{name}`\n", f"```python\ndef {name}{bare_signature(hook)}\n```\n"]
        parts += [inspect.getdoc(hook) or "", ""]
    return "\n".join(parts)


def hooks() -> Iterator[tuple[str, Any]]:
    from tune_core import hookspecs

    yield from ((name, hook) for name, hook in vars(hookspecs).items() if name.startswith("tune_"))


def bare_signature(hook: Any) -> str:
    return str(inspect.signature(hook)).replace("'", "")


def code(thing: Any) -> str:
    return f"```python\n{inspect.getsource(thing).rstrip()}\n```\n"


def plugins_page(root: Path) -> str:
    """The README of every plugin of this repository, a level of headings deeper."""
    texts = [path.read_text() for path in sorted(root.glob("plugins/*/README.md"))]
    return "\n\n".join(deeper(text) for text in texts)


def deeper(text: str) -> str:
    """Markdown with each heading one level lower; code blocks are left alone.

    >>> deeper("# a")
    '## a'
    """
    pieces = re.split(r"(^```.*?^```$)", text, flags=re.M | re.S)
    return "".join(
        piece if piece.startswith("```") else re.sub(r"^#", "##", piece, flags=re.M) for piece in pieces
    )
