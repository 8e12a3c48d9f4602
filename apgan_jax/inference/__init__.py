"""Swapping with a bundle: crops, photos and videos, and the mark on every output."""
