"""The prepared data as the daemon sees it: a manifest to check, never tokens to read."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from daemon.model import OurFault, UserError

MAX_MANIFEST_BYTES = 16 * 1024 * 1024
MEND = "run `autoresearch prepare --sample` (or --source DIR) in the lab"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", strict=True)


class FileFacts(_Part):
    """What the manifest says of one file."""

    sha256: str
    size_bytes: int


class SplitFacts(_Part):
    """What the manifest says of one split."""

    documents: int
    tokens: int
    bytes: int


class Manifest(_Part):
    """``manifest.json`` of the data directory."""

    version: int
    profile: str
    source: str
    licence: str
    vocab_size: int
    max_seq_len: int
    splits: dict[str, SplitFacts]
    files: dict[str, FileFacts]


class Dataset:
    """A data directory whose manifest was read and whose files were found."""

    def __init__(self, directory: Path, manifest: Manifest, manifest_sha256: str) -> None:
        self.directory = directory
        self.manifest = manifest
        self.manifest_sha256 = manifest_sha256

    @classmethod
    def open(cls, directory: Path, profile: str) -> Dataset:
        """Read the manifest and check that every file is there with its size.

        Raises:
            UserError: nothing is prepared there, or it was prepared for another profile.
            OurFault: a file that the manifest names is missing or has another size.
        """
        path = directory / "manifest.json"
        try:
            if path.stat().st_size > MAX_MANIFEST_BYTES:
                raise UserError(f"{path} is too large to be a manifest; {MEND}")
            content = path.read_bytes()
            manifest = Manifest.model_validate_json(content)
        except FileNotFoundError:
            raise UserError(f"no prepared data in {directory}; {MEND}") from None
        except ValidationError as error:
            raise UserError(f"{path} is not a manifest of this version; {MEND}") from error
        if manifest.profile != profile:
            raise UserError(f"{directory} was prepared for profile {manifest.profile}, the lab's is {profile}; {MEND}")
        dataset = cls(directory, manifest, hashlib.sha256(content).hexdigest())
        dataset.check_sizes()
        return dataset

    def check_sizes(self) -> None:
        """A quick look before every trial; ``prepare.py --verify`` hashes.

        Raises:
            OurFault: a file is missing or has another size.
        """
        for name, facts in self.manifest.files.items():
            path = self.directory / name
            try:
                size = path.stat().st_size
            except OSError as error:
                raise OurFault(f"the data file {path} cannot be read ({error.strerror}); {MEND}") from error
            if size != facts.size_bytes:
                raise OurFault(f"the data file {path} has {size} bytes, not {facts.size_bytes}; {MEND}")
