"""The prepared data as the daemon sees it: a manifest to check, never tokens to read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from daemon.files import write_atomically
from daemon.model import OurFault, UserError

MAX_MANIFEST_BYTES = 16 * 1024 * 1024
READ_BY_ALL, ENTERED_BY_ALL = 0o004, 0o005
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

    def __init__(self, directory: Path, manifest: Manifest, manifest_sha256: str, seen: Path | None = None) -> None:
        self.directory = directory
        self.manifest = manifest
        self.manifest_sha256 = manifest_sha256
        self._seen = seen
        self._stamps: dict[str, list[int]] = self._remembered()

    @classmethod
    def open(cls, directory: Path, profile: str, seen: Path | None = None) -> Dataset:
        """Read the manifest and check that every file is there with its size.

        In ``seen`` is remembered which files were hashed and found right, so that they need not be again.

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
        dataset = cls(directory, manifest, hashlib.sha256(content).hexdigest(), seen)
        dataset.check_sizes()
        return dataset

    def check_sizes(self) -> None:
        """A quick look; :meth:`check` hashes.

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

    def check(self) -> None:
        """See that every file holds what the manifest says: one that may have been written since is hashed anew.

        Raises:
            OurFault: a file is missing, cannot be read, or has changed.
        """
        self.check_sizes()
        for name, facts in self.manifest.files.items():
            path = self.directory / name
            try:
                stamp = _stamp(path)
                if self._stamps.get(name) == stamp:
                    continue
                if _sha256(path) != facts.sha256:
                    raise OurFault(f"the data file {path} has changed since it was prepared; {MEND}")
            except OSError as error:
                raise OurFault(f"the data file {path} cannot be read ({error.strerror}); {MEND}") from error
            self._stamps[name] = stamp
            self._remember()

    def check_readable(self) -> None:
        """See that the users inside a container can read every file: those are nobody's of this machine.

        Raises:
            OurFault: they cannot.
        """
        files = [self.directory / name for name in self.manifest.files]
        folders = {path.parent for path in files} - {self.directory}
        for path, wanted in [*((path, READ_BY_ALL) for path in files), *((path, ENTERED_BY_ALL) for path in folders)]:
            if path.stat().st_mode & wanted != wanted:
                raise OurFault(f"no container can read {path}; `chmod -R o+rX {self.directory}`")

    def _remembered(self) -> dict[str, list[int]]:
        try:
            kept = json.loads(self._seen.read_bytes()) if self._seen else {}
            return dict(kept["files"]) if kept["manifest"] == self.manifest_sha256 else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # none yet, or not ours to understand: the files are hashed

    def _remember(self) -> None:
        if self._seen is not None:
            kept = {"manifest": self.manifest_sha256, "files": self._stamps}
            write_atomically(self._seen, json.dumps(kept).encode(), mode=0o600)


def _stamp(path: Path) -> list[int]:
    """What changes when a file is written: not the time of its last change of state, which each new link moves."""
    found = path.stat()
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
