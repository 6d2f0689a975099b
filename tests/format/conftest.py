from __future__ import annotations

import sys
from pathlib import Path

for room in ("catalog", "models"):
    sys.path.append(str(Path(__file__).resolve().parents[1] / room))
