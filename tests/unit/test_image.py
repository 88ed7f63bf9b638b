"""The image's fingerprint, its build context, its wheels, and the script that takes the text out."""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from sandbox import base, image

REPOSITORY = Path(__file__).resolve().parents[2]
WHEEL = b"not really a wheel"
PIN = f"torch==9.9.9+cpu \\\n    --hash=sha256:{hashlib.sha256(WHEEL).hexdigest()}\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout with nothing in it but what the image is made of."""
    root = tmp_path / "checkout"
    for name in ("Dockerfile.train", "sandbox/strip_image.py", "sandbox/strip_sources.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, root / name)
    shutil.copytree(REPOSITORY / "sandbox" / "requirements", root / "sandbox" / "requirements")
    guest = root / "sandbox" / "guest"
    guest.mkdir()
    (guest / "__init__.py").write_text("")
    (guest / "referee.py").write_text("print('ok')\n")
    return root


@pytest.fixture
def wheelhouse(tree: Path) -> Path:
    """Two pinned packages whose wheels are there."""
    folder = tree / "wheels"
    folder.mkdir()
    (folder / "torch-9.9.9+cpu-cp311-cp311-linux.whl").write_bytes(WHEEL)
    (folder / "pip-9-py3-none-any.whl").write_bytes(b"pip")
    requirements = tree / "sandbox" / "requirements"
    (requirements / "cpu.lock").write_text(f"# made by hand\n{PIN}")
    (requirements / "installer.lock").write_text(f"pip==9 \\\n    --hash=sha256:{hashlib.sha256(b'pip').hexdigest()}\n")
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "Dockerfile.train",
        "sandbox/guest/referee.py",
        "sandbox/requirements/cpu.lock",
        "sandbox/requirements/installer.lock",
        "sandbox/strip_image.py",
        "sandbox/strip_sources.py",
    ],
)
def test_fingerprint_changes_with_one_byte(tree: Path, name: str) -> None:
    before = image.contents_fingerprint("cpu", tree)
    with (tree / name).open("a") as file:
        file.write("#")
    assert image.contents_fingerprint("cpu", tree) != before


def test_fingerprint_changes_with_a_new_or_a_renamed_guest_module(tree: Path) -> None:
    seen = {image.contents_fingerprint("cpu", tree)}
    module = tree / "sandbox" / "guest" / "more.py"
    module.write_text("")
    seen.add(image.contents_fingerprint("cpu", tree))
    module.rename(module.with_name("less.py"))
    seen.add(image.contents_fingerprint("cpu", tree))
    assert len(seen) == 3


def test_fingerprint_ignores_times_byte_code_and_the_other_variant(tree: Path) -> None:
    before = image.contents_fingerprint("cpu", tree)
    os.utime(tree / "sandbox" / "guest" / "referee.py", (1, 1))
    cache = tree / "sandbox" / "guest" / "__pycache__"
    cache.mkdir()
    (cache / "referee.cpython-311.pyc").write_bytes(b"x")
    (tree / "sandbox" / "requirements" / "cuda.lock").write_text("# other\n")
    assert image.contents_fingerprint("cpu", tree) == before


def test_variants_differ_and_pin_the_same_release_of_torch() -> None:
    assert image.contents_fingerprint("cpu") != image.contents_fingerprint("cuda")
    assert image.torch_version("cpu") == image.torch_version("cuda") + "+cpu"


def test_guest_fingerprint_knows_the_guest_only(tree: Path) -> None:
    before = image.guest_fingerprint(tree)
    (tree / "Dockerfile.train").write_text("FROM scratch\n")
    assert image.guest_fingerprint(tree) == before
    (tree / "sandbox" / "guest" / "referee.py").write_text("print('no')\n")
    assert image.guest_fingerprint(tree) != before


def test_labels_carry_contents_torch_and_base(tree: Path) -> None:
    labels = image.labels("cpu", "python:3.11-slim", tree)
    assert labels[image.CONTENTS_LABEL] == image.contents_fingerprint("cpu", tree)
    assert labels[image.TORCH_LABEL].startswith("2.")
    assert labels[image.BASE_LABEL] == "python:3.11-slim"


