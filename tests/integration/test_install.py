"""`make install` for real: into a folder that stands for /, run where it will lie, repeated, and taken away again.

Slow because it is real: a whole environment of locked libraries is made, once for the module.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from specs import REPOSITORY

SCRIPT = REPOSITORY / "scripts" / "install.sh"
BASE = "autoresearch-base:bookworm"  # Debian 12 without systemd: what the sandbox's image is built on
HOME = Path("opt/autoresearchd")


def install(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "UV_LINK_MODE": "hardlink", **settings}  # as fast as it goes
    return subprocess.run([SCRIPT, *words], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def in_container(*options: str, script: str) -> str:
    command = ["docker", "run", "--rm", "--network", "none", *options, BASE, "bash", "-euxc", script]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    done = install(DESTDIR=str(root))
    assert done.returncode == 0, done.stderr
    return root


def test_everything_is_in_its_place_and_names_no_other(root: Path) -> None:
    assert os.readlink(root / "usr/local/bin/autoresearch") == "/opt/autoresearchd/.venv/bin/autoresearch"
    unit = (root / "etc/systemd/system/autoresearchd@.service").read_text()
    assert "ExecStart=/opt/autoresearchd/.venv/bin/autoresearch daemon" in unit
    assert (root / HOME / "docs/operations.md").is_file()
    assert (root / "etc/tmpfiles.d/autoresearchd.conf").is_file() and (root / "etc/sysusers.d").is_dir()
    places = [root / HOME / ".venv/bin", *(root / HOME / ".venv").glob("lib/python3*/site-packages/*.dist-info")]
    named = [
        "grep",
        "-rlIF",
        "-e",
        str(root),
        "-e",
        str(REPOSITORY),
        *map(str, places),
        root / HOME / ".venv/pyvenv.cfg",
    ]
    assert subprocess.run(named, capture_output=True, text=True).stdout == ""


def test_it_runs_where_it_lies_as_any_user_and_can_say_which_image_it_needs(root: Path) -> None:
    mounts = [f"-v={root / HOME}:/opt/autoresearchd:ro", f"-v={root / 'usr/local/bin'}:/usr/local/bin:ro"]
    script = (
        "autoresearch --help | grep -q daemon\n"
        "cd /tmp && autoresearch policy explain >/dev/null\n"
        "python=/opt/autoresearchd/.venv/bin/python\n"
        "$python -c 'import sandbox.image as i; print(i.contents_fingerprint(variant=\"cpu\"))'"
    )
    told = in_container("--user=65534:65534", *mounts, script=script).split()[-1]
    from sandbox.image import contents_fingerprint

    assert told == contents_fingerprint(variant="cpu"), "an installed daemon would ask for another image"


def test_it_is_safe_to_repeat(root: Path) -> None:
    before = tree(root)
    done = install(DESTDIR=str(root))
    assert "is up to date" in done.stdout, done.stderr
    assert tree(root) == before


@pytest.mark.parametrize("prefix", ["opt/here", "/opt/a b", "/opt/$(id)", "/opt/a;b"])
def test_an_odd_prefix_is_refused(tmp_path: Path, prefix: str) -> None:
    done = install(DESTDIR=str(tmp_path), PREFIX=prefix)
    assert (done.returncode, os.listdir(tmp_path)) == (1, [])
    assert "PREFIX must be an absolute path" in done.stderr


def test_what_others_put_there_stays(tmp_path: Path) -> None:
    theirs = tmp_path / "usr/local/bin/autoresearch"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    assert "was not made by make install: move it away" in install(DESTDIR=str(tmp_path)).stderr
    theirs.unlink()
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv" / "thesis").touch()
    assert "choose another PREFIX" in install(DESTDIR=str(tmp_path), PREFIX="/srv").stderr
    assert "nothing of make install" in install("--uninstall", DESTDIR=str(tmp_path), PREFIX="/srv").stdout
    assert tree(tmp_path) == {"usr", "usr/local", "usr/local/bin", "srv", "srv/thesis"}


MACHINE = """
seed() {
    mkdir -p /opt/autoresearchd/.venv/bin
    cp /installed /opt/autoresearchd/.venv/
    : >/opt/autoresearchd/made-by-install
    printf '#!/bin/sh\\n' >/opt/autoresearchd/.venv/bin/autoresearch
    chmod +x /opt/autoresearchd/.venv/bin/autoresearch
}
listed() { find / -xdev -path /proc -prune -o -path /sys -prune -o -print | sort; cat /etc/passwd /etc/group; }
cd /src
listed >/tmp/before
seed
scripts/install.sh
id autoresearchd
autoresearch
stat -c '%a %U:%G' /var/lib/autoresearchd /etc/autoresearchd /run/autoresearchd/queue
scripts/install.sh >/dev/null
mkdir /var/lib/autoresearchd/lab
scripts/install.sh --uninstall
test -d /var/lib/autoresearchd/lab && id autoresearchd
! test -e /opt/autoresearchd && ! test -e /etc/systemd/system/autoresearchd@.service && ! test -e /run/autoresearchd
rmdir /var/lib/autoresearchd/lab
seed
printf 'user\\n' >>/opt/autoresearchd/made-by-install
scripts/install.sh >/dev/null
scripts/install.sh --uninstall
listed >/tmp/after
sed -i '/docker:x/d' /tmp/before /tmp/after
diff /tmp/before /tmp/after | grep -v -e /tmp/ -e '^[0-9,acd]*$' -e '/etc/[a-z]*-$' || echo nothing is left
"""


def test_on_a_machine_without_systemd_it_makes_the_user_and_leaves_nothing_but_labs(root: Path) -> None:
    mounts = [f"-v={REPOSITORY}:/src:ro", f"-v={root / HOME / '.venv/installed'}:/installed:ro"]
    said = in_container(*mounts, script=MACHINE)
    assert "750 autoresearchd:autoresearchd\n700 root:root\n1770 root:autoresearchd\n" in said
    assert "(autoresearchd)" in said and "(docker)" in said
    assert "next: autoresearch image build" in said
    assert "left: /var/lib/autoresearchd with its labs" in said
    assert said.endswith("nothing is left\n"), said


def test_in_the_end_it_takes_itself_away(root: Path) -> None:
    (root / "etc/systemd/system/theirs.service").touch()
    done = install("--uninstall", DESTDIR=str(root))
    assert done.returncode == 0, done.stderr
    assert tree(root) == {"etc", "etc/systemd", "etc/systemd/system", "etc/systemd/system/theirs.service"}
