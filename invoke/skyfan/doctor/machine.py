"""Checks of this machine: Python, packages, programs."""

import importlib
import importlib.metadata
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from .. import extras, template
from ..formatting import count, size
from ..local import capacity, sam
from .check import LOCAL_S, Answer, Check

_EXTRAS: dict[extras.Extra, tuple[str, ...]] = {
    "plot": ("pictures",),
    "mast": ("plan",),
    "aws": ("aws", "deploy", "sam"),
    "sam": ("sam",),
}

# What the checks that follow need, imported before they start threads.
_OWN = {"mast": ("skyfan.plans.mast",), "aws": ("skyfan.session", "skyfan.aws.stack")}


def checks() -> Iterable[Check]:
    """In an order in which each is imported once."""
    yield Check("Python", ("laptop",), "unknown", _python, LOCAL_S)
    yield Check("packages", ("laptop",), "damaged", _packages, LOCAL_S)
    yield Check("CPUs and memory", ("laptop",), "unknown", _capacity, LOCAL_S)
    yield Check("working folder", ("laptop",), "not writable", _folder, LOCAL_S)
    for extra, needed_for in _EXTRAS.items():
        yield _extra(extra, needed_for)
    yield Check("sam", ("deploy", "sam"), "not found", lambda: Answer("ok", sam.program()), LOCAL_S)
    yield Check("make and pip", ("deploy", "sam"), "not found", _build_tools, LOCAL_S)
    yield Check("Docker", ("sam",), "does not answer", _docker, LOCAL_S)


def _python() -> Answer:
    text = f"{platform.python_version()}, {platform.system()} {platform.machine()}, {sys.executable}"
    wanted = importlib.metadata.metadata("skyfan")["Requires-Python"]
    least, most = (3, 11), (3, 14)
    if not least <= sys.version_info[:2] < most:
        return Answer("missing", text, f"install Python {wanted}")
    return Answer("ok", text)


def _packages() -> Answer:
    for module in ("astropy.io.fits", "numpy", "obstore", "PIL.Image", "pyarrow.parquet", "sep", "yaml"):
        importlib.import_module(module)
    registry = template.read(template.find().path)
    functions = count(len(registry.functions), "function")
    return Answer("ok", f"skyfan {version()} with {functions} of {registry.path}")


def version() -> str:
    """Of this skyfan."""
    return importlib.metadata.version("skyfan")


def _capacity() -> Answer:
    registry = template.read(template.find().path)
    memory_mb = registry.function("SepExtract").memory_mb
    now = capacity.Capacity.now()
    text = f"{count(now.jobs(memory_mb), 'worker')} of {memory_mb:,} MB at once"
    if now.memory_mb < memory_mb:
        return Answer(
            "doubtful", f"{text}, and {now.memory_mb:,.0f} MB are available", "close other programs"
        )
    return Answer("ok", text, now.note(memory_mb))


def _folder() -> Answer:
    try:
        here = Path.cwd()
        with tempfile.TemporaryFile(dir=here):
            pass
    except OSError as error:
        return Answer("missing", f"it cannot be written to: {error}", "work in a folder of your own")
    free = shutil.disk_usage(here).free
    text = f"{here}, {size(free)} free"
    if free < 1e9:
        return Answer("doubtful", text, "free some space, or choose another place with --output")
    return Answer("ok", text)


def _extra(extra: extras.Extra, needed_for: tuple[str, ...]) -> Check:
    modules = extras.MODULES[extra]

    def find() -> Answer:
        with extras.needed(extra):
            for module in (*modules, *_OWN.get(extra, ())):
                importlib.import_module(module)
        return Answer("ok", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in modules))

    return Check(f"extra {extra}", needed_for, "not installed", find, LOCAL_S)


def _docker() -> Answer:
    return Answer("ok", sam.docker(LOCAL_S / 2))


def _build_tools() -> Answer:
    sam.check_build_tools()
    return Answer("ok", "for sam build")
