"""Other people's frozen networks."""
