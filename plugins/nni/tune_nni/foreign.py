"""Microsoft's nni in the same environment: two packages of one name."""

from importlib import metadata

from tune_core.errors import PluginError

__all__ = ["refuse_beside_foreign"]


def refuse_beside_foreign() -> None:
    """Say so if it is installed. No wheel can keep pip from installing one beside the other.

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
