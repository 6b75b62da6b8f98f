"""Opens a page in headless Chromium, lets a script act on it, and takes what the script returns."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


class Browser:
    """One profile: what a page stores is there when it is opened again."""

    def __init__(self, folder: Path) -> None:
        if CHROMIUM is None:
            pytest.skip("no Chromium here")
        self.folder = folder
        folder.mkdir()

    def run(self, page: bytes, script: str) -> Any:
        """What ``script``, the body of a function, returns when the page is loaded."""
        path = self.folder / "page.html"  # what is stored belongs to this address
        runner = (
            "<script>addEventListener('load', () => { let value; try { value = (() => {"
            + script
            + "})(); } "
            "catch (error) { value = {error: String(error)}; } "
            "document.body.replaceChildren(Object.assign(document.createElement('pre'), "
            "{id: 'result', textContent: JSON.stringify(value ?? null)})); });</script></body>"
        )
        path.write_bytes(page.replace(b"</body>", runner.encode()))
        done = subprocess.run(
            [
                str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
                "--window-size=1200,900", f"--user-data-dir={self.folder / 'profile'}",
                path.as_uri(),
            ],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        found = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
        assert found, done.stdout[-2000:] + done.stderr[-2000:]
        return json.loads(html.unescape(found[1]))
