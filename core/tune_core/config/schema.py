"""The JSON Schema of configurations, put together from core and the plugins that are installed."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

from tune_core.config.algorithm import arguments_model
from tune_core.config.checking import closed
from tune_core.config.model import ExperimentConfig
from tune_core.errors import PluginError
from tune_core.metric import MODES
from tune_core.plugins import Found, plugins

__all__ = ["json_schema"]

Schema = dict[str, Any]

_COMMON: Schema = {
    "optimize_mode": {
        "description": "Whether lower or higher results are better; for several objectives, of each metric.",
        "anyOf": [
            {"enum": list(MODES)},
            {"type": "object", "minProperties": 1, "additionalProperties": {"enum": list(MODES)}},
        ],
    },
    "seed": {"type": "integer", "minimum": 0, "description": "Makes the proposals repeatable."},
}


def json_schema() -> Schema:
    """A schema of the whole file. What a broken plugin would add is left open."""
    schema = ExperimentConfig.model_json_schema(by_alias=True)
    properties, definitions = schema["properties"], schema["$defs"]
    definitions.pop("ServiceConfig", None)
    for key, kinds in {
        "tuner": ("tuner", "advisor"),
        "assessor": ("assessor",),
        "advisor": ("advisor",),
    }.items():
        found = [each for kind in kinds for each in plugins().all(kind)]
        properties[key]["allOf"] = _branches(found, "name", _algorithm, definitions)
    services = plugins().all("training_service")
    properties["trainingService"] = {
        "description": properties["trainingService"]["description"],
        "type": "object",
        "required": ["platform"],
        "properties": {"platform": {"type": "string", "examples": [each.driver.name for each in services]}},
        "allOf": _branches(services, "platform", _service, definitions),
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "tune experiment"}


def _branches(found: list[Found], key: str, describe: Any, definitions: Schema) -> list[Schema]:
    """For each thing that `key` may name, what its section then looks like."""
    branches = []
    for each in found:
        try:
            section = describe(each, definitions)
        except PluginError:
            continue
        names = [each.driver.name, *each.driver.aliases, each.qualified]
        names += [name.lower() for name in names if name != name.lower()]
        condition = {"properties": {key: {"enum": names}}, "required": [key]}
        branches.append({"if": condition, "then": section})
    return branches


def _algorithm(found: Found, definitions: Schema) -> Schema:
    arguments = _model(arguments_model(found.load()), found.qualified, definitions)
    arguments["properties"] = {**_COMMON, **arguments.get("properties", {})}
    return {"properties": {"classArgs": {**arguments, "title": f"Arguments of {found.driver.name}"}}}


def _service(found: Found, definitions: Schema) -> Schema:
    section = _model(closed(found.load().Config), found.qualified, definitions)
    section["properties"] = {"platform": {"type": "string"}, **section.get("properties", {})}
    return section


def _model(model: type[BaseModel], owner: str, definitions: Schema) -> Schema:
    """The schema of `model`; what it refers to goes to `definitions` under names of its own."""
    prefix = owner.replace(":", ".")
    try:
        schema = model.model_json_schema(by_alias=True, ref_template=f"#/$defs/{prefix}.{{model}}")
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError):
        return {"type": "object"}  # it takes what JSON cannot say
    for name, each in schema.pop("$defs", {}).items():
        definitions[f"{prefix}.{name}"] = each
    return schema
