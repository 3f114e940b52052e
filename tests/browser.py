"""A browser for tests: Debian's chromium, driven through its chromedriver by W3C WebDriver, which is JSON over HTTP.

Nothing is downloaded. `serving` shows a folder on loopback; the `Window` of `browsing` opens pages and tells what they
asked for.
"""

from __future__ import annotations

import base64
import functools
import json
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
LACKING = "no browser: chromium and its chromedriver (Debian's chromium-driver) are not both installed"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextmanager
def serving(folder):
    """Serve a folder on loopback, and yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def browsing(profile):
    """Start a browser without a screen, with a folder of its own for its profile, and yield its window."""
    arguments = [
        "--headless=new",
        "--no-sandbox",  # tests may run as root, in a container
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        f"--user-data-dir={profile}",
    ]
    wanted = {
        "goog:chromeOptions": {"binary": CHROMIUM, "args": arguments},
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    }
    command = [DRIVER, "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver:
        try:
            port = next(found[1] for line in driver.stdout if (found := re.search(r"successfully on port (\d+)", line)))
            window = Window(f"http://127.0.0.1:{port}/session", wanted)
            try:
                yield window
            finally:
                window.close()
        finally:
            driver.terminate()


class Window:
    """A browser's window, by the address of a chromedriver and the capabilities that are wanted."""

    def __init__(self, address, wanted):
        self._root = address
        self._root += "/" + self._ask("POST", "", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def close(self):
        """End the browser."""
        self._ask("DELETE", "")

    def _ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._root + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"{method} {path}: {error.read().decode()[:1000]}") from None

    def _devtools(self, command, **parameters):
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def size(self, width, height):
        """Make the page so large, in CSS pixels."""
        self._devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    def colour_scheme(self, name):
        """Prefer 'light' or 'dark' pages, as a reader's system does."""
        self._devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def open(self, address):
        """Open a page, wait until it is loaded, and return what it asked for: {address: HTTP status}."""
        self._ask("POST", "/se/log", {"type": "performance"})  # what was before
        self._ask("POST", "/se/log", {"type": "browser"})
        self._ask("POST", "/url", {"url": address})
        asked = {}
        for entry in self._ask("POST", "/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked.setdefault(message["params"]["request"]["url"], None)
            elif message["method"] == "Network.responseReceived":
                asked[message["params"]["response"]["url"]] = message["params"]["response"]["status"]
        return asked

    def complaints(self):
        """Return what the console says since the page was opened, notes left out."""
        said = self._ask("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in said if entry["level"] != "INFO"]

    def run(self, script):
        """Return what JavaScript returns."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": []})

    def picture(self):
        """Return the window as a PNG."""
        return base64.b64decode(self._ask("GET", "/screenshot"))
