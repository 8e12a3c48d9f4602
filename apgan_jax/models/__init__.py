"""The networks of the paper, as Flax modules that take plain fields."""
