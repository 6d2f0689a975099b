"""`python -m flows.called FILE WORDS…`: a command of the command line, whose error is written to FILE instead of
standard error.

`voxdata.build` and its like start it (`voxdata/calls.py`) and raise that error where they were called. FILE has the
names of its class and of those above it, and its message.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from flows.cli.entry import command_line


def main() -> int:
    """Run the command and return its exit status."""
    place, *words = sys.argv[1:]
    sys.argv = ["voxdata", *words]

    def tell(error: Exception, message: str) -> bool:
        said = {"classes": [each.__name__ for each in type(error).__mro__], "message": message}
        Path(place).write_text(json.dumps(said), encoding="utf-8")
        return True

    return command_line(tell)


if __name__ == "__main__":
    sys.exit(main())
