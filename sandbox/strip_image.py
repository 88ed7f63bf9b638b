"""Runs inside the build of the image: takes out what a running candidate could misuse, or train on before its clock.

Text is training material: seventy seconds of training on the docstrings in an image once lowered a toy model from
2.8 to 2.0 bits per byte before the clock had started. So documentation goes, and in the Python sources comments
and docstrings become blank, each line staying where it was (tracebacks, ``torch.export`` and Triton's reading of
sources go on working). Every rewritten file is parsed again and must be the same program. The guest stays as it
is, byte for byte, because the referee reports its own hash.

Setuid bits, package managers and Perl go too. Standard library only; Python 3.11.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import io
import multiprocessing
import os
import py_compile
import re
import shutil
import stat
import sys
import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
VENV = Path("/opt/venv")
GUEST = "autoresearch_guest"
MOUNT_POINTS = ("lab", "data/common", "data/train", "data/val", "data/holdout", "out", "gate", "cache", "tmp")

SYSTEM = (
    "build usr/share/doc usr/share/doc-base usr/share/man usr/share/info usr/share/locale usr/share/i18n "
    "usr/share/common-licenses usr/share/lintian usr/share/bash-completion usr/share/debconf usr/share/perl* "
    "usr/share/menu usr/share/pixmaps usr/share/gdb usr/share/gcc usr/share/polkit-1 usr/share/python3 "
    "usr/share/bug usr/share/applications usr/share/base-files usr/share/dict usr/share/keyrings "
    "usr/local/share/man usr/local/share/doc usr/lib/*/perl* usr/lib/*/perl-base usr/bin/perl* usr/bin/*pod* "
    "usr/bin/cpan* usr/bin/corelist usr/bin/prove usr/bin/apt* usr/bin/dpkg* usr/bin/deb* usr/bin/pip* "
    "usr/sbin/dpkg* usr/lib/apt usr/lib/dpkg usr/share/dpkg usr/share/apt* etc/apt etc/dpkg etc/perl etc/cron* "
    "etc/init.d etc/rc*.d etc/logrotate.d etc/alternatives/README var/lib/dpkg var/lib/apt var/cache var/log "
    "var/backups var/mail var/spool var/tmp root home srv media mnt boot opt/*/README* "
    "usr/local/bin/pip* usr/local/bin/idle* usr/local/bin/pydoc* usr/local/bin/2to3*"
).split()
KEPT_EMPTY = ("root", "var/tmp", "var/log", "var/cache")
DROPPED_PROGRAMS = "su mount umount newgrp chsh chfn passwd gpasswd chage expiry unix_chkpwd".split()

STDLIB = (
    "test idlelib lib2to3 ensurepip tkinter turtle.py turtledemo pydoc_data this.py antigravity.py LICENSE.txt "
    "config-3.11* unittest/test ctypes/test distutils/tests distutils/README sqlite3/test"
).split()
SITE = (
    "*/tests */*/tests */*/*/tests */*/*/*/tests */test torch/share torch/lib/*.a torch/bin/protoc* torch/bin/*test* "
    "numpy/_core/include numpy/_core/lib/*.a numpy/random/lib numpy/f2py numpy/doc sympy/*/benchmarks sympy/benchmarks "
    "nvidia/*/include nvidia/*/*/include pip pip-* bin"
).split()
CPU_ONLY = ("torch/include",)  # without a compiler nothing can use them; inductor on a CUDA image can
TEXT_SUFFIXES = (".md", ".rst", ".txt", ".html", ".pyi", ".pyx", ".pxd", ".ipynb", ".tex", ".1", ".cmake", ".pdf")
KEPT_TEXT = ("entry_points.txt", "top_level.txt")

DOC_CALLS = {"_add_docstr", "add_docstr", "add_docstr_all", "add_newdoc", "parse_kwargs"}
MEANT_FOR_MACHINES = re.compile(r"#\s*type:|#!|#.*coding[:=]")


def main() -> int:
    """Strip, compile, and check the whole file system below us."""
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
    _remove(site, SITE + list(CPU_ONLY if variant == "cpu" else ()))
    for tree in (stdlib, site):
        _remove_text(tree)
        _remove_caches(tree)
    _trim_metadata(site)
    blanked = _blank_sources([stdlib, site])
    if not _compile([stdlib, site]):
        return _fail("a source does not compile any more")
    _write_accounts()
    _make_mount_points()
    _own_everything()
    print(f"stripped: {blanked} sources blanked", flush=True)
    return _check(site)


def _fail(reason: str) -> int:
    print(f"strip_image: {reason}", file=sys.stderr)
    return 1


def _spare_python(stdlib: Path) -> list[str]:
    """What to remove of the system; Debian's own Python as well where the image's Python is another."""
    foreign = [] if stdlib.is_relative_to("/usr/lib") else ["usr/lib/python3*", "usr/bin/python3*"]
    shared = ["usr/lib/python3/dist-packages"]
    pip = ["usr/local/lib/python3.11/site-packages/*"]
    return SYSTEM + foreign + shared + pip


def _remove(tree: Path, patterns: list[str] | tuple[str, ...]) -> None:
    for pattern in patterns:
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


# Sources


def _blank_sources(trees: list[Path]) -> int:
    guest = trees[-1] / GUEST
    sources = [p for tree in trees for p in _files(tree) if p.suffix == ".py" and not p.is_relative_to(guest)]
    with multiprocessing.Pool() as pool:
        return sum(pool.imap_unordered(_blank_file, sources, chunksize=32))


def _blank_file(path: Path) -> bool:
    content = path.read_bytes()
    try:
        blanked = blank(content)
    except (SyntaxError, UnicodeDecodeError, tokenize.TokenError):
        return False  # a template or a fixture of another Python: left as it is
    if blanked is None:
        return False
    path.write_bytes(blanked)
    return True


def blank(content: bytes) -> bytes | None:
    """The same program with empty comments and docstrings, every line in its place.

    Returns:
        None when there is nothing to take out, or when the result would not be the same program.

    Raises:
        SyntaxError: not Python 3.11.
        UnicodeDecodeError: not UTF-8.
    """
    text = content.decode("utf-8")
    if "\r" in text or "\f" in text or text.startswith("\ufeff"):
        return None
    tree = ast.parse(text)
    lines = text.split("\n")
    spans = [*_docstrings(tree, lines), *_comments(text)]
    if not spans:
        return None
    for start, end, replacement in sorted(spans, reverse=True):
        (first, begin), (last, stop) = start, end
        lines[first : last + 1] = (lines[first][:begin] + replacement + lines[last][stop:]).split("\n")
    result = "\n".join(line.rstrip() if line.isspace() else line for line in lines)
    # The tree's own docstrings were emptied by _docstrings: what is left must be equal, line numbers included.
    return result.encode() if _shape(ast.parse(result)) == _shape(tree) else None


Position = tuple[int, int]
Span = tuple[Position, Position, str]


def _docstrings(tree: ast.AST, lines: list[str]) -> list[Span]:
    """Where documentation stands, and the blank string of as many lines for each; empties it in the tree, too."""
    spans = []
    for constant in _documentation(tree):
        first, last = constant.lineno - 1, (constant.end_lineno or 0) - 1
        breaks = "\n" * (last - first)
        constant.value = breaks
        start = (first, _column(lines[first], constant.col_offset))
        end = (last, _column(lines[last], constant.end_col_offset or 0))
        spans.append((start, end, f'"""{breaks}"""' if breaks else '""'))
    return spans


def _column(line: str, offset_bytes: int) -> int:
    return len(line.encode()[:offset_bytes].decode())


def _documentation(tree: ast.AST) -> Iterator[ast.Constant]:
    """String statements, what is assigned to ``__doc__``, and what the docstring functions of torch and numpy get."""
    seen: set[int] = set()
    for node in ast.walk(tree):
        for constant in _documentation_of(node):
            if id(constant) not in seen:
                seen.add(id(constant))
                yield constant


def _documentation_of(node: ast.AST) -> Iterator[ast.Constant]:
    if isinstance(node, ast.Expr) and _is_text(node.value):
        yield from _texts(node.value)
    elif isinstance(node, ast.Assign) and any(_name(target) == "__doc__" for target in node.targets):
        yield from _texts(node.value)
    elif isinstance(node, ast.Call) and _name(node.func) in DOC_CALLS:
        for argument in node.args:
            yield from (text for text in _texts(argument) if "\n" in text.value)
    elif isinstance(node, ast.keyword) and node.arg == "doc":
        yield from (text for text in _texts(node.value) if "\n" in text.value)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _texts(node: ast.AST) -> Iterator[ast.Constant]:
    """Plain strings in an expression; those inside an f-string have no place of their own in 3.11's tree."""
    if isinstance(node, ast.JoinedStr):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from _texts(child)


