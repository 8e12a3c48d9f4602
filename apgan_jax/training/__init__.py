"""The training step, the loop, and all that a run needs."""
