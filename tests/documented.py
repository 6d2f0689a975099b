"""The fenced blocks and the commands of README, CONTRIBUTING and docs/: what is run, and what is only read.

tests/test_documented_commands.py runs a block of `sh`, `python` or `sql` as it stands, unless a comment right above it
says otherwise:

    <!-- not run: WHY -->                    it is read only: its commands must be ones that the parsers take
    <!-- run: server -->                     with a Prefect server of its own, as all that follow on the page
    <!-- run: with `A` for `B`, with … -->   with A in the place of each B, such as five seconds for five minutes

and a block of `text` below it with the comment

    <!-- printed -->                         is held against what that block prints, line by line

where a line `…` stands for any lines that are left out, and numbers may be others if the block ran with swaps, or with
a size that the page sets by `export NAME=${NAME:-VALUE}` and the test in its place. Variables that a block exports are
those of the blocks behind it, as in one terminal.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    REPOSITORY / "docs" / "examples" / "README.md",
]
RUN = ("sh", "python", "sql")
READ = ("toml", "json", "yaml", "text")
COMMANDS = ("voxdata", "python", "prefect", "make", "torchrun")

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\S*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_MARKER = re.compile(r"<!-- (?P<word>not run|run): (?P<rest>.+) -->\s*\Z")
_PRINTED = re.compile(r"<!-- printed -->\s*\Z")
_OF_ITS_OWN = re.compile(r"\b[0-9a-f]{16,64}\b|\b\d{4}-\d\d-\d\dT[\d:.+]+")  # ids by content, times
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_EXPORT = re.compile(r"\b(?P<name>[A-Z][A-Z_]*)=\$\{(?P=name):-(?P<value>[^}]*)\}")
_SWAP = re.compile(r"with `([^`]+)` for `([^`]+)`")


class PageError(ValueError):
    """A marker that says nothing, or a block that is neither run nor known."""


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins (counted from 1), its language and text, and what its marker says."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None = None
    server: bool = False
    swaps: tuple[tuple[str, str], ...] = ()
    printed: bool = False

    @property
    def is_run(self) -> bool:
        return self.language in RUN and self.not_run is None

    @property
    def as_run(self) -> str:
        """The text with what the marker puts in; each of its words must be there."""
        text = self.text
        for new, old in self.swaps:
            if old not in text:
                raise PageError(f"{self}: the marker replaces {old!r}, which the block does not have")
            text = text.replace(old, new)
        return text

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order. Raises `PageError` for a marker that is none."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        indent = len(match["indent"])
        lines = [line[indent:] for line in match["text"].splitlines()]
        block = Block(page, text.count("\n", 0, match.start()) + 1, match["language"], "\n".join(lines) + "\n")
        above = text[: match.start()].rstrip(" ").rpartition("\n\n")[2]
        found.append(_marked(block, above))
    return found


def _marked(block: Block, above: str) -> Block:
    if _PRINTED.search(above):
        return replace(block, printed=True)
    marker = _MARKER.search(above)
    if marker is None:
        return block
    rest = marker["rest"]
    if marker["word"] == "not run":
        return replace(block, not_run=rest)
    swaps = tuple(_SWAP.findall(rest))
    left = _SWAP.sub("", rest).replace(",", "").split()
    if left not in ([], ["server"]) or not (left or swaps):
        raise PageError(f"{block}: 'run: {rest}' is no marker; there are 'server' and 'with `A` for `B`'")
    return replace(block, server=bool(left), swaps=swaps)


def sizes(page: Path) -> dict[str, str]:
    """The variables that a page sets where they are not set yet, with its values."""
    return {found["name"]: found["value"] for block in blocks(page) for found in _EXPORT.finditer(block.text)}


def not_printed(shown: str, printed: str, *, any_numbers: bool) -> str | None:
    """The first line that a page shows and a command did not print there; None where all of them were printed."""
    lines = iter([_plain(line, any_numbers) for line in printed.splitlines()])
    gap = False
    for line in shown.splitlines():
        if line.strip() == "…":
            gap = True
        elif gap:
            if _plain(line, any_numbers) not in lines:  # which goes on behind the line that it finds
                return line
            gap = False
        elif _plain(line, any_numbers) != next(lines, None):
            return line
    return None if gap else next(lines, None)


def _plain(line: str, any_numbers: bool) -> str:
    """A line without what every run has of its own; the widths of columns go by their numbers."""
    line = _OF_ITS_OWN.sub("<own>", line)
    if any_numbers:
        line = _NUMBER.sub("#", re.sub("─+", "─", line))
    return " ".join(line.split())


def command_lines(text: str) -> Iterator[list[str]]:
    """The words of every command of ours in a shell script: pipes, lists and subshells taken apart, no redirections."""
    text = re.sub(r"(?<!\S)# .*$", "", text.replace("\\\n", " "), flags=re.MULTILINE)
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|<>()\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    words: list[str] = []
    for word in [*lexer, "\n"]:
        if word in ("<", ">"):
            words.append(word)
        elif word and set(word) <= set(";&|()\n"):
            end = min([words.index(sign) for sign in ("<", ">") if sign in words], default=len(words))
            if words and words[0] in COMMANDS:
                yield words[:end]
            words = []
        else:
            words.append(word)


def spans(page: Path) -> list[str]:
    """The commands that a page's sentences name in backticks; `[…]` around what may be left out is taken away."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    text = re.sub(r"<!--.*?-->", "", text)
    found = [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
    return [re.sub(r"\[([^\]=]*)\]", r"\1", span) for span in found if span.split()[0] in COMMANDS and " " in span]


def hidden_commands(page: Path) -> list[str]:
    """Lines that look like commands and stand where nothing reads them: indented, or in a block of no such language."""
    text = page.read_text(encoding="utf-8")
    indented = re.findall(r"(?<=\n\n)(?: {4}|\t)(\S.*)$", _FENCE.sub("", text), re.MULTILINE)
    others = [line for block in blocks(page) if block.language in READ for line in block.text.splitlines()]
    start = re.compile(rf"(\$ |\s*(?:{'|'.join(COMMANDS)}) [a-z-])")
    return [line for line in [*indented, *others] if start.match(line)]
