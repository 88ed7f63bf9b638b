"""A lab on disk: its files, settings and data, and how its parts are put together."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from daemon import hardware, settings
from daemon.dataset import Dataset
from daemon.files import private_folder
from daemon.inbox import Inbox
from daemon.ledger import Ledger, Listing
from daemon.model import Arena, UserError
from daemon.payload import payload
from daemon.permissions import complaints
from daemon.sections import STATE
from daemon.settings import Profile, Settings
from daemon.trial import TrialPlan
from daemon.workspace import Workspace
from sandbox.interface import SandboxSpec, TimeRules

if TYPE_CHECKING:
    from daemon.walls import Wall

IGNORED = f"{STATE}/\nresults.tsv\nprogress.png\nexperiments.*\n__pycache__/\n"


def init(directory: Path, profile: Profile, tag: str) -> None:
    """Make a lab: a git repository with the five files and an ignored state folder.

    Raises:
        UserError: the folder is a lab already, or holds other things.
    """
    contents = {name: payload(name) for name in ("train.py", "prepare.py", "program.md")}
    contents["lab.toml"] = settings.default_lab_toml(profile, tag).encode()
    contents["policy.yaml"] = payload("policy.yaml")
    contents[".gitignore"] = IGNORED.encode()
    Workspace.init(directory, contents, "A new lab")


class Lab:
    """An opened lab. Parts that need an engine or data are made when they are asked for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.settings: Settings = settings.load(self.directory / "lab.toml")
        self.state = self.directory / STATE
        self.id = hashlib.sha256(str(self.directory).encode()).hexdigest()[:8]

    @cached_property
    def workspace(self) -> Workspace:
        """Its git side: looked at when asked for, since the verbs that read the ledger alone need no git.

        Raises:
            NotALab: no git repository with a committed train.py lies there.
        """
        return Workspace(self.directory, self.settings.tag)

    @property
    def data_dir(self) -> Path:
        return (self.directory / Path(self.settings.data.dir).expanduser()).resolve()

    @property
    def runs_dir(self) -> Path:
        return self.state / "runs"

    @property
    def control_socket(self) -> Path:
        return self.directory / Path(self.settings.control.socket).expanduser()

    def make_runs_dir(self) -> None:
        private_folder(self.state)
        self.runs_dir.mkdir(exist_ok=True)

    def read(self, name: str) -> bytes:
        """The bytes of a lab file.

        Raises:
            UserError: it is missing.
        """
        try:
            return (self.directory / name).read_bytes()
        except OSError as error:
            raise UserError(f"{self.directory / name} cannot be read: {error.strerror}") from error

    @cached_property
    def dataset(self) -> Dataset:
        return Dataset.open(self.data_dir, self.settings.profile, self.state / "data-seen.json")

    @cached_property
    def gpu(self) -> str | None:
        return hardware.choose_gpu(self.settings.sandbox.gpu)

    @cached_property
    def wall(self) -> Wall:
        """The sandbox, checked to be there.

        Raises:
            UserError: the image is missing or out of date, or no interpreter is named.
            SandboxUnavailable: no engine answers, or it has no such runtime.
        """
        from daemon.walls import open_wall  # the engine's client takes half a second, which verbs that only read save

        return open_wall(self.settings.sandbox)

    def ledger(self, *, one_thread: bool = True) -> Ledger:
        return Ledger(private_folder(self.state) / "ledger.sqlite", one_thread=one_thread, listing=self._listing)

    @cached_property
    def _listing(self) -> Listing:
        return Listing()

    @property
    def inbox(self) -> Inbox:
        return Inbox(self.state / "inbox")

    @cached_property
    def arena(self) -> Arena:
        times, wall = self.settings.time, self.wall
        cores = len(self.settings.limits().cpus)
        return Arena(
            prepare_sha256=hashlib.sha256(self.read("prepare.py")).hexdigest(),
            manifest_sha256=self.dataset.manifest_sha256,
            image_contents=wall.contents,
            device=hardware.device_name(self.gpu, cores),
            torch_version=wall.torch_version,
            train_seconds=times.train_seconds,
            clock=times.clock,
            sandbox=wall.name,
        )

    def spec(self, plan: TrialPlan) -> SandboxSpec:
        """The sandbox's spec of one trial.

        Raises:
            OurFault: a data file has changed under us.
        """
        times, manifest = self.settings.time, self.dataset.manifest
        self.dataset.check_sizes()
        self.make_runs_dir()
        free = plan.free_startup_seconds
        return SandboxSpec(
            run_id=plan.run_id,
            lab_id=self.id,
            train_py=plan.train_py,
            prepare_py=self.read("prepare.py"),
            data_dir=self.data_dir,
            runs_dir=self.runs_dir,
            image=self.settings.sandbox.image,
            profile=self.settings.profile,
            seed=plan.seed,
            seq_len=manifest.max_seq_len,
            vocab_size=manifest.vocab_size,
            audit_rows=self.settings.referee.audit_rows,
            confirm_rows=self.settings.referee.confirm_rows,
            confirm_below=plan.confirm_below,
            times=TimeRules(
                train_seconds=times.train_seconds,
                startup_seconds=times.startup_seconds,
                free_startup_seconds=times.startup_seconds if free is None else free,
                score_seconds=times.score_seconds,
                starts_at=times.clock,
            ),
            limits=self.settings.limits(),
            gpu=self.gpu,
            runtime=self.settings.sandbox.runtime or None,
        )

    def check_owner(self) -> None:
        """Raise at the first file of the lab that somebody else owns or may write.

        Raises:
            UserError: there is one; the sentence says how to mend it.
        """
        for complaint in complaints(self.directory):
            raise UserError(complaint)

    def check_ready(self) -> None:
        """What must hold before a trial starts.

        Raises:
            UserError: files that others may write, changed lab files, missing data, data and runs on two filesystems.
        """
        self.check_owner()
        if changed := self.workspace.dirty():
            names = ", ".join(changed)
            raise UserError(f"the lab has uncommitted changes in {names}; commit them or `git restore` them")
        self.make_runs_dir()
        self.dataset.check()
        if self.data_dir.stat().st_dev != self.runs_dir.stat().st_dev:
            raise UserError(
                f"the data ({self.data_dir}) and the lab ({self.directory}) lie on two filesystems, and the data is "
                "released by hard links; prepare the data inside the lab, or move the lab"
            )


def lab_or_none(directory: Path) -> Lab | None:
    """The lab of this folder; None where there is no lab.toml.

    Raises:
        UserError: there is one and it is wrong.
    """
    return Lab(directory) if os.path.lexists(directory / "lab.toml") else None
