"""`python -m flows.cli`: the same as `voxdata`."""

import sys

from flows.cli import main

sys.exit(main())
