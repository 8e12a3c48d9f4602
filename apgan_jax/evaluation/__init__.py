"""The paper's evaluation: what is measured, on what, and its tables."""
