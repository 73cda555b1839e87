"""A headless Chromium, spoken to in the DevTools protocol: what it draws, asks for and complains about."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def program() -> str | None:
    """The browser on this machine; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One page. ``requests`` are the URLs it asked for, ``complaints`` its console's errors and uncaught exceptions."""

    def __init__(self, address: str) -> None:
        self._socket = websocket.create_connection(address, timeout=60, suppress_origin=True)
        self._number = 0
        self.requests: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; what happens meanwhile is taken down."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                answer: dict[str, Any] = message["result"]
                return answer
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        told = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(told["exceptionDetails"])[:2000])
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning", "assert"):
                self.complaints.append(json.dumps(told["args"])[:2000])
            case "Log.entryAdded" if told["entry"]["level"] == "error":
                self.complaints.append(told["entry"]["text"])

    def show(self, path: Path, *, width: int, height: int, dark: bool = False) -> None:
        """Open a file in a window of a size and a colour scheme."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.navigate", url=path.as_uri())
        self.wait("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression, or of what it promises."""
        answer = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, (script, answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Until an expression holds."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, f"never came true: {condition}"
            time.sleep(0.1)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Keep what is seen as a PNG; ``whole``: also what is below the window's edge."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        path.write_bytes(base64.b64decode(content["data"]))

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        height = min(size["height"], 8000)
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1}}

    def close(self) -> None:
        """End the conversation."""
        self._socket.close()


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A browser of its own with one page, ended afterwards. ``profile`` is a folder it may fill."""
    found = program()
    assert found is not None
    words = [
        found, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
        "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank",
    ]  # fmt: skip
    log = profile.with_suffix(".log")
    with log.open("wb") as output, subprocess.Popen(words, stdout=output, stderr=output) as process:
        try:
            page = Page(_address(process, log))
            yield page
            page.ask("Browser.close")
            page.close()
        finally:
            process.terminate()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where the one page listens: the browser says its own address when it is up."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        found = re.search(r"DevTools listening on ws://(127\.0\.0\.1:\d+)/", log.read_text(errors="replace"))
        if found:
            answer = _pages(found[1])
            if answer:
                return answer
        time.sleep(0.1)
    raise AssertionError(f"the browser did not come up: {log.read_text(errors='replace')[-2000:]}")


def _pages(host: str) -> str | None:
    from urllib.request import urlopen

    with urlopen(f"http://{host}/json/list", timeout=10) as answer:
        pages = json.load(answer)
    return next((str(one["webSocketDebuggerUrl"]) for one in pages if one["type"] == "page"), None)
