"""A temporary Prefect server: `python -m flows.temporary_server PORT PARENT`. Ends with its parent.

Prefect's own temporary server shares the terminal's process group, so that Ctrl-C ends it before the flow has said good
bye to it, and the flow then retries for minutes. This one has a group of its own and no user interface.
"""

from __future__ import annotations

import sys

import uvicorn

from voxdata.pipeline.processes import die_with

APPLICATION = "prefect.server.api.server:create_app"


def main() -> None:
    """Serve until the parent is gone or SIGTERM."""
    port, parent = int(sys.argv[1]), int(sys.argv[2])
    die_with(parent)
    uvicorn.run(APPLICATION, factory=True, host="127.0.0.1", port=port, log_level="error", lifespan="on")


if __name__ == "__main__":
    main()
