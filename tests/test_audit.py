"""`.ci/audit` says which known holes there are, and without a network that it does not know; it fails no commit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.documented import REPOSITORY

# An interpreter whose pip_audit answers with a report that lies beside it, or with none where there is no such file.
PYTHON = """#!/bin/bash
case "$1 $2" in
  "-c import pip_audit") exit 0 ;;
  "-m pip_audit")
    while [ $# -gt 0 ]; do if [ "$1" = --output ]; then cp {report} "$2" 2> /dev/null; fi; shift; done
    exit 1 ;;
  *) exec {python} "$@" ;;
esac
"""


def audited(python: str) -> str:
    done = subprocess.run(
        [REPOSITORY / ".ci" / "audit"],
        env={**os.environ, "AUDIT_PYTHON": python},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def answering(folder: Path, report: object) -> str:
    script = folder / "python"
    if report is not None:
        (folder / "report").write_text(json.dumps(report))
    script.write_text(PYTHON.format(report=folder / "report", python=sys.executable))
    script.chmod(0o755)
    return str(script)


def test_without_an_index_nothing_is_audited_and_that_is_said() -> None:
    assert audited("/bin/false") == "nothing was audited: pip-audit could not be installed\n"


def test_without_an_answer_nothing_is_audited_and_that_is_said(tmp_path: Path) -> None:
    said = audited(answering(tmp_path, None))
    assert said == "nothing was audited: the service behind pip-audit does not answer\n"


def test_known_holes_are_named(tmp_path: Path) -> None:
    hole = {"id": "PYSEC-1", "fix_versions": ["2.0"]}
    found = [{"name": "x", "version": "1.0", "vulns": [hole]}, {"name": "y", "version": "1.0", "vulns": []}]
    assert audited(answering(tmp_path, {"dependencies": found})).splitlines() == [
        "known hole: x 1.0: PYSEC-1, mended in 2.0",
        "2 packages audited, 1 known holes",
    ]
