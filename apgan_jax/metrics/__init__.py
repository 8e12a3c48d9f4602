"""One file per metric of the paper."""
