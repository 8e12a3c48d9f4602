"""From photos and foreign weights to what training reads."""
