"""What a page must be for people with a keyboard, a screen reader, a phone or no liking for motion, tried in Chromium.

Open a page in a tab of `looked` and hand it to the functions here; each returns what is wrong, in words, so that a test
compares with an empty list. axe-core runs under the page's own content security policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1300, "height": 900}
LOOKS = [("light", PHONE), ("dark", PHONE), ("light", DESK), ("dark", DESK)]
LOOK_NAMES = [f"{scheme}-{size['width']}" for scheme, size in LOOKS]
CONTROLS = "a[href], button, input, select, textarea, summary, audio[controls], [tabindex]"

# Tab leads here: which control, whether it can be seen there, and whether something shows that it has the focus.
STOP = """() => {
  const here = document.activeElement;
  if (!here || here === document.body || here === document.documentElement) return null;
  window.stops ??= [];
  if (!window.stops.includes(here)) window.stops.push(here);
  const box = here.getBoundingClientRect();
  const inside = box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
  const marked = (one) => { const style = getComputedStyle(one);
    return (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1) || style.boxShadow !== 'none'; };
  return {number: window.stops.indexOf(here), words: WORDS(here), seen: inside && box.width > 0 && box.height > 0,
    marked: marked(here) || (here.matches('label > input') && marked(here.parentElement))};
}"""
START = """selector => {
  const top = [...document.querySelectorAll('dialog[open]')].pop() ?? document;
  [...top.querySelectorAll(selector)].find((one) => one.tabIndex >= 0).focus();
  window.stops = [];
}"""
# A control with tabindex -1 is reached by arrows from one of its list that Tab leads to, and so is a radio button.
UNREACHED = """selector => {
  const top = [...document.querySelectorAll('dialog[open]')].pop() ?? document;
  const reached = window.stops ?? [];
  const shown = (one) => one.checkVisibility({visibilityProperty: true}) && !one.disabled;
  const target = (one) => one.matches('main[tabindex="-1"]');
  const beside = (one) => one.tabIndex < 0 && reached.some((other) => one.closest('ol')?.contains(other)
    || one.closest('main')?.contains(other.closest('.card')));
  const choice = (one) => one.type === 'radio'
    && reached.some((other) => other.type === 'radio' && other.name === one.name);
  const missed = (one) => shown(one) && !target(one) && !reached.includes(one) && !beside(one) && !choice(one);
  return [...top.querySelectorAll(selector)].filter(missed).map(WORDS);
}"""
WORDS = """const WORDS = (one) => `${one.tagName.toLowerCase()}${one.id && '#' + one.id} ${
  (one.ariaLabel ?? one.textContent ?? '').trim().replace(/\\s+/g, ' ').slice(0, 60)}`.trim();"""
MOVING = """() => [...document.querySelectorAll('*')].filter((one) => [null, '::before', '::after'].some((part) => {
  const style = getComputedStyle(one, part);
  const takes = (durations) => durations.split(',').some((each) => parseFloat(each) > 0);
  return takes(style.transitionDuration) || style.animationName !== 'none' || style.scrollBehavior === 'smooth';
})).map(WORDS)"""
WIDER = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('body *')]
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5).map(WORDS)"""


@contextmanager
def looked(browser: Any, scheme: str, size: dict[str, int], **options: Any) -> Iterator[Any]:
    """A tab of a profile of its own; `scheme` is light or dark, the size is in CSS px."""
    context = browser.new_context(viewport=size, color_scheme=scheme, **options)
    try:
        tab = context.new_page()
        tab.set_default_timeout(30_000)
        yield tab
    finally:
        context.close()


def findings(tab: Any) -> list[str]:
    """Every finding of axe-core, of whatever impact, with the element it is about."""
    said = Axe().run(tab, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{rule['impact']} {rule['id']}: {node['target'][0]} {' '.join(node['failureSummary'].split())}"
        for rule in said
        for node in rule["nodes"]
    ]


def wider(tab: Any) -> list[str]:
    """What makes the page wider than the screen."""
    return _asked(tab, WIDER)


def moving(tab: Any) -> list[str]:
    """What would move: elements with an animation, a transition or smooth scrolling."""
    return _asked(tab, MOVING)


def walk(tab: Any, *, most: int = 400) -> list[dict[str, Any]]:
    """The stops of Tab from the top of the page, or of the dialog that is open, to its end.

    Raises `AssertionError` where the focus does not come to an end or stays where it is.
    """
    stops: list[dict[str, Any]] = []
    tab.evaluate(START, CONTROLS)
    tab.keyboard.press("Shift+Tab")  # off the first control, out of the page
    for _ in range(most):
        tab.keyboard.press("Tab")
        stop = tab.evaluate(f"() => {{ {WORDS} return ({STOP})(); }}")
        if stop is None or stop["number"] < len(stops):
            assert stop is None or stop["number"] == 0, f"the focus goes in circles at {stop['words']}"
            return stops
        stops.append(stop)
    raise AssertionError(f"no end after {most} stops: {stops[-1]['words']}")


def unreached(tab: Any) -> list[str]:
    """Controls that the walk before did not come to, by Tab or by the arrows within a list that it came to."""
    return _asked(tab, UNREACHED, CONTROLS)


def lost(stops: list[dict[str, Any]]) -> list[str]:
    """Stops at which nobody sees where the focus is."""
    return [stop["words"] for stop in stops if not (stop["seen"] and stop["marked"])]


def _asked(tab: Any, function: str, *arguments: Any) -> list[str]:
    found: list[str] = tab.evaluate(f"(argument) => {{ {WORDS} return ({function})(argument); }}", *arguments)
    return found
