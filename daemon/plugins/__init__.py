"""Observers of other people: switched on by name in lab.toml, loaded when a run begins, and kept apart from it."""
