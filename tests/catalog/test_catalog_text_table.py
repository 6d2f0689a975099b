from __future__ import annotations

import pytest

from voxdata.catalog.text_table import aligned, by_lines, cells

NAMES = ["identity", "n", "where"]
ROWS = [["id00001", "12", "a/long/way/" * 6], ["李娜", "3", "short"]] * 2
RIGHT = [False, True, False]


def test_without_a_width_nothing_is_cut() -> None:
    lines = aligned(NAMES, ROWS, RIGHT, None).splitlines()
    assert lines[2].endswith("a/long/way/" * 6)
    assert lines[-1] == "(4 rows)"


@pytest.mark.parametrize("width", [30, 40, 60])
def test_a_terminal_cuts_the_longest_texts_and_says_so(width: int) -> None:
    *lines, said = aligned(NAMES, ROWS, RIGHT, width).splitlines()
    assert max(map(cells, lines)) == width
    assert lines[0].split() == NAMES
    assert [line.split()[1] for line in lines[2:]] == ["12", "3", "12", "3"]
    assert said == f"(4 rows; cut to {width} columns: a pipe or --format lines shows all)"


def test_columns_without_room_are_named() -> None:
    names = [f"column_{n}" for n in range(20)]
    *lines, said = aligned(names, [["x" * 20] * 20] * 9, [False] * 20, 50).splitlines()
    assert lines[0].split() == names[:3]
    assert max(map(cells, lines)) <= 50
    assert said.startswith("(9 rows; no room for column_3, column_4")
    assert said.endswith(": choose with --columns, or --format lines)")


def test_a_few_rows_with_many_columns_are_shown_by_lines() -> None:
    names = [f"column_{n}" for n in range(20)]
    row = [f"value {n} " * 9 for n in range(20)]
    assert aligned(names, [row], [False] * 20, 50) == by_lines(names, [row])
    assert by_lines(["a", "long"], [["1", "2"], ["3", ""]]) == "   a = 1\nlong = 2\n\n   a = 3\nlong = \n\n(2 rows)\n"


def test_wide_letters_are_aligned_by_the_cells_they_take() -> None:
    lines = aligned(["name", "n"], [["李娜", "1"], ["e\u0301a", "2"], ["Anna", "3"]], [False, True], None).splitlines()
    assert [cells(line) for line in lines[2:5]] == [7, 7, 7]


@pytest.mark.parametrize("width", [20, 40, 60, 80])
def test_what_names_something_to_a_command_is_never_cut(width: int) -> None:
    names = ["key", "where", "person", "note"]
    row = ["id00001/" + "a" * 22, "a/long/way/" * 6, "id00001", "words " * 9]
    said = aligned(names, [row] * 9, [False] * 4, width)
    assert said.count(f"{row[0]}\n" if width < 40 else row[0]) == 9
    assert "no room for" in said or said.count("id00001\n") == 9 or said.count(" id00001 ") == 9
    assert "id00001/a…" not in said
