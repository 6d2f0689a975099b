"""The helper finds what is wrong with a page that is wrong, so that its silence about ours says something."""

from __future__ import annotations

from tests.accessibility import DESK, PHONE, findings, looked, lost, moving, unreached, walk, wider
from tests.chromium import launched, needs_chromium

pytestmark = needs_chromium

WRONG = """<!doctype html><title>wrong</title><style>
 html { scroll-behavior: smooth; } b { transition: opacity 1s; } i { color: #999; background: #fff; }
 #dark { outline: none; } #wide { width: 900px; }
</style><main><h1>Wrong</h1><img src="data:,"><i>pale words on white paper</i><p id="wide">wide</p><b>b</b>
<button id="dark">unseen</button><button tabindex="-1">never</button></main>"""


def test_what_is_wrong_is_found() -> None:
    with launched() as browser, looked(browser, "light", PHONE) as tab:
        tab.set_content(WRONG)
        found = {line.partition(":")[0] for line in findings(tab)}
        assert {"critical image-alt", "serious color-contrast", "serious html-has-lang"} <= found
        assert "p#wide wide" in wider(tab)
        assert [words.split()[0] for words in moving(tab)] == ["html", "b"]
        assert lost(walk(tab)) == ["button#dark unseen"]
        assert unreached(tab) == ["button never"]


def test_what_is_right_is_not() -> None:
    with launched() as browser, looked(browser, "light", DESK) as tab:
        tab.set_content(
            '<!doctype html><html lang="en"><title>right</title><main><h1>Right</h1><button>seen</button></main>'
        )
        assert (findings(tab), wider(tab), moving(tab), lost(walk(tab)), unreached(tab)) == ([], [], [], [], [])
