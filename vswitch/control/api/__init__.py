"""The HTTP API: one file for the calls of a feature, and a table of them all."""
