"""The automation that marks runs whose process is gone, on a real server: it never marks a run that ended well."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import yaml

from tests.flows.deployed import REPOSITORY, Server

pytestmark = pytest.mark.long

WITHIN_S = 15  # the file says 600; 10 is the least that Prefect takes
HANGS_AFTER_S = 180
HEARTBEAT = "prefect.flow-run.heartbeat"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the automation of the repository, which waits `WITHIN_S` for a sign of life."""
    folder = tmp_path_factory.mktemp("prefect")
    started = Server(folder, PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY="PT1S")
    started.start()
    [automation] = yaml.safe_load((REPOSITORY / "automations.yaml").read_text())["automations"]
    automation["trigger"]["within"] = WITHIN_S
    httpx.post(f"{started.url}/automations/", json=automation, timeout=30).raise_for_status()
    yield started
    started.stop()


class Run:
    """A flow run that the server knows, and whose events come in the order in which they are sent here."""

    def __init__(self, url: str) -> None:
        self.url = url
        flow = self.post("/flows/", {"name": "f"})["id"]
        state = {"type": "RUNNING", "name": "Running"}
        self.id = self.post("/flow_runs/", {"flow_id": flow, "state": state})["id"]

    def post(self, path: str, content: Any) -> Any:
        answer = httpx.post(f"{self.url}{path}", json=content, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def beats(self, *, ago_s: float = 0.0) -> None:
        """A heartbeat that happened so long ago and arrives now."""
        at = datetime.now(UTC) - timedelta(seconds=ago_s)
        resource = {"prefect.resource.id": f"prefect.flow-run.{self.id}", "prefect.resource.name": "r"}
        event = {"event": HEARTBEAT, "occurred": at.isoformat(), "resource": resource, "id": str(uuid.uuid4())}
        self.post("/events", [event])

    def ends(self, type_: str, name: str) -> None:
        self.post(f"/flow_runs/{self.id}/set_state", {"state": {"type": type_, "name": name}})

    def state(self) -> tuple[str, str]:
        found = httpx.get(f"{self.url}/flow_runs/{self.id}", timeout=30).json()
        return found["state"]["type"], found["state"]["name"]


def before_the_end(run: Run, *end: str) -> None:
    run.beats()
    run.ends(*end)


def after_the_end(run: Run, *end: str) -> None:
    run.beats(ago_s=3)
    run.ends(*end)
    time.sleep(1)  # the server has seen the end
    run.beats()


def late_from_before_the_end(run: Run, *end: str) -> None:
    run.ends(*end)
    time.sleep(1)
    run.beats(ago_s=5)


def acted_on(url: str) -> set[str]:
    """Runs that the automation tried to mark, allowed or not."""
    names = ["prefect.automation.action.executed", "prefect.automation.action.failed"]
    wanted = {"filter": {"event": {"name": names}}, "limit": 50}
    found = httpx.post(f"{url}/events/filter", json=wanted, timeout=30).json()["events"]
    related = [resource["prefect.resource.id"] for event in found for resource in event["related"]]
    return {each.removeprefix("prefect.flow-run.") for each in related if each.startswith("prefect.flow-run.")}


def test_a_run_that_ended_is_never_marked_and_one_that_fell_silent_is(server: Server) -> None:
    """All at once, so that the silent one shows that the automation has done its work meanwhile."""
    orders: list[Callable[..., None]] = [before_the_end, after_the_end, late_from_before_the_end]
    ends = [("COMPLETED", "Completed"), ("COMPLETED", "Promoted"), ("FAILED", "Failed"), ("FAILED", "TimedOut")]
    ended = {(order, end): Run(server.url) for order in orders for end in [*ends, ("CANCELLED", "Cancelled")]}
    for (order, end), run in ended.items():
        order(run, *end)
    silent = Run(server.url)
    silent.beats()
    until = time.monotonic() + HANGS_AFTER_S
    while silent.state()[0] != "CRASHED":
        assert time.monotonic() < until, "the silent run was not marked"
        time.sleep(1)
    time.sleep(WITHIN_S / 3)  # whatever began with the last event before its own
    assert {key: run.state() for key, run in ended.items()} == {(order, end): end for order, end in ended}
    tried = acted_on(server.url)
    assert silent.id in tried
    assert tried.isdisjoint(run.id for (order, _), run in ended.items() if order is before_the_end)
