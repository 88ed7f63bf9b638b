"""Runs inside the build of the image: takes out what a running candidate could misuse, or train on before its clock.

Text is training material: seventy seconds of training on the docstrings in an image once lowered a toy model from
2.8 to 2.0 bits per byte before the clock had started. So documentation goes here, and strip_sources.py empties what
is inside the sources. Setuid bits, package managers and Perl go too. Standard library only; Python 3.11.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import stat
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
VENV = Path("/opt/venv")
MOUNT_POINTS = ("lab", "data/common", "data/train", "data/val", "data/holdout", "out", "gate")
# runc gives a tmpfs the mode of the directory below it, whatever the mount asks for [tried with runc 1.1.5].
SCRATCH = (Path("/tmp"), Path("/cache"))  # noqa: S108

SYSTEM = (
    "usr/share/doc usr/share/doc-base usr/share/man usr/share/info usr/share/locale usr/share/i18n "
    "usr/share/common-licenses usr/share/lintian usr/share/bash-completion usr/share/debconf usr/share/perl* "
    "usr/share/menu usr/share/pixmaps usr/share/gdb usr/share/gcc usr/share/polkit-1 usr/share/python3 "
    "usr/share/bug usr/share/applications usr/share/base-files usr/share/dict usr/share/keyrings "
    "usr/local/share/man usr/local/share/doc usr/lib/*/perl* usr/lib/*/perl-base usr/bin/perl* usr/bin/*pod* "
    "usr/bin/cpan* usr/bin/corelist usr/bin/prove usr/bin/apt* usr/bin/dpkg* usr/bin/deb* usr/bin/pip* "
    "usr/sbin/dpkg* usr/lib/apt usr/lib/dpkg usr/share/dpkg usr/share/apt* etc/apt etc/dpkg etc/perl etc/cron* "
    "etc/init.d etc/rc*.d etc/logrotate.d etc/alternatives/README var/lib/dpkg var/lib/apt var/cache var/log "
    "var/backups var/mail var/spool var/tmp root home srv media mnt boot "
    "usr/local/bin/pip* usr/local/bin/idle* usr/local/bin/pydoc* usr/local/bin/2to3*"
)
KEPT_EMPTY = ("root", "var/tmp", "var/log", "var/cache")
DROPPED_PROGRAMS = "su mount umount newgrp chsh chfn passwd gpasswd chage expiry unix_chkpwd"

STDLIB = (
    "test idlelib lib2to3 ensurepip tkinter turtle.py turtledemo pydoc_data this.py antigravity.py LICENSE.txt "
    "config-3.11* unittest/test ctypes/test distutils/tests distutils/README sqlite3/test"
)
SITE = (
    "*/tests */*/tests */*/*/tests */*/*/*/tests */test torch/share torch/lib/*.a torch/bin/protoc* torch/bin/*test* "
    "numpy/_core/include numpy/_core/lib/*.a numpy/random/lib numpy/f2py numpy/doc sympy/*/benchmarks sympy/benchmarks "
    "numpy/distutils torchgen/packaged nvidia/*/include nvidia/*/*/include pip pip-*"
)
CPU_ONLY = "torch/include"  # without a compiler nothing can use them; inductor on a CUDA image can
TEXT_SUFFIXES = (".md", ".rst", ".txt", ".html", ".pyi", ".pyx", ".pxd", ".ipynb", ".tex", ".cmake", ".pdf")
KEPT_TEXT = ("entry_points.txt", "top_level.txt")


def main() -> int:
    """Strip and check the whole file system below us."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", choices=("cpu", "cuda"), required=True)
    variant = parser.parse_args().variant
    if sys.version_info[:2] != (3, 11):
        return _fail(f"the base image has Python {sys.version.split()[0]}, and the wheels are for 3.11")
    site, stdlib = Path(sysconfig.get_paths()["purelib"]), Path(sysconfig.get_paths()["stdlib"])
    if site.parts[:3] != VENV.parts:
        return _fail(f"run me with {VENV}/bin/python")
    _remove(ROOT, _spare_python(stdlib))
    _remove(stdlib, STDLIB)
    _remove(site, SITE)
    if variant == "cpu":
        _remove(site, CPU_ONLY)
    for tree in (stdlib, site):
        _remove_text(tree)
        _remove_caches(tree)
    _trim_metadata(site)
    _write_accounts()
    _make_mount_points()
    _own_everything()
    return _check(site)


