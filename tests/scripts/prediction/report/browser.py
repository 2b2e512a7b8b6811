"""Headless Chromium, driven over its debugging pipe: no library and no port is needed."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking"),
    *("--disable-component-update", "--hide-scrollbars", "--force-color-profile=srgb"),
    *("--remote-debugging-pipe", "--host-resolver-rules=MAP * ~NOTFOUND"),
)
PATIENCE_S = 180.0  # a machine may be busy


def find_chromium():
    """Path of the browser, or None."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """One page in a browser of its own.

    Args:
        program: Chromium's path.
        size: width and height of the window in CSS pixels.
    """

    def __init__(self, program, *, size=(1280, 900)):
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.events = []  # (method, parameters) in the order that they came
        self._rest, self._last = b"", 0
        # as file descriptors 3 (commands) and 4 (answers), where Chromium looks for them
        theirs_in, self._out = _high_pipe()
        self._in, theirs_out = _high_pipe()
        profile = f"--user-data-dir={self.folder.name}"
        window = f"--window-size={size[0]},{size[1]}"
        null = os.open(os.devnull, os.O_RDWR)
        actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)]
        actions += [
            (os.POSIX_SPAWN_DUP2, theirs_in, 3),
            (os.POSIX_SPAWN_DUP2, theirs_out, 4),
        ]
        words = [program, *ARGUMENTS, profile, window, "about:blank"]
        home = {**os.environ, "HOME": self.folder.name}
        self.process = os.posix_spawn(program, words, home, file_actions=actions, setpgroup=0)
        for descriptor in (theirs_in, theirs_out, null):
            os.close(descriptor)
        self.session = None
        targets = self.send("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self.send("Target.attachToTarget", targetId=page, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.session = None
            self._write("Browser.close", {})
        os.close(self._out)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and not os.waitpid(self.process, os.WNOHANG)[0]:
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)  # its own group: the browser's helpers
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.process, 0)
        os.close(self._in)
        self.folder.cleanup()

    def send(self, method, **parameters):
        """Command the browser and return its answer."""
        number = self._write(method, parameters)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            message = self._read(deadline)
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            if "method" in message:
                self.events.append((message["method"], message.get("params", {})))

    def open(self, path):
        """Open a file from disk and wait until it is loaded."""
        self.events.clear()
        self.send("Page.navigate", url=Path(path).resolve().as_uri())
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def run(self, expression):
        """Evaluate JavaScript in the page; promises are waited for."""
        found = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def wait(self, expression, *, painting=False):
        """Wait until an expression is true.

        With ``painting`` frames are drawn meanwhile, with which observers of sizes hear of a new
        width; a browser without a window draws none by itself for a long time.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not self.run(expression):
            if time.monotonic() > deadline:
                raise TimeoutError(f"never true: {expression}")
            if painting:
                self.send("Page.captureScreenshot")
            time.sleep(0.02)

    def press(self, key):
        """Press and release a key where the focus is."""
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, **text)

    def wheel(self, x, y, delta):
        """Turn the mouse wheel at a place."""
        self.send("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=delta)

    def picture(self, path, *, whole_page=False):
        """Save what the window shows as PNG."""
        found = self.send("Page.captureScreenshot", captureBeyondViewport=whole_page)
        Path(path).write_bytes(base64.b64decode(found["data"]))

    def complaints(self):
        """Errors, warnings and refused requests that came up since the page was opened."""
        found = []
        for method, parameters in self.events:
            if method == "Runtime.exceptionThrown":
                found.append(json.dumps(parameters["exceptionDetails"]))
            elif method == "Runtime.consoleAPICalled" and parameters["type"] != "log":
                found.append(json.dumps(parameters["args"]))
            elif method == "Log.entryAdded" and parameters["entry"]["level"] != "verbose":
                found.append(parameters["entry"]["text"])
            elif method == "Network.loadingFailed":
                found.append(parameters["errorText"])
        return found

    def requests(self):
        """Addresses that the page asked for, pictures inside it left out."""
        asked = [p["request"]["url"] for m, p in self.events if m == "Network.requestWillBeSent"]
        return [url for url in asked if not url.startswith("data:")]

    def _write(self, method, parameters):
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        return self._last

    def _read(self, deadline):
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("the browser did not answer")
            data = os.read(self._in, 1 << 20)
            if not data:
                raise RuntimeError("the browser ended")
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


def _high_pipe():
    """A pipe whose ends lie above the descriptors that the browser's are put on."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high
