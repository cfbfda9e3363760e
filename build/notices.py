"""Put licence texts beside the packages of a tree whose wheels hold none."""

from __future__ import annotations

import shutil
from pathlib import Path

# What a licence text is called.
_NAMES = ("licen", "copying", "notice", "gpl-", "lgpl-")


class NoticeError(Exception):
    """A package without a licence text, or a text whose package is not in the tree."""


def add(tree: Path, licences: Path) -> None:
    """Copy ``licences``/NAME to where wheels have their texts: licenses/ in NAME's dist-info folder.

    Raises NoticeError if a package then has none, or if ``licences`` names one that is not in the tree.
    """
    packages = {folder.name.partition("-")[0]: folder for folder in sorted(tree.glob("*.dist-info"))}
    for source in sorted(path for path in licences.glob("*") if path.is_dir()):
        if source.name not in packages:
            raise NoticeError(f"{licences.name}/{source.name} is for a package that is not here")
        shutil.copytree(source, packages[source.name] / "licenses", dirs_exist_ok=True)
    if bare := [name for name, folder in packages.items() if not texts(folder)]:
        raise NoticeError(f"no licence text of {', '.join(bare)}: put it into {licences.name}/NAME")


def texts(folder: Path) -> list[Path]:
    """The licence texts in a dist-info folder."""
    return [
        path for path in sorted(folder.rglob("*")) if path.is_file() and path.name.lower().startswith(_NAMES)
    ]
