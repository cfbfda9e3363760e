"""skyfan send, with a SAMP hub in this process and clients that behave like TOPCAT and Aladin."""

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from click.testing import CliRunner
from pyvo.samp import SAMPHubServer, SAMPIntegratedClient

from skyfan.api import sharing
from skyfan.cli import main
from skyfan.errors import InputError, UsageError


class Program:
    """A client that answers, and remembers what it was sent."""

    def __init__(self, hub: SAMPHubServer, name: str, messages: tuple[str, ...], error: str = "") -> None:
        self.received: queue.Queue[tuple[str, str]] = queue.Queue()
        self.error = error
        self.client = SAMPIntegratedClient(name=name, addr="127.0.0.1")
        self.client.connect(hub=hub)
        for message in messages:
            self.client.bind_receive_call(message, self._load)

    def _load(self, key: str, sender: str, message_id: str, message: str, params: Any, extra: Any) -> None:
        self.received.put((message, params["url"]))
        if self.error:
            self.client.ereply(message_id, "samp.error", error={"samp.errortxt": self.error})
        else:
            self.client.ereply(message_id, "samp.ok", result={})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SAMPHubServer]:
    lock = tmp_path / "samp-hub"
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{lock.as_uri()}")
    server = SAMPHubServer(web_profile=False, addr="127.0.0.1", lockfile=str(lock))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def topcat(hub: SAMPHubServer) -> Iterator[Program]:
    program = Program(hub, "topcat", ("table.load.votable", "table.load.fits"))
    yield program
    program.client.disconnect()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """One file of each kind."""
    paths = {name: tmp_path / f"{name} é.{suffix}" for name, suffix in (("table", "fits"), ("image", "fits"))}
    Table({"RA": [1.0]}).write(paths["table"])
    fits.writeto(paths["image"], np.zeros((4, 4), np.float32))
    paths["votable"] = tmp_path / "sources.vot"
    Table({"RA": [1.0]}).write(paths["votable"], format="votable")
    return paths


def test_each_file_goes_to_the_programs_that_can_load_it(
    hub: SAMPHubServer, topcat: Program, files: dict[str, Path]
) -> None:
    aladin = Program(hub, "Aladin", ("table.load.votable", "image.load.fits"))
    sent = sharing.send([files["table"], files["votable"], files["image"]])
    assert [(one.file, one.error) for one in sent if one.program == "topcat"] == [
        (files["table"], None),
        (files["votable"], None),
    ]
    assert topcat.received.get(timeout=5) == ("table.load.fits", files["table"].as_uri())
    assert {aladin.received.get(timeout=5)[0] for _ in range(2)} == {"table.load.votable", "image.load.fits"}
    aladin.client.disconnect()


def test_one_program_can_be_named(hub: SAMPHubServer, topcat: Program, files: dict[str, Path]) -> None:
    other = Program(hub, "DS9", ("table.load.votable",))
    assert [one.program for one in sharing.send([files["votable"]], "TOPCAT")] == ["topcat"]
    assert other.received.empty()
    other.client.disconnect()


def test_a_refusal_is_printed_and_ends_with_1(hub: SAMPHubServer, files: dict[str, Path]) -> None:
    program = Program(hub, "topcat", ("table.load.votable",), error="too \u202e wide")
    done = CliRunner().invoke(main, ["send", str(files["votable"])])
    assert done.exit_code == 1
    assert done.output == "topcat: sources.vot not loaded: too \\u202e wide\n"
    program.client.disconnect()


@pytest.mark.usefixtures("topcat")
def test_what_no_program_can_load_is_named(files: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match=r"no program can load image é.fits \(image.load.fits\).*topcat"):
        sharing.send([files["image"]])


def test_without_a_hub_it_says_what_to_start(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{(tmp_path / 'none').as_uri()}")
    done = CliRunner().invoke(main, ["send", str(files["table"])])
    assert (done.exit_code, done.output) == (
        2,
        "skyfan: no SAMP hub is running: start TOPCAT, Aladin or DS9 first\n",
    )


@pytest.mark.parametrize("content", [None, b"", b"text"])
def test_a_file_that_is_neither_fits_nor_votable_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"does not exist" if content is None else r"is not a FITS file.*VOTables end in"
    ):
        sharing.message_type(path)
