"""Speed measurements; each prints one JSON line last."""
