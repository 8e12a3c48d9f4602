"""What tests of several packages make their inputs with."""
