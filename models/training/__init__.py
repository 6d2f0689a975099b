"""The training loop and what it needs: settings, steps, checkpoints, switches."""
