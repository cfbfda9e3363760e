"""skyfan send: loads tables, images and coverage into other programs over SAMP (IVOA), by pyvo."""

import queue
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import extras
from ..errors import InputError, UsageError

PATIENCE_S = 30
"""Seconds for one program to load one file."""
_MESSAGES = {
    "votable": "table.load.votable",
    "table": "table.load.fits",
    "image": "image.load.fits",
    "coverage": "coverage.load.moc.fits",
}
"""SAMP's message types, by what a file is."""
_VOTABLES = (".vot", ".xml", ".votable")


@dataclass(frozen=True)
class Sent:
    """What became of one file in one program."""

    file: Path
    program: str
    error: str | None
    """What the program said if it did not load the file."""


def send(paths: Iterable[str | Path], to: str | None = None) -> list[Sent]:
    """Sends files to all programs that a SAMP hub knows and that can load them, or to the one named `to`.

    Files are VOTables, and FITS files that hold a table, an image or a MOC. Waits until they are loaded, but
    at most PATIENCE_S for each. Raises UsageError if no hub runs or no program can load a file, InputError if
    a file cannot be read.
    """
    files = [(Path(path).absolute(), message_type(Path(path))) for path in paths]
    found: list[Sent] = []
    with _client() as client:
        names = {one: _name(client, one) for one in client.get_registered_clients()}
        for path, message in files:
            able = [one for one in client.get_subscribed_clients(message) if one in names]
            if to is not None:
                able = [one for one in able if names[one].casefold() == to.casefold()]
            if not able:
                others = ", ".join(sorted(set(names.values()))) or "none"
                whom = f"{to} cannot" if to else "no program can"
                raise UsageError(f"{whom} load {path.name} ({message}); connected: {others}")
            found += [Sent(path, names[one], _call(client, one, message, path)) for one in able]
    return found


def message_type(path: Path) -> str:
    """The SAMP message that loads a file. Raises InputError if it is neither FITS nor a VOTable."""
    if path.suffix.lower() in _VOTABLES:
        if not path.is_file():
            raise InputError(f"{path} does not exist")
        return _MESSAGES["votable"]
    from ..pictures.fits_file import opened  # slow to import

    try:
        with opened(str(path)) as hdus:
            headers = [hdu.header for hdu in hdus]
    except InputError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise
        raise InputError(f"{error}; names of VOTables end in {', '.join(_VOTABLES)}") from error
    if any("MOCORDER" in header or "MOCORD_S" in header for header in headers):
        return _MESSAGES["coverage"]
    has_image = any(header.get("NAXIS", 0) >= 2 and "TFIELDS" not in header for header in headers)
    return _MESSAGES["image" if has_image else "table"]


@contextmanager
def _client() -> Iterator[Any]:
    with extras.needed("vo"):
        from pyvo.samp import SAMPHubError, SAMPIntegratedClient

    client = SAMPIntegratedClient(name="skyfan", description="Source extraction over a sky archive")
    try:
        client.connect()
    except (SAMPHubError, OSError) as error:
        raise UsageError("no SAMP hub is running: start TOPCAT, Aladin or DS9 first") from error
    try:
        yield client
    finally:
        client.disconnect()


def _name(client: Any, identity: str) -> str:
    return str(client.get_metadata(identity).get("samp.name", identity))


def _call(client: Any, identity: str, message: str, path: Path) -> str | None:
    """None if the program has loaded the file, otherwise its error."""
    with extras.needed("vo"):
        from pyvo.samp import SAMPProxyError

    # Not call_and_wait(): pyvo's hub loses a response that comes while it begins to wait.
    answers: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
    tag = f"{message} {path} {identity}"
    client.bind_receive_response(tag, lambda key, sender, tag, response: answers.put(response))
    about = {"url": path.as_uri(), "name": path.name}
    try:
        client.call(identity, tag, {"samp.mtype": message, "samp.params": about})
        answer = answers.get(timeout=PATIENCE_S)
    except queue.Empty:
        return f"no answer within {PATIENCE_S} s"
    except (SAMPProxyError, OSError) as error:
        return str(error)
    if answer.get("samp.status") == "samp.ok":
        return None
    return str(answer.get("samp.error", {}).get("samp.errortxt", "")) or "refused without a reason"
