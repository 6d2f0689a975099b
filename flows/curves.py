"""Pictures of a training for pages that show nothing but small images."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

WIDTH_PX, PANEL_PX, MARGIN_PX = 640, 180, 56
PAPER, INK, GRID, LINE = "#ffffff", "#404040", "#d8d8d8", "#1f6fb4"


def loss_curves(lines: Sequence[Mapping[str, Any]], names: Sequence[str] = ("loss", "l1")) -> bytes:
    """A PNG with a panel per loss over the steps of `metrics.jsonl`; losses that no line holds are left out."""
    panels = [(name, points) for name in names if (points := _points(lines, name))]
    image = Image.new("RGB", (WIDTH_PX, PANEL_PX * max(1, len(panels))), PAPER)
    draw = ImageDraw.Draw(image)
    for number, (name, points) in enumerate(panels):
        _panel(draw, number * PANEL_PX, name, points)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _points(lines: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    return [(float(line["step"]), float(line[name])) for line in lines if name in line]


def _panel(draw: ImageDraw.ImageDraw, top: int, name: str, points: list[tuple[float, float]]) -> None:
    font = ImageFont.load_default(size=12)
    steps, values = zip(*points, strict=True)
    left, right, upper, lower = MARGIN_PX, WIDTH_PX - 12, top + 26, top + PANEL_PX - 24
    step_span, value_span = max(steps) - min(steps) or 1.0, max(values) - min(values) or 1.0
    draw.text((left, top + 6), name, fill=INK, font=font)
    for value, y in ((max(values), upper), (min(values), lower)):
        draw.line([(left, y), (right, y)], fill=GRID)
        draw.text((left - 6, y), f"{value:.3g}", fill=INK, font=font, anchor="rm")
    draw.text((left, lower + 4), f"step {min(steps):.0f}", fill=INK, font=font)
    draw.text((right, lower + 4), f"{max(steps):.0f}", fill=INK, font=font, anchor="ra")
    places = [
        (
            left + (step - min(steps)) / step_span * (right - left),
            lower - (value - min(values)) / value_span * (lower - upper),
        )
        for step, value in points
    ]
    draw.line(places, fill=LINE, width=2)
    for x, y in places if len(places) < 3 else places[-1:]:
        draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=LINE)
