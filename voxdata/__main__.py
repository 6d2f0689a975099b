"""`python -m voxdata`: the command line. It lies in `flows`; tests/test_imports.py lets this module alone reach it."""

import sys

from flows.cli import command_line

sys.exit(command_line())
