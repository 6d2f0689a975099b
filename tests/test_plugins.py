"""Parts that plug in by name: ours, those of other packages, and what is wrong with them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from voxdata.format.errors import RecipeError
from voxdata.plugins import plugin, plugins

GROUP = "voxdata.tested"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path; `package` puts packages into it, as pip would."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def package(folder: Path, name: str, code: str, **points: str) -> None:
    """A package with entry points name -> attribute."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{point} = {name}:{attribute}" for point, attribute in points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))


def test_another_packages_object_is_found_by_its_name(installed: Path) -> None:
    package(installed, "speckled", "FRECKLES = 'freckles of the package'\n", freckles="FRECKLES")
    assert plugin(GROUP, "freckles", setting="faces.x") == "freckles of the package"
    assert dict(plugins(GROUP).items()) == {"freckles": "freckles of the package"}


class ForeignPoint:
    """An entry point as the package `importlib_metadata` gives it, once anything has imported that."""

    name, value, group, module, dist = "freckles", "speckled:FRECKLES", GROUP, "speckled", None

    def load(self) -> str:
        return "freckles of the package"


def test_an_entry_point_of_another_class_is_one(monkeypatch: pytest.MonkeyPatch, installed: Path) -> None:
    monkeypatch.setattr("voxdata.plugins.entry_points", lambda group: [ForeignPoint()])
    assert plugin(GROUP, "freckles", setting="faces.x") == "freckles of the package"


def test_nothing_is_imported_before_it_is_asked_for(installed: Path) -> None:
    package(installed, "unasked", "raise RuntimeError('imported')\n", other="OTHER")
    assert list(plugins(GROUP)) == ["other"]
    assert "unasked" not in sys.modules


def test_unknown_name_says_what_there_is(installed: Path) -> None:
    package(installed, "several", "A = B = 1\n", freckles="A", moles="B")
    with pytest.raises(RecipeError, match=r"faces\.x = 'freckle'.*freckles, moles; did you mean freckles\?"):
        plugin(GROUP, "freckle", setting="faces.x")
    with pytest.raises(RecipeError, match=r"there are none"):
        plugin("voxdata.nobody", "freckles", setting="faces.x")


def test_two_packages_with_one_name_are_refused(installed: Path) -> None:
    package(installed, "first_freckles", "A = 1\n", freckles="A")
    package(installed, "second_freckles", "A = 2\n", freckles="A")
    with pytest.raises(RecipeError, match=r"first_freckles and second_freckles both have 'freckles'"):
        plugin(GROUP, "freckles", setting="faces.x")


def test_two_packages_with_one_name_are_no_matter_to_who_asks_for_another(installed: Path) -> None:
    package(installed, "one_of_two", "A = 1\nB = 3\n", freckles="A", moles="B")
    package(installed, "two_of_two", "A = 2\n", freckles="A")
    assert plugin(GROUP, "moles", setting="faces.x") == 3
    assert list(plugins(GROUP)) == ["freckles", "moles"]


def test_a_package_that_does_not_load_says_which_and_why(installed: Path) -> None:
    package(installed, "broken", "import no_such_module_at_all\n", freckles="A")
    with pytest.raises(RecipeError, match=r"'freckles' of the package broken.*no_such_module_at_all"):
        plugin(GROUP, "freckles", setting="faces.x")


def test_a_package_that_exits_while_it_is_imported_is_named(installed: Path) -> None:
    package(installed, "leaving", "import sys\nsys.exit(3)\n", freckles="A")
    with pytest.raises(RecipeError, match=r"'freckles' of the package leaving.*SystemExit: 3"):
        plugin(GROUP, "freckles", setting="faces.x")