def _fail(reason: str) -> int:
    print(f"strip_image: {reason}", file=sys.stderr)
    return 1


def _spare_python(stdlib: Path) -> str:
    """What to remove of the system; Debian's own Python as well where the image's Python is another."""
    foreign = "" if stdlib.is_relative_to("/usr/lib") else "usr/lib/python3* usr/bin/python3*"
    return f"{SYSTEM} {foreign} usr/lib/python3/dist-packages usr/local/lib/python3.11/site-packages/*"


def _remove(tree: Path, patterns: str) -> None:
    for pattern in patterns.split():
        for path in sorted(tree.glob(pattern)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _remove_text(tree: Path) -> None:
    for path in _files(tree):
        is_metadata = path.parent.suffix == ".dist-info" and path.name in KEPT_TEXT
        if path.suffix in TEXT_SUFFIXES and not is_metadata:
            path.unlink()


def _remove_caches(tree: Path) -> None:
    for path in sorted(tree.rglob("__pycache__")):
        shutil.rmtree(path)


def _trim_metadata(site: Path) -> None:
    """Of a distribution's metadata only the header block stays: name, version, requirements, entry points."""
    for info in sorted(site.glob("*.dist-info")):
        metadata = info / "METADATA"
        head = metadata.read_text(encoding="utf-8").split("\n\n", 1)[0]
        wanted = [line for line in head.split("\n") if re.match(r"(Metadata-Version|Name|Version|Requires-)", line)]
        metadata.write_text("\n".join(wanted) + "\n\n", encoding="utf-8")
        for path in sorted(info.iterdir()):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in {"METADATA", *KEPT_TEXT}:
                path.unlink()


def _files(tree: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(tree):
        for name in sorted(names):
            path = Path(directory, name)
            if not path.is_symlink():
                yield path


def _write_accounts() -> None:
    """Accounts for root, the image's own user and nobody; a slot's uid needs no name."""
    users = [
        "root:x:0:0::/root:/usr/sbin/nologin",
        "lab:x:65532:65532::/tmp:/usr/sbin/nologin",
        "nobody:x:65534:65534::/:/usr/sbin/nologin",
    ]
    (ROOT / "etc/passwd").write_text("\n".join(users) + "\n")
    (ROOT / "etc/group").write_text("root:x:0:\nlab:x:65532:\nnogroup:x:65534:\n")
    for name in ("shadow", "gshadow", "shadow-", "gshadow-", "passwd-", "group-", "subuid", "subgid"):
        (ROOT / "etc" / name).unlink(missing_ok=True)


def _make_mount_points() -> None:
    for path in (*(ROOT / name for name in (*KEPT_EMPTY, *MOUNT_POINTS)), *SCRATCH):
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o1777 if path in SCRATCH else 0o755)


def _everything() -> Iterator[Path]:
    device = ROOT.stat().st_dev
    for directory, folders, names in os.walk(ROOT):
        folders[:] = [f for f in folders if os.lstat(Path(directory, f)).st_dev == device]
        yield Path(directory)
        yield from (Path(directory, name) for name in (*names, *folders))


def _own_everything() -> None:
    """Root owns all, nobody else writes, nothing raises rights."""
    for name in DROPPED_PROGRAMS.split():
        for folder in ("usr/bin", "usr/sbin"):
            (ROOT / folder / name).unlink(missing_ok=True)
    for path in _everything():
        if path not in SCRATCH:
            _own(path)


def _own(path: Path) -> None:
    """Touches only what differs: on a layered file system a changed mode copies the whole file."""
    status = path.lstat()
    if (status.st_uid, status.st_gid) != (0, 0):
        os.lchown(path, 0, 0)
    mode = stat.S_IMODE(status.st_mode)
    wanted = mode & ~(stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX | stat.S_IWGRP | stat.S_IWOTH)
    if wanted != mode and not stat.S_ISLNK(status.st_mode):
        path.chmod(wanted)


def _check(site: Path) -> int:
    for path in _everything():
        mode = path.lstat().st_mode
        if path not in SCRATCH and not stat.S_ISLNK(mode) and mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH):
            return _fail(f"{path} is setuid, setgid or writable by all")
    for unwanted in (site / "pip", ROOT / "usr/bin/perl", ROOT / "usr/bin/dpkg"):
        if unwanted.exists():
            return _fail(f"{unwanted} is still there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
