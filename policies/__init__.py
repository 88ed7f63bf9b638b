"""Static checks of a patch: bytes in, findings out. An early, cheap filter and an audit trail, not a boundary."""
