"""What flow runs are called: by what they work on, so that a list of them on Prefect's page can be read."""

from __future__ import annotations

from string import Formatter
from typing import Any

import pytest
from prefect import Flow

from flows.build import build_hq_voxceleb
from flows.crawl import crawl
from flows.evaluating import evaluate
from flows.imagining import imagine_batch
from flows.redecide import redecide
from flows.retrain import retrain
from flows.train import train

NAMED = (
    (build_hq_voxceleb, {"recipe": "demo", "root": "data"}, "demo into data"),
    (crawl, {"recipe": "demo", "root": "data"}, "demo into data"),
    (redecide, {"root": "data"}, "redecide data"),
    (train, {"root": "data", "system": "sf2f", "preset": "tiny"}, "sf2f tiny on data"),
    (retrain, {"root": "data", "system": "sf2f", "preset": "tiny"}, "sf2f tiny on data"),
    (evaluate, {"root": "data", "run": "champion"}, "champion of data"),
    (imagine_batch, {"root": "data", "voices": "wav"}, "wav on data"),
)


@pytest.mark.parametrize(("flow", "told", "name"), NAMED, ids=lambda each: getattr(each, "name", None))
def test_a_flow_run_is_called_by_what_it_works_on(flow: Flow[..., Any], told: dict[str, str], name: str) -> None:
    template = flow.flow_run_name
    assert isinstance(template, str)
    asked = {field for _, field, _, _ in Formatter().parse(template) if field}
    assert asked <= set(flow.parameters.properties)
    assert template.format(**told) == name
