"""A page for each package of algorithms: its README, its picture, and its arguments from the code.

The pages are made before each build, in docs/algorithms, and are not kept.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from reference_pages import model_table

from tune_core.plugins import plugins

KINDS = ("tuner", "advisor", "assessor")


def write(folder: Path, root: Path) -> None:
    """Write all pages into `folder`; those of plugins that are gone are deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {f"{name}.md": page(root / "plugins" / name, found) for name, found in packages(root).items()}
    for old in folder.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:  # or Sphinx builds everything anew
            path.write_text(text)


def packages(root: Path) -> dict[str, list[Any]]:
    """The installed algorithms of this repository, by the folder of their package."""
    found: dict[str, list[Any]] = defaultdict(list)
    for kind in KINDS:
        for each in plugins().all(kind):
            name = each.distribution.removeprefix("tune-")
            if (root / "plugins" / name / "README.md").exists():
                found[name].append(each)
    return dict(sorted(found.items()))


def page(package: Path, algorithms: list[Any]) -> str:
    title, _, text = (package / "README.md").read_text().partition("\n")
    parts = [title, "", text.strip(), "", "## Arguments and pictures", ""]
    for each in algorithms:
        parts += [f"### {each.driver.name}", "", f"{each.driver.summary}.", "", facts(each.driver), ""]
        picture = Path(__file__).parent / "_static" / "algorithms" / f"{each.driver.name.lower()}.svg"
        if picture.exists():
            parts += [f"![Forty trials of {each.driver.name}](../_static/algorithms/{picture.name})", ""]
        arguments = getattr(each.load(), "Arguments", None)
        if arguments is not None and arguments.model_fields:
            parts += ["Under `classArgs`, beside `optimize_mode`:", "", model_table(arguments)]
    return "\n".join(parts) + "\n"


def facts(driver: Any) -> str:
    """What a search space may hold for it, and what else it is called."""
    kinds = (
        "every type" if driver.accepts is None else ", ".join(f"`{each}`" for each in sorted(driver.accepts))
    )
    also = f" Also called {', '.join(f'`{name}`' for name in driver.aliases)}." if driver.aliases else ""
    if driver.accepts == frozenset():
        return f"Takes no search space: it brings one of its own.{also}"
    words = [f"Takes {kinds} of parameters" if driver.accepts is None else f"Takes {kinds}"]
    words.append("nested choices too" if driver.nested else "but no nested choices")
    return f"{', '.join(words)}.{also}"
