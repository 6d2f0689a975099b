"""The fenced blocks and the commands of README, CONTRIBUTING and docs/: what is run, and what is only read.

tests/test_documented_commands.py runs a block of `sh`, `python` or `sql` as it stands, unless a comment right above it
says otherwise:

    <!-- not run: WHY -->                    it is read only: its commands must be ones that the parsers take
    <!-- run: server -->                     with a Prefect server of its own, as all that follow on the page
    <!-- run: with `A` for `B`, with … -->   with A in the place of each B, such as five seconds for five minutes
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
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
    marker = _MARKER.search(above)
    if marker is None:
        return block
    rest = marker["rest"]
    if marker["word"] == "not run":
        return Block(block.page, block.line, block.language, block.text, not_run=rest)
    swaps = tuple(_SWAP.findall(rest))
    left = _SWAP.sub("", rest).replace(",", "").split()
    if left not in ([], ["server"]) or not (left or swaps):
        raise PageError(f"{block}: 'run: {rest}' is no marker; there are 'server' and 'with `A` for `B`'")
    return Block(block.page, block.line, block.language, block.text, server=bool(left), swaps=swaps)


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
