"""Readers of the identity encoders' original files, for `data_prep.port_arcface`."""
