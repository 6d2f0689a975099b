"""compose.yaml and the manifests of docs/examples/kubernetes are what their engines read; a typing error is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

from tests.flows.composed import compose
from tests.flows.deployed import REPOSITORY

VALUES = {"VOXDATA_AUTH": "someone:secret", "POSTGRES_PASSWORD": "secret"}
KUBERNETES = "1.31"
MANIFESTS = sorted((REPOSITORY / "docs" / "examples" / "kubernetes").glob("*.yaml"))
# What a worker fills in of a base job template.
FILLED = {
    "{{ labels }}": {"prefect.io/flow-run-id": "x"},
    "{{ namespace }}": "voxdata",
    "{{ name }}-": "run-",
    "{{ image }}": "voxdata:0.1.0",
    "{{ env }}": [{"name": "PREFECT_API_URL", "value": "http://server:4200/api"}],
    "{{ command }}": ["prefect", "flow-run", "execute"],
}


def read(content: dict[str, Any]) -> list[str]:
    """The names of the services. Raises `ValueError` for what Compose does not know."""
    return sorted(PyCompose.from_yaml(yaml.safe_dump(content)).service_names())


def test_compose_knows_every_word_of_the_file() -> None:
    services = ["dask-scheduler", "dask-worker", "objects", "postgres", "server", "setup", "worker-cpu", "worker-gpu"]
    content = compose(VALUES)
    assert read(content) == services
    profiles = {name: service.get("profiles", []) for name, service in content["services"].items()}
    assert {name for name, some in profiles.items() if not some} == {"postgres", "server", "setup", "worker-cpu"}
    assert {profile for some in profiles.values() for profile in some} == {"s3", "dask", "gpu"}


@pytest.mark.parametrize(
    "change",
    [
        lambda services: services["server"].update(comand="prefect"),
        lambda services: services["server"]["depends_on"].update(postgres={"condition": "service_ok"}),
        lambda services: services["worker-cpu"].update(volumes=["${NOWHERE}:/data"]),
        lambda services: services["postgres"]["healthcheck"].update(intervall="5s"),
    ],
)
def test_a_mistake_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    content = compose(VALUES)
    change(content["services"])
    with pytest.raises(ValueError, match="services"):
        read(content)


def test_no_password_has_a_default_and_none_is_written_down() -> None:
    for name in VALUES:
        with pytest.raises(KeyError, match=name):
            compose({key: value for key, value in VALUES.items() if key != name})
    text = (REPOSITORY / "compose.yaml").read_text()
    assert [line for line in text.splitlines() if "PASSWORD:" in line and "${" not in line] == []


def test_the_server_is_published_on_loopback_alone() -> None:
    ports = {name: service.get("ports", []) for name, service in compose(VALUES)["services"].items()}
    assert {name: some for name, some in ports.items() if some} == {"server": ["127.0.0.1:4200:4200"]}


def filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: filled(each) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each) for each in value]
    return FILLED.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_knows_every_word_of_a_manifest(path: Path) -> None:
    documents = [filled(document) for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
    assert documents
    for document in documents:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        assert "{{" not in str(document)


def test_a_mistake_in_a_manifest_is_refused() -> None:
    (*_, workers) = yaml.safe_load_all((REPOSITORY / "docs/examples/kubernetes/dask.yaml").read_text())
    workers["spec"]["replica"] = 3
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(workers, KUBERNETES, strict=True)


def test_every_pod_runs_without_root_and_says_what_memory_it_needs() -> None:
    for path in MANIFESTS:
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            pod = document.get("spec", {}).get("template", {}).get("spec")
            if pod is None:
                continue
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert all("memory" in container["resources"]["limits"] for container in pod["containers"])
