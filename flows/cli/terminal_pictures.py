"""Pictures in terminals that can show them: the protocols of kitty and iTerm2, and sixels.

Which one a terminal has is told by its environment, and for sixels by its own answer: a terminal that is asked for its
attributes (DA1, ECMA-48) names 4 among them. Inside tmux and screen only sixels come through.
"""

from __future__ import annotations

import base64
import io
import os
import re
import select
import sys
from collections.abc import Callable, Mapping

from PIL import Image

ANSWER_S = 0.3  # that a terminal has to say what it can
_CHUNK = 4096  # bytes of base64 that kitty takes at once
_COLOURS = 256
_BAND = 6  # rows of pixels in a row of sixels

Shower = Callable[[Image.Image], str]


def shower() -> Shower | None:
    """What writes a picture for the terminal of this process; None where there is none, or it shows none."""
    if not sys.stdout.isatty():
        return None
    return by_environment(os.environ) or (sixels if _answers_sixels() else None)


def by_environment(environment: Mapping[str, str]) -> Shower | None:
    """What these variables tell of a terminal; None where they tell nothing."""
    term = environment.get("TERM", "")
    if environment.get("TMUX") or term.startswith(("tmux", "screen")):
        return None
    program = environment.get("TERM_PROGRAM", "")
    if environment.get("KITTY_WINDOW_ID") or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return kitty
    if program in ("iTerm.app", "WezTerm") or environment.get("LC_TERMINAL") == "iTerm2":
        return iterm2
    return sixels if "sixel" in term else None


def kitty(picture: Image.Image) -> str:
    """Kitty's graphics protocol: a PNG in chunks."""
    text = base64.b64encode(_png(picture)).decode()
    chunks = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
    head = ["a=T,f=100,"] + [""] * (len(chunks) - 1)
    more = [1] * (len(chunks) - 1) + [0]
    return "".join(f"\x1b_G{h}m={m};{c}\x1b\\" for h, m, c in zip(head, more, chunks, strict=True)) + "\n"


def iterm2(picture: Image.Image) -> str:
    """iTerm2's inline images: a PNG."""
    data = _png(picture)
    return f"\x1b]1337;File=inline=1;size={len(data)}:{base64.b64encode(data).decode()}\x07\n"


def sixels(picture: Image.Image) -> str:
    """Sixels of 256 colours: each band of six rows, colour by colour, a letter per column, bit n of it for row n."""
    flat = picture.convert("RGB").quantize(_COLOURS)
    palette = flat.getpalette() or []
    width, height = flat.size
    pixels = flat.tobytes()
    shades = [palette[start : start + 3] for start in range(0, len(palette), 3)]
    lines = [f'\x1bPq"1;1;{width};{height}']
    lines += [f"#{n};2;{';'.join(str(part * 100 // 255) for part in shade)}" for n, shade in enumerate(shades)]
    for top in range(0, height, _BAND):
        rows = [pixels[y * width : (y + 1) * width] for y in range(top, min(top + _BAND, height))]
        of_colours = [f"#{colour}{_band(rows, colour)}" for colour in sorted(set(b"".join(rows)))]
        lines.append("$".join(of_colours) + "-")
    return "".join(lines) + "\x1b\\\n"


def _band(rows: list[bytes], colour: int) -> str:
    letters = (chr(63 + sum((row[x] == colour) << bit for bit, row in enumerate(rows))) for x in range(len(rows[0])))
    return re.sub(r"(.)\1{3,}", lambda run: f"!{len(run[0])}{run[1]}", "".join(letters))


def _answers_sixels() -> bool:
    """Ask the terminal; whatever it is, it is left as it was."""
    if not sys.stdin.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return False
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        sys.stdout.write("\x1b[c")
        sys.stdout.flush()
        answer = b""
        while not answer.endswith(b"c") and select.select([terminal], [], [], ANSWER_S)[0]:
            answer += os.read(terminal, 64)
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
    attributes = re.search(rb"\x1b\[\?([0-9;]*)c", answer)
    return attributes is not None and b"4" in attributes[1].split(b";")


def _png(picture: Image.Image) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, "PNG")
    return sink.getvalue()
