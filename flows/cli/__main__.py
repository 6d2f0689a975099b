"""`python -m flows.cli`: the same as `voxdata`."""

import sys

from flows.cli import command_line

sys.exit(command_line())
