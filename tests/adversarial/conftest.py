"""The real engine, image and data."""

from fixtures import data_dir, engine, lab_id, make_spec, sandbox

__all__ = ["data_dir", "engine", "lab_id", "make_spec", "sandbox"]
