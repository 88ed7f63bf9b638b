"""What a file may import: what training needs, by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from policies import modules
from policies.interface import Finding, Submission
from policies.program import Place, read
from policies.syntax import Unparsable

_STATEMENTS = (ast.Import, ast.ImportFrom)
_INSTEAD = "use torch, numpy, triton, prepare, or those parts of the standard library that need no file or process"
_NOT_IN_THE_IMAGE = frozenset(
    """
    apex bitsandbytes datasets deepspeed einops einx flash_attn flax jax lightning matplotlib mamba_ssm numba pandas
    peft scipy sklearn tensorflow tokenizers torchao torchvision tqdm transformers wandb xformers
    """.split()  # noqa: SIM905 - a list to read
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """Only modules of an allowlist, and of some of them only some names; no star, no relative import."""

    refuse: tuple[str, ...] = ()
    unsafe_allow_imports: tuple[str, ...] = ()
    unsafe_allow_names: tuple[str, ...] = ()

    SENTENCE: ClassVar[str] = (
        "Imports only what training needs: torch, numpy, triton, prepare and the harmless part of the standard library."
    )

    @property
    def name(self) -> str:
        """With the escape hatch in it when that is open, so that every verdict says so."""
        opened = ", ".join(self.unsafe_allow_imports)
        return f"imports (unsafe_allow_imports: {opened})" if opened else "imports"

    def check(self, submission: Submission) -> Sequence[Finding]:
        try:
            program = read(submission.patch)
        except Unparsable as error:
            message = f"the imports cannot be looked for: the file {error.message}"
            return [Finding(rule="imports", line=error.line, column=0, message=message, instead=error.instead)]
        return [
            finding
            for place in program.places
            if isinstance(place.node, _STATEMENTS)
            for finding in self._statement(place, place.node)
        ]

    def _statement(self, place: Place, node: ast.Import | ast.ImportFrom) -> Iterator[Finding]:
        if place.scope.kind == "class":
            yield _finding(node, "imports inside a class", "import at the top of the file")
        if isinstance(node, ast.ImportFrom) and node.level:
            yield _finding(node, "imports relative to a package, and train.py is in none", _INSTEAD)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield from self._one(alias, f"{node.module}.{alias.name}", node.module or "")
        else:
            for alias in node.names:
                yield from self._one(alias, alias.name, alias.name)

    def _one(self, alias: ast.alias, path: str, module: str) -> Iterator[Finding]:
        if alias.name == "*":
            yield _finding(alias, f"imports everything of {_short(module)}", "name what is used")
        elif any(modules.below(path, opened) for opened in self.unsafe_allow_imports + self.unsafe_allow_names):
            return
        elif any(modules.below(path, refused) for refused in self.refuse):
            yield _finding(alias, f"imports {_short(path)}, which this policy refuses", _INSTEAD)
        elif problem := _problem(path, module):
            yield _finding(alias, f"imports {_short(problem[0])}", problem[1])


def _problem(path: str, module: str) -> tuple[str, str] | None:
    """What is wrong with an import: an unknown module, or a name of a known one that is refused."""
    root = path.split(".")[0]
    if root in _NOT_IN_THE_IMAGE:
        return path, "the image does not have it: write the few lines that are needed, in torch"
    if modules.home(module) is None:
        return path, _INSTEAD
    if any(part.startswith("__") for part in path.split(".")[1:]):
        return path, "use the public names of the module"
    if modules.canonical(path) != path:
        return path, f"import {modules.canonical(path)} itself"
    return modules.objection(path)


def _finding(node: ast.stmt | ast.alias, message: str, instead: str) -> Finding:
    return Finding(rule="imports", line=node.lineno, column=node.col_offset + 1, message=message, instead=instead)


def _short(path: str) -> str:
    return path if len(path) <= 80 else f"{path[:79]}…"