def test_context_is_the_same_bytes_twice(tree: Path, wheelhouse: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "1.tar", tmp_path / "2.tar"
    image.write_context("cpu", wheelhouse, first, tree)
    for path in tree.rglob("*.py"):
        os.utime(path, (7, 7))
    image.write_context("cpu", wheelhouse, second, tree)
    assert first.read_bytes() == second.read_bytes()


def test_context_holds_what_the_dockerfile_copies_and_no_stray_wheel(
    tree: Path, wheelhouse: Path, tmp_path: Path
) -> None:
    (wheelhouse / "stray-1-py3-none-any.whl").write_bytes(b"stray")
    image.write_context("cpu", wheelhouse, tmp_path / "context.tar", tree)
    with tarfile.open(tmp_path / "context.tar") as tar:
        names = tar.getnames()
        assert {(entry.uid, entry.mode, entry.mtime) for entry in tar} == {(0, 0o644, 0)}
    assert names == sorted(names)
    assert set(names) == {
        *("Dockerfile.train", "strip_image.py", "strip_sources.py"),
        *("requirements/image.lock", "requirements/installer.lock", "guest/__init__.py", "guest/referee.py"),
        *("wheels/torch-9.9.9+cpu-cp311-cp311-linux.whl", "wheels/pip-9-py3-none-any.whl"),
    }


def test_a_wheel_with_other_bytes_is_a_missing_wheel(tree: Path, wheelhouse: Path, tmp_path: Path) -> None:
    (wheelhouse / "torch-9.9.9+cpu-cp311-cp311-linux.whl").write_bytes(b"tampered")
    with pytest.raises(image.ImageError, match=r"torch==9\.9\.9\+cpu"):
        image.write_context("cpu", wheelhouse, tmp_path / "context.tar", tree)


def test_wheels_that_are_there_are_not_fetched_again(
    tree: Path, wheelhouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:
        raise AssertionError("pip was called")

    monkeypatch.setattr(image, "_pip_download", refuse)
    image.download_wheelhouse("cpu", wheelhouse, tree)


def test_pytorchs_index_is_asked_last_and_a_failure_is_one_sentence(
    tree: Path, wheelhouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def fail(_lock: Path, destination: Path, extra: tuple[str, ...]) -> bool:
        asked.append(extra)
        (destination / "download.log").write_text("noise\nERROR: No matching distribution found for torch\n")
        return False

    monkeypatch.setattr(image, "_pip_download", fail)
    (wheelhouse / "torch-9.9.9+cpu-cp311-cp311-linux.whl").unlink()
    with pytest.raises(image.ImageError, match="No matching distribution found for torch"):
        image.download_wheelhouse("cpu", wheelhouse, tree)
    assert asked == [(), ("--extra-index-url", image.PYTORCH_CPU_INDEX)]


@pytest.mark.parametrize("name", ["cpu", "cuda", "installer", "train-env"])
def test_lock_files_pin_by_hash_and_name_no_place(name: str) -> None:
    text = (REPOSITORY / "sandbox" / "requirements" / f"{name}.lock").read_text()
    packages = [line for line in text.splitlines() if line and not line.startswith(("#", " "))]
    assert packages
    assert all(line.endswith("\\") for line in packages), "every package has a hash on the next line"
    assert "://" not in text
    assert "find-links" not in text


def test_the_daemons_lock_has_no_torch() -> None:
    text = (REPOSITORY / "requirements.lock").read_text()
    assert "\ntorch==" not in text
    assert "://" not in text


def test_mirror_is_debians_own_where_apt_knows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        base, "_apt", lambda *_: "Debian http://security.example/debian-security/\nUbuntu http://u.example/\n"
    )
    assert base.debian_mirror() == base.DEBIAN_MIRROR
    monkeypatch.setattr(base, "_apt", lambda *_: "Debian http://mirror.example/debian/\n")
    assert base.debian_mirror() == "http://mirror.example/debian"


def test_without_debootstrap_the_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base.shutil, "which", lambda *_, **__: None)
    with pytest.raises(image.ImageError, match="apt-get install debootstrap"):
        base.debootstrap_base(tmp_path / "base.tar")


# strip_sources


def blank(source: str) -> str:
    """What comes out, by a fresh interpreter: the comparison of programs needs one without column numbers."""
    script = (
        "import sys; from sandbox.strip_sources import blank; content = sys.stdin.buffer.read(); "
        "sys.stdout.buffer.write(blank(content) or content)"
    )
    command = [sys.executable, "-X", "no_debug_ranges", "-c", script]
    done = subprocess.run(command, input=source.encode(), capture_output=True, check=True, cwd=REPOSITORY)
    return done.stdout.decode()


def test_comments_and_docstrings_go_and_lines_stay() -> None:
    source = '''#!/usr/bin/python
"""A module
of two lines."""; x = 1  # one
def f():
    r"""Says ‘ä’."""  # and a comment
    # alone
    s = "# not a comment"
    return s
class C:
    a = 1
    "about a"
'''
    result = blank(source)
    assert result.count("\n") == source.count("\n")
    assert result.splitlines()[0] == "#!/usr/bin/python"
    for gone in ("two lines", "one", "Says", "and a comment", "alone", "about"):
        assert gone not in result
    assert '"# not a comment"' in result
    assert [n.lineno for n in ast.walk(ast.parse(result)) if hasattr(n, "lineno")] == [
        n.lineno for n in ast.walk(ast.parse(source)) if hasattr(n, "lineno")
    ]


def test_type_comments_and_cookies_stay() -> None:
    source = "# -*- coding: utf-8 -*-\nx = []  # type: List[int]\n"
    assert blank(source) == source


def test_texts_given_to_docstring_functions_go_and_templates_stay() -> None:
    source = (
        'add_docstr(f, r"""\nadds {input}\n""".format(**common_args))\n'
        'T = """\nkernel template\n"""\n'
        'f.__doc__ = """\nmore words\n"""\n'
    )
    result = blank(source)
    assert "adds" not in result
    assert "more words" not in result
    assert "kernel template" in result


def test_names_that_a_call_is_given_stay() -> None:
    source = 'w.__doc__ = getattr(f, "__doc__")\nw.__doc__ = """\n%s\n""" % x\n'
    assert blank(source) == source


def test_what_might_come_out_as_another_program_is_left_alone() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        blank("x = 1\r# to some a line of its own, to others not\n")


def test_a_form_feed_is_no_line_end() -> None:
    assert blank('"""Doc."""\n\f\nx = 1  # one\n') == '""\n\f\nx = 1\n'
