"""The command line `voxdata`: a file per group of commands, with their options, help and handlers together.

Nothing heavy is imported at the top of these modules: handlers import what they call, so that help, completion and
mistakes are answered at once. `tests/flows/test_command_line.py` holds this.
"""

from flows.cli.entry import app, command_line, main

__all__ = ["app", "command_line", "main"]
