"""The sandbox's image, as far as it can be made without speaking to an engine: contents, wheels, context, base.

The *contents* of an image are its Dockerfile, the guest, the script that strips it and the hashes of its wheels.
Their fingerprint is part of the arena: a rebuild of the same contents is the same arena, whatever the image's id.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Variant = Literal["cpu", "cuda"]
VARIANTS: tuple[Variant, ...] = ("cpu", "cuda")

LABEL = "org.autoresearchd"
CONTENTS_LABEL = f"{LABEL}.contents"
TORCH_LABEL = f"{LABEL}.torch"
BASE_LABEL = f"{LABEL}.base"
STAGE_LABEL = f"{LABEL}.stage"  # on the leftovers of a build, so that they can be pruned

DOCKERFILE = "Dockerfile.train"
PACKAGE = Path(__file__).resolve().parent
CHECKOUT = PACKAGE.parent
PYTORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
DEBIAN_SUITE = "bookworm"  # its python3 is 3.11, for which the wheels are
PLATFORMS = tuple(f"manylinux{glibc}_x86_64" for glibc in ("_2_28", "_2_27", "_2_26", "_2_24", "2014", "_2_17", "2010"))


class ImageError(Exception):
    """A base, a wheelhouse or a context could not be made; the message says why and what mends it."""


# Names


def image_tag(variant: Variant) -> str:
    return f"autoresearch-train:{variant}"


def registry_base(variant: Variant) -> str:
    """The base a registry offers: Triton needs a C compiler, which the slim one has not."""
    return "python:3.11" if variant == "cuda" else "python:3.11-slim"


def local_base(variant: Variant) -> str:
    """The name under which a base made by :func:`sandbox.base.debootstrap_base` is imported."""
    return f"autoresearch-base:{DEBIAN_SUITE}" + ("-gcc" if variant == "cuda" else "")


def wheelhouse_directory(variant: Variant, root: Path = CHECKOUT) -> Path:
    return root / "build" / f"wheelhouse-{variant}"


def build_args(variant: Variant, base: str) -> dict[str, str]:
    return {"BASE_IMAGE": base, "TORCH_VARIANT": variant}


def labels(variant: Variant, base: str, root: Path = CHECKOUT) -> dict[str, str]:
    return {
        CONTENTS_LABEL: contents_fingerprint(variant, root),
        TORCH_LABEL: torch_version(variant, root),
        BASE_LABEL: base,
    }


# Contents


def contents_fingerprint(variant: Variant, root: Path = CHECKOUT) -> str:
    """Sha256 over the names and bytes of everything in the image that is ours or chosen by us."""
    return _digest(dict(_sources(variant, root)))


def guest_fingerprint(root: Path = CHECKOUT) -> str:
    """Sha256 over the guest alone, where it runs without an image."""
    return _digest(dict(_guest(root)))


def torch_version(variant: Variant, root: Path = CHECKOUT) -> str:
    """The torch release that the image's lock file pins, such as ``2.13.0+cpu``."""
    match = re.search(r"^torch==(\S+)", _lock(variant, root).read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise ImageError(f"{_lock(variant, root)} pins no torch; write it again with `make lock`")
    return match.group(1)


def _digest(files: dict[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _sources(variant: Variant, root: Path) -> Iterator[tuple[str, Path]]:
    """Name in the build context and path here, of all but the wheels."""
    yield DOCKERFILE, _dockerfile(root)
    for name in ("strip_image.py", "strip_sources.py"):
        yield name, root / "sandbox" / name
    yield "requirements/image.lock", _lock(variant, root)
    yield "requirements/installer.lock", _lock("installer", root)
    yield from _guest(root)


def _guest(root: Path) -> Iterator[tuple[str, Path]]:
    guest = root / "sandbox" / "guest"
    for path in sorted(guest.rglob("*.py")):
        yield f"guest/{path.relative_to(guest).as_posix()}", path


def _dockerfile(root: Path) -> Path:
    """In a checkout it stands at the top; in an installed wheel among the daemon's payload."""
    places = (root / DOCKERFILE, root / "daemon" / "payload" / DOCKERFILE)
    return next((place for place in places if place.is_file()), places[0])


def _lock(name: str, root: Path) -> Path:
    return root / "sandbox" / "requirements" / f"{name}.lock"


# Wheels


def download_wheelhouse(variant: Variant, destination: Path, root: Path = CHECKOUT) -> None:
    """Fetch the wheels that the lock files name, for the image's Python and not for ours; each checked by hash.

    Files that are there already are not fetched again. pip's own configuration (indexes, proxies, folders of
    wheels) is honoured; PyTorch's index is added for the CPU build, which is on no other.

    Raises:
        ImageError: a wheel could not be had.
    """
    destination.mkdir(parents=True, exist_ok=True)
    for name in ("installer", variant):
        if not _wheels_of([_lock(name, root)], destination).missing:
            continue
        if not _pip_download(_lock(name, root), destination, ()):
            extra = ("--extra-index-url", PYTORCH_CPU_INDEX) if name == "cpu" else ()
            if not extra or not _pip_download(_lock(name, root), destination, extra):
                raise ImageError(_why_no_wheels(destination))


def _pip_download(lock: Path, destination: Path, extra: Sequence[str]) -> bool:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--only-binary=:all:", "--no-deps", "--require-hashes", "--python-version", "3.11"),
        *("--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none"),
        *(word for platform in (*PLATFORMS, "any") for word in ("--platform", platform)),
        *("--retries", "2", "--find-links", str(destination), "--dest", str(destination)),
        *("-r", str(lock), *extra),
    ]
    with (destination / "download.log").open("ab") as log:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode == 0


def _why_no_wheels(destination: Path) -> str:
    log = destination / "download.log"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("ERROR")]
    reason = lines[-1].removeprefix("ERROR: ")[:200] if lines else "pip failed"
    return f"the wheels of the image could not be downloaded: {reason} (all of it in {log})"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wheels:
    """The files of a folder that lock files name by hash, and the packages for which there is none."""

    found: list[Path]
    missing: list[str]


def _wheels_of(locks: Sequence[Path], directory: Path) -> _Wheels:
    by_hash = {_sha256(path): path for path in sorted(directory.glob("*.whl"))}
    found: list[Path] = []
    missing: list[str] = []
    for lock in locks:
        for package, hashes in _pins(lock.read_text(encoding="utf-8")):
            files = [by_hash[h] for h in hashes if h in by_hash]
            found += files[:1]
            missing += [] if files else [package]
    return _Wheels(found=sorted(found), missing=missing)


def _pins(lock: str) -> Iterator[tuple[str, list[str]]]:
    """``name==version`` and sha256 sums of each package in a lock file."""
    for block in re.split(r"\n(?=[a-zA-Z0-9])", lock):
        if pin := re.match(r"[\w.-]+==[^\s\\]+", block):
            yield pin.group(), re.findall(r"sha256:([0-9a-f]{64})", block)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Context


def write_context(variant: Variant, wheelhouse: Path, archive: Path, root: Path = CHECKOUT) -> None:
    """Write the build's context as a tar: the same contents, the same bytes.

    Raises:
        ImageError: a wheel that the lock names is not in ``wheelhouse``.
    """
    wheels = _wheels_of([_lock(variant, root), _lock("installer", root)], wheelhouse)
    if wheels.missing:
        raise ImageError(f"no wheel of {', '.join(wheels.missing)} in {wheelhouse}; `autoresearch image build` gets it")
    files = dict(_sources(variant, root)) | {f"wheels/{path.name}": path for path in wheels.found}
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, path in sorted(files.items()):
            _add(tar, name, path)


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = path.stat().st_size, 0o644, 0
    with path.open("rb") as content:
        tar.addfile(entry, content)
