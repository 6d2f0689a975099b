"""The head that the local pages share: the same in all, with the words of each."""

from __future__ import annotations

import pytest

from voxdata.pages.head import Head
from voxdata.pages.serve.routes import voice_page

HEAD = Head(
    title="A & B", warning="<Mind>.", advice="Softly.", help="voxdata a --help", dataset=lambda: "$tools · <root>"
)


def test_it_stands_around_the_tools_and_no_word_becomes_markup() -> None:
    made = HEAD.into(b"<body><!-- head --><i>tools</i><!-- /head --><main id=main></main>").decode()
    assert made.count("<header>") == made.count("<i>tools</i>") == made.count("<h1>A &amp; B</h1>") == 1
    assert "$tools · &lt;root&gt;</span>" in made
    assert "Help: <code>voxdata a --help</code>" in made
    assert "<b>&lt;Mind&gt;.</b> Softly." in made
    assert made.index('href="#main"') < made.index("<header>") < made.index("<i>tools") < made.index("</header>")


def test_a_page_without_its_mark_is_none() -> None:
    with pytest.raises(ValueError, match="'A & B' has 0 marks"):
        HEAD.into(b"<body></body>")


def test_serve_says_above_everything_that_its_faces_are_nobodys() -> None:
    page = voice_page(lambda clip: NotImplemented, {"dataset": ""})
    assert page.head.warning == "This shows no real person and identifies nobody."
    assert "plausible face" in page.head.advice