def _comments(text: str) -> Iterator[Span]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not MEANT_FOR_MACHINES.match(token.string):
            row, column = token.start
            yield (row - 1, column), (row - 1, token.end[1]), ""


def _shape(tree: ast.AST) -> tuple[str, list[int]]:
    return ast.dump(tree), [getattr(node, "lineno", 0) for node in ast.walk(tree)]


def _compile(trees: list[Path]) -> bool:
    """Byte code by hash, never checked against its source: the same bytes from every build.

    A template that never was Python may stay uncompiled; a source that is imported and broken would have been
    refused by :func:`blank`.
    """
    for tree in trees:
        compileall.compile_dir(
            tree,
            quiet=2,
            workers=0,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    return all(any(tree.rglob("*.pyc")) for tree in trees)


# The system


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
    for name in (*KEPT_EMPTY, *MOUNT_POINTS):
        path = ROOT / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755)


def _everything() -> Iterator[Path]:
    device = ROOT.stat().st_dev
    for directory, folders, names in os.walk(ROOT):
        folders[:] = [f for f in folders if os.lstat(Path(directory, f)).st_dev == device]
        yield Path(directory)
        yield from (Path(directory, name) for name in (*names, *folders))


def _own_everything() -> None:
    """Root owns all, nobody else writes, nothing raises rights."""
    for name in DROPPED_PROGRAMS:
        for folder in ("usr/bin", "usr/sbin"):
            (ROOT / folder / name).unlink(missing_ok=True)
    for path in _everything():
        os.lchown(path, 0, 0)
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode):
            path.chmod(stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX | stat.S_IWGRP | stat.S_IWOTH))


def _check(site: Path) -> int:
    for path in _everything():
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH):
            return _fail(f"{path} is setuid, setgid or writable by all")
    for unwanted in (site / "pip", ROOT / "usr/bin/perl", ROOT / "usr/bin/dpkg"):
        if unwanted.exists():
            return _fail(f"{unwanted} is still there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
