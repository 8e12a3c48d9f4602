"""The mark that every output carries."""
