"""The part of tune-nni that is where experiments are managed; the package `nni` is where trials run, too."""

from collections.abc import Iterable
from importlib import metadata

from tune_core import Driver, hookimpl
from tune_core.errors import PluginError

__all__ = ["refuse_beside_foreign"]


@hookimpl
def tune_tuners() -> Iterable[Driver]:
    """None by name. `tune` lists the plugin as broken, and why, beside Microsoft's nni."""
    refuse_beside_foreign()
    return ()


def refuse_beside_foreign() -> None:
    """Say so if Microsoft's nni is installed. No wheel can keep pip from installing one beside the other.

    Raises:
        PluginError: It is; the files of the two are mixed, and nobody can say which are whose.
    """
    try:
        version = metadata.version("nni")
    except metadata.PackageNotFoundError:
        return
    raise PluginError(
        f"Microsoft's nni {version} is installed here, and tune-nni brings a package of the same name\n"
        "  pip uninstall nni, then pip install --force-reinstall --no-deps tune-nni"
    )
