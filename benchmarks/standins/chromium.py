"""A headless Chromium, driven over a pipe by the DevTools protocol: no port, no driver, no package."""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_S = 60.0


def find() -> str | None:
    """The browser's program, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab. Everything that it asks for or complains of is kept."""

    def __init__(self, sent: int, received: int) -> None:
        self._sent, self._received = sent, received
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility", "DOM"):
            self.ask(f"{domain}.enable")
        self.ask(
            "Network.emulateNetworkConditions",
            offline=True,
            latency=0,
            downloadThroughput=0,
            uploadThroughput=0,
        )

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol; raises RuntimeError with the browser's words if it refuses."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        body = json.dumps(message).encode() + b"\0"
        while body:
            body = body[os.write(self._sent, body) :]
        while True:
            answer = self._next()
            if answer.get("id") != self._number:
                self.events.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            else:
                return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._received], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise RuntimeError(f"the browser said nothing for {_PATIENCE_S:.0f} s")
            more = os.read(self._received, 1 << 20)
            if not more:
                raise RuntimeError("the browser is gone")
            self._buffer += more
        message, self._buffer = self._buffer.split(b"\0", 1)
        return dict(json.loads(message))

    def open(self, path: Path, width: int = 1280, height: int = 900) -> None:
        """Loads a file from disk in a window of that many CSS pixels, and waits until it is there."""
        self.events.clear()
        self.resize(width, height)
        self.ask("Page.navigate", url=path.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def resize(self, width: int, height: int = 900) -> None:
        """Sets the window's size."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )

    def media(self, media: str = "", **features: str) -> None:
        """Sets what media queries find, such as "print" or prefers_color_scheme="dark"."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.ask("Emulation.setEmulatedMedia", media=media, features=wanted)

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression, which the page's own policy does not keep us from asking."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Presses a key, by its name and Windows virtual key code."""
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": text} if text else {}))
        self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def accessible(self) -> list[tuple[str, str]]:
        """Role and name of everything that a screen reader is told of, in the page's order."""
        nodes = self.ask("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"] and "role" in node
        ]

    def requested(self) -> list[str]:
        """URLs that the page asked for, without what it carries itself."""
        sent = (event for event in self.events if event.get("method") == "Network.requestWillBeSent")
        return [url for event in sent if not (url := event["params"]["request"]["url"]).startswith("data:")]

    def complaints(self) -> list[str]:
        """What the browser's console shows: errors, warnings, what the page's policy blocked."""
        kinds = {"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"}
        return [json.dumps(event["params"]) for event in self.events if event.get("method") in kinds]

    def picture(self, path: Path, whole: bool = True) -> None:
        """Writes a PNG of the page."""
        body = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(body))

    def pdf(self) -> bytes:
        """The page as it prints."""
        return base64.b64decode(
            self.ask("Page.printToPDF", printBackground=False, preferCSSPageSize=True)["data"]
        )


@contextlib.contextmanager
def browser(program: str, profile: Path) -> Iterator[Page]:
    """Runs a browser with an empty profile and no network."""
    (theirs, sent), (received, answers) = os.pipe(), os.pipe()

    def hand_over() -> None:  # the protocol's pipes are file descriptors 3 and 4
        a, b = os.dup(theirs), os.dup(answers)
        os.dup2(a, 3)
        os.dup2(b, 4)

    switches = [
        *("headless=new", "remote-debugging-pipe", "no-sandbox", "disable-gpu", "no-first-run"),
        *("disable-dev-shm-usage", "disable-extensions", "disable-background-networking"),
        "host-resolver-rules=MAP * ~NOTFOUND",
    ]
    process = subprocess.Popen(
        [program, *(f"--{switch}" for switch in switches), f"--user-data-dir={profile}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=False,
        preexec_fn=hand_over,  # noqa: PLW1509  (no shell that is everywhere names descriptors above 9)
        start_new_session=True,
    )
    os.close(theirs)
    os.close(answers)
    try:
        yield Page(sent, received)
    finally:
        os.close(sent)
        os.close(received)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
