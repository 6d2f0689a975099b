"""The page in a real browser: it lays out without errors, and nothing is wider than the screen."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape
from pathlib import Path

import pytest

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"),
]
PROBE = """<!doctype html><body><iframe width="{width}" height="800" srcdoc="{page}"></iframe><script>
document.querySelector("iframe").onload = (event) => {{
  const page = event.target.contentDocument;
  for (const image of page.images) image.loading = "eager";
  setTimeout(() => {{
    const root = page.documentElement;
    document.title = JSON.stringify({{
      wide: root.scrollWidth, screen: root.clientWidth, bars: page.querySelectorAll("svg").length,
      height: root.scrollHeight, broken: [...page.images].filter((image) => !image.naturalWidth).length,
      styled: getComputedStyle(page.querySelector(".tiles")).display,
    }});
  }}, 300);
}};
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: the page cannot be rendered here")
@pytest.mark.parametrize("width", [360, 1400])
def test_page_renders_without_errors_or_overflow(page: str, tmp_path: Path, width: int) -> None:
    (tmp_path / "probe.html").write_text(PROBE.format(width=width, page=escape(page)), encoding="utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000"]
    done = subprocess.run(
        [*command, "--window-size=1500,900", "--dump-dom", (tmp_path / "probe.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr
    title = re.search(r"<title>(\{.*?\})</title>", done.stdout)
    assert title, "the probe did not finish"
    seen = json.loads(title[1])
    assert seen["wide"] <= seen["screen"]
    assert seen["broken"] == 0
    assert seen["styled"] == "grid"
    assert seen["bars"] > 50
    assert seen["height"] > 2000
