"""What research writes passes the default policy: a snippet for each thing that a rule might mistake for another."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.config import load
from policies.engine import check
from policies.interface import Submission

ROOT = Path(__file__).parents[2]
RULES = load((ROOT / "policies" / "default.yaml").read_text())
IMPORTS = """
import copy, dataclasses, functools, gc, inspect, logging, math, os, queue, random, re, sys, threading, time, warnings
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
import prepare
"""

SNIPPETS = [
    "class A(nn.Module):\n    def __init__(self):\n        super().__init__()\n    def forward(self, input): return input",  # noqa: E501
    "class A:\n    def __call__(self, x): return x\n    def __repr__(self): return self.__class__.__name__\n    __str__ = __repr__",  # noqa: E501
    "class A:\n    __slots__ = ('a',)\n    def __enter__(self): return self\n    def __exit__(self, *e): pass",
    "class A(nn.Module):\n    def __getattr__(self, name): return super().__getattr__(name)",
    "class A(torch.optim.Optimizer):\n    def __setstate__(self, state): super().__setstate__(state)",
    "class A(dict):\n    def __missing__(self, key): return dict.__getitem__(self, 0)",
    "class F(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x):\n        ctx.save_for_backward(x)\n"
    "        return x\n    @staticmethod\n    def backward(ctx, g): return g * ctx.saved_tensors[0]",
    "@dataclasses.dataclass(frozen=True)\nclass C:\n    a: int = 1\n    def __post_init__(self): object.__setattr__(self, 'a', 2)",  # noqa: E501
    "class A:\n    @property\n    def open(self): return 1\nprint(A().open)",
    "def f(input, compile=True, eval=False): return input if compile and not eval else None",
    "def f(open): return open + 1",
    "model.eval()\nmodel.train()\nmodel.compile()",
    "x = getattr(torch, 'compile', None)\nok = hasattr(functional, 'rms_norm')",
    "setattr(model, 'scale', 2.0)",
    "for f in dataclasses.fields(C): print(f.name, getattr(C(), f.name))",
    "print(', '.join(f'{f.name}={getattr(C(), f.name)}' for f in dataclasses.fields(C)))",
    "print('{:.4f} {}'.format(1.0, 'x'))\nLINE = '{:>8}'\nprint(LINE.format(3))",
    "print(f'{1.0:.3f} {model.width!r:>10}', end='', flush=True, file=sys.stderr)",
    "print('loss %.4f' % 0.1)",
    "F = torch.nn.functional\ny = F.relu(x)",
    "import torch.nn.functional as F\ny = F.silu(x)",
    "from torch.nn import functional as F, init\ninit.orthogonal_(x)",
    "optim = torch.optim.AdamW if 1 else torch.optim.SGD",
    "lib = np if 1 else torch\nprint(lib.float32)",
    "try:\n    import triton\n    import triton.language as tl\nexcept ImportError:\n    triton = None",
    "if triton is not None and torch.cuda.is_available():\n    @triton.jit\n    def k(p, n: tl.constexpr): tl.store(p, n)",  # noqa: E501
    "f = torch.compile(model, mode='max-autotune', dynamic=False)",
    "@torch.compile\ndef f(x): return x",
    "@torch.jit.script\ndef f(x: Tensor) -> Tensor: return x",
    "@torch.library.custom_op('mine::f', mutates_args=())\ndef f(x: Tensor) -> Tensor: return x.clone()",
    "torch.backends.cuda.matmul.allow_tf32 = True\ntorch.backends.cudnn.benchmark = True",
    "torch._dynamo.config.cache_size_limit = 64\ntorch._inductor.config.coordinate_descent_tuning = True",
    "import torch._inductor.config as config\nconfig.triton.unique_kernel_names = True",
    "torch._foreach_mul_(xs, 0.9)\ntorch._foreach_addcdiv_(xs, xs, xs)",
    "y = torch._scaled_mm(x, x, out_dtype=torch.bfloat16, scale_a=x, scale_b=x)",
    "with torch.autocast('cuda', dtype=torch.bfloat16), torch.no_grad(): pass",
    "with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION): pass",
    "torch.autograd.set_detect_anomaly(False)\ntorch.autograd.profiler.profile(False)",
    "from torch.utils.checkpoint import checkpoint\ny = checkpoint(model, x, use_reentrant=False)",
    "from torch.utils.data import Dataset",
    "from torch.nn.utils import clip_grad_norm_, parametrizations",
    "from torch.func import functional_call, vmap, grad",
    "from torch.optim.lr_scheduler import LambdaLR\ns = LambdaLR(o, lambda step: min(1.0, step / 10))",
    "from torch.optim.swa_utils import AveragedModel",
    "ema = copy.deepcopy(model).requires_grad_(False)",
    "ema = {name: p.detach().clone() for name, p in model.named_parameters()}",
    "model.head.weight = model.embedding.weight",
    "model.load_state_dict(model.state_dict(), strict=True)",
    "state = torch.random.get_rng_state()\nrandom.seed(0)\nnp.random.seed(0)",
    "window = torch.signal.windows.hann(8)\nt: torch.types.Device = None",
    "fused = 'fused' in inspect.signature(torch.optim.AdamW).parameters",
    "os.environ['PYTORCH_CUDA_ALLOC_CONF'] = 'expandable_segments:True'",
    "os.environ.setdefault('OMP_NUM_THREADS', '1')\nn = os.cpu_count() or len(os.sched_getaffinity(0))",
    "if os.environ.get('AUTORESEARCH_SEED'): pass\nenv = dict(os.environ)",
    "sys.stdout.flush()\nsys.exit(0) if 0 else None",
    "gc.collect(); gc.freeze(); gc.disable()",
    "warnings.filterwarnings('ignore', category=UserWarning)",
    "logging.getLogger('torch').setLevel(logging.ERROR)",
    "started = time.perf_counter(); time.sleep(0)",
    "q = queue.Queue(maxsize=2)\nthread = threading.Thread(target=q.get, daemon=True)",
    "with ThreadPoolExecutor(1) as pool: pool.submit(print)",
    "assert x.shape == (1, 2), f'{x.shape}'",
    "match step % 3:\n    case 0 | 1: pass\n    case int(n) if n > 1: pass\n    case _: pass",
    "if (n := len('abc')) > 2: print(n)",
    "a, *rest = [i * i for i in range(9) if i % 2]",
    "async def f(): return 1",
    "def g():\n    x = yield 1\n    yield from [x]",
    "schedule = {'cosine': math.cos, 'linear': lambda x: 1 - x}['cosine']",
    "ALPHABET = 'the quick brown fox jumps over the lazy dog'",
    "TOKEN_BUDGET = 524288\nkey = 'layers.0.attention.query.weight'\nBOS_TOKEN = '<|reserved_0|>'",
    "token = 'h.0.attn.c_attn.weight_q8_1'.split('.')",
    "print(torch.__version__, type(model).__name__, model.__class__.__qualname__)",
    "torch.cuda.synchronize(); print(torch.cuda.memory_allocated(), torch.cuda.get_device_properties(0))",
    "stream = torch.cuda.Stream()\nwith torch.cuda.stream(stream): pass",
    "graph = torch.cuda.CUDAGraph()",
    "x = torch.linalg.svd(x).U.trace() + torch.trace(x).select(0, 0)",
    "x.data.copy_(x); x.untyped_storage().nbytes()",
    "y = functools.partial(functional.softmax, dim=-1)",
    "if __name__ == '__main__' and __debug__: pass",
    "vocabulary, width = tokenizer.get_vocab_size(), prepare.MAX_SEQ_LEN",
    "from prepare import time_left as left\nwhile left() < 0: pass",
    "help = 'text'\nprint(help)",
    "vars = [p for p in model.parameters()]\nprint(len(vars))",
    "re.match(r'layers\\.(\\d+)', 'layers.0').group(1)",
    "x = 'naïve – ± α'  # café",
]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet[:40])
def test_it_is_allowed(snippet: str) -> None:
    patch = f"{IMPORTS}{snippet}\nprepare.evaluate_bpb(model, tokenizer, 1)\n".encode()
    assert check(Submission(patch=patch, base=b"import prepare\n"), RULES).findings == ()


def test_the_real_train_py_is_allowed() -> None:
    assert check(Submission(patch=(ROOT / "train.py").read_bytes(), base=b""), RULES).allowed


def test_there_are_enough_of_them() -> None:
    assert len(SNIPPETS) >= 40
