"""Do the steps of the JSON list in argv, one after the other, and print what came of each as one line of JSON.

["voxdata", …] is a command line; ["publish", ROOT, PEOPLE] builds and publishes the small root; ["limit", BYTES] lets
no file grow beyond that, -1 any; ["sh", SCRIPT] is the shell's. A result is [status, stdout, stderr].
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from small_root import SmallRoot

from flows.cli import main
from voxdata.format.errors import VoxdataError
from voxdata.store.storage import open_storage


def done(words: list[str]) -> tuple[int, str, str]:
    match words:
        case ["voxdata", *arguments]:
            out, error = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
                status = main(arguments)
            return status, out.getvalue(), error.getvalue()
        case ["publish", root, people]:
            try:
                SmallRoot(open_storage(root, create=True), people=int(people)).publish()
            except VoxdataError as error:
                return error.exit_code, "", f"{error}\n"
            return 0, "", ""
        case ["limit", limit]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
            return 0, "", ""
        case ["sh", script]:
            ran = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
            return 0, ran.stdout, ran.stderr
    raise ValueError(words)


if __name__ == "__main__":
    os.fsync = lambda _: None
    sys.path.insert(0, str(Path(__file__).parent))
    for step in json.loads(sys.argv[1]):
        print(json.dumps(done(step)), flush=True)
