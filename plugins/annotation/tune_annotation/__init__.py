"""Experiments of Python scripts that say in place what may vary, for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_annotations() -> Iterator[Driver]:
    yield Driver(
        "Annotation",
        "tune_annotation.reader:AnnotatedCode",
        summary="Strings in Python code that begin with @nni. or @tune.",
        preference=10,
    )


@hookimpl
def tune_commands() -> Iterator[Driver]:
    yield Driver(
        "annotation",
        "tune_annotation.commands:annotation",
        summary="Read the search space out of annotated code, or expand it.",
    )
