"""The real image with a referee that believes what it reads: the containers are real, the model does not matter."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox.docker_engine import Engine

BASE, TINY = "autoresearch-train:cpu", "autoresearch-crash:cpu"
REFEREE = Path(__file__).with_name("tiny_referee.py")
GUEST = "/opt/venv/lib/python3.11/site-packages/autoresearch_guest"
LABEL = "org.autoresearchd.crash.base"


def tiny_image(engine: Engine, base: str = BASE, name: str = TINY) -> str:
    """Make the image where there is none on the present base; one more layer of two kilobytes. Returns its name."""
    found, below = engine.image(name), engine.image(base)
    assert below is not None, f"there is no image {base}; `make setup` builds it"
    mark = f"{below.id} {hash_of(REFEREE)}"
    if found is None or found.labels.get(LABEL) != mark:
        with TemporaryDirectory() as folder:
            context = Path(folder) / "context.tar"
            _write(context, {"Dockerfile": dockerfile(base).encode(), "referee.py": REFEREE.read_bytes()})
            for _ in engine.build(context, name, {}, {LABEL: mark}, "Dockerfile"):
                pass
    return name


def dockerfile(base: str) -> str:
    """The compiled file goes: the image trusts it without a look at its source."""
    compiled = f"{GUEST}/__pycache__/referee.cpython-311.pyc"
    return f"FROM {base}\nUSER 0\nRUN rm -f {compiled}\nCOPY referee.py {GUEST}/referee.py\nUSER lab\n"


def hash_of(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _write(archive: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(archive, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
