"""Add a function to this stack: python build/new_function.py NAME, or better, skyfan new-function NAME.

NAME is StarCounts or star_counts: each is made from the other. The files of build/skeleton become
functions/star_counts, with both names replaced, and template.yaml gets an entry and what follows from it.
"""

from __future__ import annotations

import importlib.machinery
import keyword
import re
import sys
import sysconfig
from pathlib import Path

import template

SKELETON = Path(__file__).parent / "skeleton"
# The names that the files of the skeleton have in the place of the new ones.
NAME, FOLDER = "NewFunction", "new_function"
# A deployed function is named <stack>-<function>, in at most 64 characters.
_LONGEST = 40
_OWN_PACKAGES = {"skyfan", "skyfan_contract", "skyfan_function", "skyfan_watch"}
_END = "    # `skyfan new-function` adds"
_ENTRY = """\
    {name}:
      Description: Size and statistics of each image in a FITS file, as a table.
      Code: functions/{folder}
      # .cat.fits is a table, which skyfan collect reads; .json a dict.
      Results: {folder}/{{key}}.cat.fits
      # One whole vCPU; more memory buys more of them.
      Memory: 1769
      Timeout: 120
"""
_REPORT = """\
created functions/{folder}/
  {folder}/handler.py  process(), the work on one file; change it
  test_{folder}.py  its test
  event.json, README.md, Makefile
added {name} to Metadata.Functions of template.yaml: description, memory, time limit, place of results

next:
  python -m pytest functions/{folder}    # needs pytest
  skyfan run --engine local --function {name} --output out IMAGE.fits
  sam build
  sam local invoke {name} -e functions/{folder}/event.json --parameter-overrides ExistingOutputBucket=BUCKET
"""


class NameRefusedError(Exception):
    """The function cannot have this name; the message says why, and what to do."""


def names(name: str) -> tuple[str, str]:
    """Logical ID and folder, such as ("StarCounts", "star_counts"), from either. Raises NameRefusedError."""
    if re.fullmatch(r"([A-Z][a-z0-9]*)+", name):
        folder = "_".join(re.findall(r"[A-Z][a-z0-9]*", name)).lower()
    elif re.fullmatch(r"[a-z][a-z0-9]*(_[a-z][a-z0-9]*)*", name):
        folder = name
    else:
        raise NameRefusedError(
            f"{name!r} must be words of letters and digits, each beginning with a letter, "
            "written StarCounts or star_counts"
        )
    logical = "".join(word.capitalize() for word in folder.split("_"))
    if len(logical) > _LONGEST:
        raise NameRefusedError(f"{name} is longer than {_LONGEST} characters; choose a shorter name")
    if re.search(r"[A-Z]{3}", logical):
        raise NameRefusedError(f"{name} has one-letter words; write abbreviations as HttpCheck or http_check")
    site = [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]
    if keyword.iskeyword(folder) or folder in sys.stdlib_module_names | _OWN_PACKAGES:
        raise NameRefusedError(f"{folder} is a name of Python's or skyfan's own; choose another name")
    if importlib.machinery.PathFinder.find_spec(folder, site):
        raise NameRefusedError(f"{folder} is an installed package, which it would hide; choose another name")
    return logical, folder


def create(root: Path, name: str) -> str:
    """Add the function to the stack in `root`; returns what was made and what to do next.

    Raises NameRefusedError or template.EntryError before anything is written.
    """
    logical, folder = names(name)
    target = root / "functions" / folder
    if target.exists():
        raise NameRefusedError(f"{target} exists already; choose another name, or remove it")
    path = root / "template.yaml"
    text = path.read_text(encoding="utf-8")
    if text.count(_END) != 1:
        raise NameRefusedError(f"{path} must have one line {_END.strip()!r}… after its entries")
    entry = _ENTRY.format(name=logical, folder=folder)
    text = template.filled(text.replace(_END, entry + _END))
    for source in sorted(file for file in SKELETON.rglob("*") if file.is_file()):
        if "__pycache__" not in source.parts:
            made = target / _renamed(str(source.relative_to(SKELETON)), logical, folder)
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_text(_renamed(source.read_text(encoding="utf-8"), logical, folder), encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    return _REPORT.format(name=logical, folder=folder)


def _renamed(text: str, logical: str, folder: str) -> str:
    return text.replace(NAME, logical).replace(FOLDER, folder)


def main(arguments: list[str]) -> int | str:
    """The command; the exit status, or an error message. 2 is a refusal, explained on stderr."""
    if len(arguments) != 1:
        return __doc__ or ""
    try:
        print(create(template.ROOT, arguments[0]), end="")
    except (NameRefusedError, template.EntryError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
