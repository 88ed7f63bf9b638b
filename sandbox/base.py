"""What the image is built on: from a registry where one answers, else Debian 12 made here by debootstrap."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sandbox.image import DEBIAN_SUITE, ImageError, Variant

REGISTRY = "registry-1.docker.io"
DEBIAN_MIRROR = "http://deb.debian.org/debian"
COMPILER_PACKAGES = ("gcc", "g++", "libc6-dev", "libpython3.11-dev")


def registry_answers(seconds: float = 5.0) -> bool:
    """Whether the public registry can be reached from here, so that nobody waits minutes for an engine to find out.

    An engine with a mirror of its own is not asked; there, pull the base by hand and name it.
    """
    connection = http.client.HTTPSConnection(REGISTRY, timeout=seconds)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status in (200, 401)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def debootstrap_base(archive: Path, variant: Variant = "cpu", extra: Sequence[str] = ()) -> None:
    """Write Debian 12's minimal system with python3 (a C compiler for CUDA, ``extra`` packages) as a tar to import.

    Raises:
        ImageError: debootstrap is missing or failed, or we are neither root nor allowed to be.
    """
    _check_can_debootstrap()
    packages = ",".join(("python3", *(COMPILER_PACKAGES if variant == "cuda" else ()), *extra))
    archive.parent.mkdir(parents=True, exist_ok=True)
    log = archive.with_suffix(".log")
    with tempfile.TemporaryDirectory(prefix="autoresearch-base-", dir=archive.parent) as work:
        tree = Path(work, "tree")
        _as_root(_debootstrap(packages, tree), log, "debootstrap")
        try:
            _as_root(_tar(tree), log, "tar", output=archive)
        finally:
            _as_root(["rm", "-rf", "--one-file-system", str(tree)], log, "rm")


def _check_can_debootstrap() -> None:
    if shutil.which("debootstrap", path=_root_path()) is None:
        raise ImageError(
            "no registry answers, so the base is made here, and debootstrap is missing: "
            "apt-get install debootstrap debian-archive-keyring"
        )
    if os.geteuid() != 0 and shutil.which("sudo") is None:
        raise ImageError("no registry answers, and making a base by debootstrap needs root or sudo")


def _debootstrap(packages: str, tree: Path) -> list[str]:
    script = ["debootstrap", "--variant=minbase", f"--include={packages}", DEBIAN_SUITE, str(tree), debian_mirror()]
    proxy = _apt("shell", "PROXY", "Acquire::http::Proxy").partition("=")[2].strip().strip("'")
    return ["env", f"PATH={_root_path()}", *([f"http_proxy={proxy}"] if proxy else []), *script]


def _tar(tree: Path) -> list[str]:
    return [
        *("tar", "--create", "--numeric-owner", "--sort=name", "--mtime=@0", f"--directory={tree}"),
        *("--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*", "--exclude=./var/cache/apt/*"),
        *("--exclude=./var/lib/apt/lists/*", "--exclude=./var/log/*", "."),
    ]


def debian_mirror() -> str:
    """Where this machine's apt gets Debian from, when it is a Debian; else Debian's own address."""
    found = re.findall(r"^Debian (\S+)$", _apt("indextargets", "--format", "$(ORIGIN) $(REPO_URI)"), re.MULTILINE)
    mirrors = [uri for uri in found if uri.startswith("http") and "security" not in uri]
    return mirrors[0].rstrip("/") if mirrors else DEBIAN_MIRROR


def _apt(*words: str) -> str:
    """What apt knows of its configuration; nothing where it knows nothing."""
    program = {"shell": "apt-config", "indextargets": "apt-get"}[words[0]]
    if shutil.which(program) is None:
        return ""
    return subprocess.run([program, *words], capture_output=True, text=True, check=False).stdout


def _root_path() -> str:
    return os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"


def _as_root(command: Sequence[str], log: Path, what: str, output: Path | None = None) -> None:
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    with log.open("ab") as errors, output.open("wb") if output else log.open("ab") as target:
        done = subprocess.run([*sudo, *command], stdout=target, stderr=errors, check=False)
    if done.returncode != 0:
        raise ImageError(f"{what} failed while making the base image; its last words are in {log}")
