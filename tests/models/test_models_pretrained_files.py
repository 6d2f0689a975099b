"""Files of published networks: tensors and nothing else, of the digest that was published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models.embedders import describe_embedder, load_published
from models.errors import PretrainedError
from models.pretrained import files
from models.pretrained.conv_norm import ConvNorm
from models.pretrained.tensors import fill, read_tensors


def test_half_precision_is_read_as_single(tmp_path: Path) -> None:
    state = {key: value.half() for key, value in ConvNorm(3, 4, 3).state_dict().items()}
    network = fill(lambda: ConvNorm(3, 4, 3), state, tmp_path)
    assert {value.dtype for value in network.parameters()} == {torch.float32}


class Payload:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path("ran"),)  # type: ignore[return-value]


def test_code_and_other_things_in_a_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.ones(2), "code": Payload()}, path)
    with pytest.raises(PretrainedError, match=r"weights.pt was not loaded as a torch file of tensors"):
        read_tensors(path)
    assert not (tmp_path / "ran").exists()
    torch.save({"state": {"weight": torch.ones(2)}, "epoch": 3}, path)
    with pytest.raises(PretrainedError, match=r"it holds state \(dict\), epoch \(int\) and not tensors by key"):
        read_tensors(path)
    torch.save(torch.ones(2), path)
    with pytest.raises(PretrainedError, match="it holds a Tensor"):
        read_tensors(path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(PretrainedError, match="was not loaded"):
        read_tensors(path)
    with pytest.raises(PretrainedError, match=r"was not loaded.*No such file"):
        read_tensors(tmp_path / "none.pt")


@pytest.mark.parametrize("name", [name for name, published in files.PUBLISHED.items() if published.sha256])
def test_a_file_of_another_digest_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / files.PUBLISHED[name].file
    path.write_bytes(b"other")
    sha256 = files.PUBLISHED[name].sha256
    with pytest.raises(PretrainedError, match=f"{name}: .* has sha256 d9298a10d1b0.*get {path.name} .*sha256 {sha256}"):
        files.weight_file(name, {name: str(path)})


def test_where_nobody_published_a_digest_outputs_name_the_one_found(tmp_path: Path) -> None:
    path = tmp_path / "converted.pt"
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    weights = {"vggface2_resnet50": str(path)}
    found = describe_embedder("vggface2_resnet50", weights)["sha256"]
    assert found is not None
    assert len(found) == 64
    assert describe_embedder("vggface2_resnet50")["sha256"] is None
    with pytest.raises(PretrainedError, match=r"does not fit VggFace2ResNet50: it lacks bn1.weight, .* and \d+ more"):
        load_published("vggface2_resnet50", weights)
