"""Which modules and which of their names a train.py needs, and which lead out of it. Data, and two questions to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

BUILTINS = "builtins"
EVERYTHING: frozenset[str] = frozenset()  # of a module, but for what REFUSED names

_SYS = frozenset({"argv", "byteorder", "exit", "float_info", "getsizeof", "maxsize", "platform", "stderr", "stdout"})
_SYS |= {"version", "version_info"}

# Modules that may be imported, with the only names of them that may be used (EVERYTHING: all public ones).
ALLOWED: Mapping[str, frozenset[str]] = {
    "prepare": EVERYTHING,  # the contract rule says which names
    "torch": EVERYTHING,
    "numpy": EVERYTHING,
    "triton": EVERYTHING,
    "__future__": EVERYTHING,
    "abc": EVERYTHING,
    "bisect": EVERYTHING,
    "cmath": EVERYTHING,
    "collections": EVERYTHING,
    "collections.abc": EVERYTHING,
    "contextlib": EVERYTHING,
    "copy": EVERYTHING,
    "dataclasses": EVERYTHING,
    "datetime": EVERYTHING,
    "decimal": EVERYTHING,
    "enum": EVERYTHING,
    "fractions": EVERYTHING,
    "functools": EVERYTHING,
    "heapq": EVERYTHING,
    "itertools": EVERYTHING,
    "math": EVERYTHING,
    "numbers": EVERYTHING,
    "operator": EVERYTHING,
    "pprint": EVERYTHING,
    "queue": EVERYTHING,
    "random": EVERYTHING,
    "re": EVERYTHING,
    "statistics": EVERYTHING,
    "textwrap": EVERYTHING,
    "time": EVERYTHING,
    "typing": EVERYTHING,
    "typing_extensions": EVERYTHING,
    "argparse": frozenset({"ArgumentParser", "Namespace"}),
    # Threads may fetch the next batch: they end with the container, and the clock is the host's. strict.yaml has none.
    "concurrent": frozenset({"futures"}),
    "concurrent.futures": frozenset({"Future", "ThreadPoolExecutor", "as_completed", "wait"}),
    "threading": frozenset(
        {"Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore", "Thread", "current_thread"}
    ),
    # A collection in the middle of a step costs time, so training loops switch it. Nothing that hands out objects.
    "gc": frozenset({"collect", "disable", "enable", "freeze", "isenabled", "set_threshold", "unfreeze"}),
    "inspect": frozenset({"Parameter", "Signature", "signature"}),
    "json": frozenset({"dumps", "loads"}),
    "logging": frozenset({"CRITICAL", "DEBUG", "ERROR", "INFO", "WARNING", "basicConfig", "getLogger"}),
    "os": frozenset({"cpu_count", "environ", "getenv", "getpid", "path", "sched_getaffinity"}),
    "os.path": frozenset({"basename", "join"}),
    "resource": frozenset({"RUSAGE_SELF", "getrusage"}),
    "string": frozenset({"Template", "ascii_letters", "ascii_lowercase", "ascii_uppercase", "digits", "punctuation"}),
    "sys": _SYS,
    "traceback": frozenset({"format_exc", "print_exc"}),
    "types": frozenset({"MappingProxyType", "SimpleNamespace"}),
    "warnings": frozenset({"catch_warnings", "filterwarnings", "simplefilter", "warn"}),
    "weakref": frozenset({"WeakKeyDictionary", "WeakSet", "WeakValueDictionary", "ref"}),
}

_NO_CODE = "write the code itself into train.py"
_NO_FILES = "the tokens come from prepare.make_dataloader, and the model leaves by prepare.evaluate_bpb"
_NO_NATIVE = "write a Triton kernel, or use the operations of torch"
_NO_PROCESSES = "keep the work in this process"
_PLAIN = "name the attribute in the code itself"
_ONE_DEVICE = "a run has one process and one device: call the optimiser and the model directly"

# Names below allowed modules (and everything below them) that are refused, with what to do instead.
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("builtins.eval", "builtins.exec", "builtins.compile", "builtins.__import__"), _NO_CODE),
    **dict.fromkeys(("builtins.__build_class__", "builtins.__loader__", "builtins.__spec__"), _NO_CODE),
    **dict.fromkeys(("builtins.globals", "builtins.locals", "builtins.vars", "builtins.__builtins__"), _PLAIN),
    **dict.fromkeys(
        ("builtins.type.__call__", "builtins.type.__new__", "builtins.type.__init__"), "write the class out"
    ),
    **dict.fromkeys(("builtins.open", "builtins.__file__", "builtins.__path__"), _NO_FILES),
    **dict.fromkeys(("builtins.input", "builtins.breakpoint", "builtins.help"), "nobody is there to answer: remove it"),
    **dict.fromkeys(("operator.attrgetter", "operator.methodcaller"), "write a lambda that names the attribute"),
    **dict.fromkeys(("typing.get_type_hints", "typing.ForwardRef", "typing.evaluate_forward_ref"), _NO_CODE),
    **dict.fromkeys(("typing_extensions.get_type_hints", "typing_extensions.evaluate_forward_ref"), _NO_CODE),
    **dict.fromkeys(("dataclasses.make_dataclass", "collections.namedtuple.__new__"), "write the class out"),
    **dict.fromkeys(("torch.load", "torch.save", "torch.serialization", "torch.package", "torch.hub"), _NO_FILES),
    **dict.fromkeys(("torch.jit.load", "torch.jit.save", "torch.export.load", "torch.export.save"), _NO_FILES),
    **dict.fromkeys(("torch.from_file", "torch.storage", "torch.onnx", "torch.nativert"), _NO_FILES),
    **dict.fromkeys(("torch.compiler.load_cache_artifacts", "torch.compiler.save_cache_artifacts"), _NO_FILES),
    **dict.fromkeys(("torch.profiler.tensorboard_trace_handler", "torch.cuda.memory"), _NO_FILES),
    **dict.fromkeys(("torch.utils.data.datapipes", "torch.utils.data.graph"), _NO_FILES),
    **dict.fromkeys(("torch.jit.CompilationUnit", "torch.jit.frontend", "torch.fx"), _NO_CODE),
    **dict.fromkeys(("torch.ops.load_library", "torch.ops.import_module", "torch.classes"), _NO_NATIVE),
    **dict.fromkeys(("torch.cuda.CUDAPluggableAllocator", "torch.cuda.change_current_allocator"), _NO_NATIVE),
    **dict.fromkeys(("triton.runtime.build", "triton.backends", "triton.tools", "triton.compiler"), _NO_NATIVE),
    **dict.fromkeys(("torch.bin", "torch.contrib", "torch.csrc", "torch.lib", "torch.share"), _NO_NATIVE),
    **dict.fromkeys(("torch._inductor.config.cpp.cxx", "torch._inductor.config.cuda.cuda_cxx"), _NO_NATIVE),
    **dict.fromkeys(("torch.multiprocessing",), _NO_PROCESSES),
    **dict.fromkeys(("torch.distributed", "torch.nn.parallel.DistributedDataParallel"), _ONE_DEVICE),
    **dict.fromkeys(("torch.testing", "torch.test", "torch.monitor"), "leave it out: it does not train"),
    **dict.fromkeys(("numpy.load", "numpy.save", "numpy.savez", "numpy.savez_compressed", "numpy.memmap"), _NO_FILES),
    **dict.fromkeys(("numpy.fromfile", "numpy.loadtxt", "numpy.savetxt", "numpy.genfromtxt"), _NO_FILES),
    **dict.fromkeys(("numpy.fromregex", "numpy.DataSource", "numpy.lib", "numpy.core", "numpy._core"), _NO_FILES),
    **dict.fromkeys(("numpy.ctypeslib", "numpy.f2py", "numpy.distutils", "numpy.testing"), _NO_NATIVE),
}
# What of these may be used all the same. torch.utils is a drawer of everything: only these parts of it.
EXCEPTIONS = frozenset({"torch.fx.wrap", "numpy.lib.stride_tricks"})
_UTILS = frozenset({"_foreach_utils", "_pytree", "_python_dispatch", "_triton", "checkpoint", "data", "deterministic"})
_UTILS |= {"dlpack", "flop_counter", "hooks", "swap_tensors", "weak"}
# Of torch's own private names only operations and the switches of its compiler.
_PRIVATE_TORCH = re.compile(
    r"_(foreach_|fused_|scaled_|grouped_mm|int_mm|weight_norm|weight_int|assert|check|softmax|log_softmax|addmm_|"
    r"dynamo$|higher_order_ops$|efficient_|flash_|native_|to_|trilinear|unique|logcumsumexp|masked_|nested_)[a-z0-9_]*$"
)
_PRIVATE_CONFIG = ("torch._inductor.config", "torch._functorch.config", "torch._logging.set_logs")

# Modules that lead out of the file wherever they are found: allowed modules import them, so they are attributes there.
DANGEROUS = frozenset(
    """
    posixsubprocess thread ast asyncio atexit bdb builtins codecs codeop commands copyreg ctypes dbm dill
    cloudpickle dis faulthandler fcntl fileinput ftplib gc glob http importlib inspect io joblib linecache mailbox
    marshal mmap multiprocessing netrc nt ntpath os pathlib pdb pickle pickletools pkg_resources pkgutil platform
    pty posix posixpath psutil pydoc requests runpy shelve shutil signal smtplib socket socketserver sqlite3 ssl
    subprocess symtable sys sysconfig tarfile telnetlib tempfile timeit tokenize traceback tracemalloc tty types
    urllib urllib3 weakref webbrowser xmlrpc zipfile zipimport
    """.split()  # noqa: SIM905 - a list to read
)
_NOT_THE_MODULE = frozenset({"torch.signal", "torch.types"})
_HELD = frozenset({"bltns", "keyword", "stdlib_re"})
_FUNCTIONS = frozenset({"copy", "random", "time"})  # names of functions as well: time.time, random.random
_ROOTS_INSIDE = {"torch": "torch", "numpy": "numpy", "np": "numpy"}  # torch.functional.torch.load is torch.load

# Attributes that are refused whatever they are asked of: roads to frames, code objects, files and native libraries.
_BY_REASON = {
    _PLAIN: """
        f_back f_builtins f_code f_globals f_locals f_trace gi_code gi_frame gi_yieldfrom ag_code ag_frame cr_code
        cr_frame cr_origin tb_frame tb_next co_code co_consts mro func_code func_globals im_func im_self
    """,
    _NO_NATIVE: """
        cpp_extension load_inline load_library load_library_permanently
    """,
    _NO_FILES: """
        from_file fromfile memmap tofile load_url _load_from_bytes load_config read_bytes read_text write_bytes
        write_text export_chrome_trace export_stacks export_memory_timeline _new_shared_filename
        _share_filename_cpu_
    """,
}
ATTRIBUTES: Mapping[str, str] = {name: instead for instead, names in _BY_REASON.items() for name in names.split()}


def canonical(path: str) -> str:
    """``torch.functional.torch.load`` as ``torch.load``: modules hold each other."""
    parts = path.split(".")
    for index in range(len(parts) - 1, 0, -1):
        if parts[index] in _ROOTS_INSIDE and not (index == 1 and parts[0] == BUILTINS):
            return ".".join([_ROOTS_INSIDE[parts[index]], *parts[index + 1 :]])
    return path


def below(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top}.")


def is_module(path: str) -> bool:
    return path in ALLOWED


def home(path: str) -> str | None:
    """The longest allowed module that the path is, or is below of."""
    parts = path.split(".")
    tops = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((top for top in tops if top in ALLOWED), None)


@lru_cache(maxsize=4096)
def objection(path: str) -> tuple[str, str] | None:
    """Why a name of an allowed module is refused, and what to do instead; None when it is not."""
    path = canonical(path)
    if any(below(path, exception) for exception in EXCEPTIONS):
        return None
    for top, instead in REFUSED.items():
        if below(path, top):
            return top.removeprefix(f"{BUILTINS}."), instead
    module = home(path)
    if module is None:
        return _objection_to_a_stranger(path)
    return _objection_to_a_member(path, module)


def _objection_to_a_stranger(path: str) -> tuple[str, str] | None:
    root = path.split(".")[0]
    return (path, "leave it out: it leads out of train.py") if root in DANGEROUS - {BUILTINS} else None


def _objection_to_a_member(path: str, module: str) -> tuple[str, str] | None:
    names = ALLOWED[module]
    rest = path[len(module) + 1 :].split(".") if path != module else []
    if rest and names and rest[0] not in names:
        return path, f"of {module} only these may be used: {', '.join(sorted(names))}"
    if _is_held_by(rest, module):
        return path, f"import {rest[0]} itself"
    for index, part in enumerate(rest):
        upto = ".".join([module, *rest[: index + 1]])
        if part.lstrip("_") in DANGEROUS and upto not in ALLOWED and upto not in _NOT_THE_MODULE and part != "_dynamo":
            return upto, f"{part.lstrip('_')} is another module, and no part of {module} that one may use"
    return _objection_to_private(path, module, rest)


def _is_held_by(rest: list[str], module: str) -> bool:
    """Is this a module that another one has imported for itself: ``queue.threading``, ``enum.bltns``?"""
    if not rest or module in ("torch", "numpy", "triton") or f"{module}.{rest[0]}" in ALLOWED:
        return False
    return rest[0] in _HELD or (rest[0] in ALLOWED and rest[0] != module and rest[0] not in _FUNCTIONS)


def _objection_to_private(path: str, module: str, rest: list[str]) -> tuple[str, str] | None:
    if module == "torch" and rest and rest[0] == "utils" and len(rest) > 1 and rest[1] not in _UTILS:
        return path, f"of torch.utils only these may be used: {', '.join(sorted(_UTILS))}"
    if not rest or not rest[0].startswith("_") or rest[0].startswith("__"):
        return None
    if module != "torch":
        return path, f"use the public names of {module}"
    if _PRIVATE_TORCH.match(rest[0]) or any(below(path, config) for config in _PRIVATE_CONFIG):
        return None
    if any(below(config, path) for config in _PRIVATE_CONFIG):
        return None  # on the way there
    return path, "use the public operations of torch"
