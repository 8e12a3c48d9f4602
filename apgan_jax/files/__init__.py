"""Files, written whole or not at all, and what reads them."""
