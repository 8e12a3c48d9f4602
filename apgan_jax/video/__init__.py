"""Videos, read and written without loss of what is not swapped."""
