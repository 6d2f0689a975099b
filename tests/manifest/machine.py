"""The machine that a manifest was made on: what decides the last bits of pixels, samples and losses."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

LIBRARIES = (
    "av",
    "duckdb",
    "face-alignment",
    "mediapipe",
    "numpy",
    "opencv-contrib-python",
    "pillow",
    "pyarrow",
    "scipy",
    "soundfile",
    "torch",
    "torchaudio",
    "webrtcvad-wheels",
)
VECTORS = {"avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16"}
VECTORS |= {"avx512_fp16", "amx_tile", "amx_bf16", "amx_int8", "asimd", "sve", "i8mm", "bf16"}


def machine() -> dict[str, Any]:
    """Architecture, maker and vector units of the processor, and versions of Python and of the libraries."""
    return {
        "cpu": {
            "arch": platform.machine(),
            "system": platform.system(),
            "torch": torch.backends.cpu.get_cpu_capability(),
            **_processor(),
        },
        "libraries": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
    }


def _processor() -> dict[str, Any]:
    """Of the first processor, where the system tells."""
    facts: dict[str, str] = {}
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.is_file() else []:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    flags = facts.get("flags", facts.get("Features", "")).split()
    family = "-".join(facts.get(name, "?") for name in ("vendor_id", "cpu family", "model"))
    return {"family": family, "vectors": sorted(VECTORS & set(flags))}
