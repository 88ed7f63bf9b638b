"""A zoo of small language models: every construction that a researcher is likely to try."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH, SEQ, VOCAB, WIDTH, HEADS = 4, 32, 64, 32, 2


def rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x[..., : x.size(-1) // 2], x[..., x.size(-1) // 2 :]
    return torch.cat([a * cos + b * sin, b * cos - a * sin], -1)


class Attention(nn.Module):
    def __init__(self, window: int | None, flavour: str) -> None:
        super().__init__()
        self.window, self.flavour = window, flavour
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)

    def mask(self, length: int, device: torch.device) -> Tensor | None:
        if self.window is None:
            return None
        full = torch.ones(length, length, dtype=torch.bool, device=device)
        return full.tril() & full.triu(1 - self.window)

    def rotate(self, x: Tensor) -> Tensor:
        length, half = x.size(1), x.size(-1) // 2
        freq = 10000.0 ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
        angle = torch.outer(torch.arange(length, device=x.device, dtype=torch.float32), freq)
        if self.flavour == "complex":
            turn = torch.polar(torch.ones_like(angle), angle)[None, :, None]
            pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
            return torch.view_as_real(pairs * turn).flatten(3).type_as(x)
        cos, sin = angle.cos()[None, :, None].to(x.dtype), angle.sin()[None, :, None].to(x.dtype)
        return rope(x, cos, sin)

    def forward(self, x: Tensor, value: Tensor | None) -> Tensor:
        rows, length, width = x.shape
        q, k, v = self.qkv(x).view(rows, length, 3, HEADS, width // HEADS).unbind(2)
        if value is not None:
            v = v + 0.5 * value.view_as(v)
        q, k = F.rms_norm(self.rotate(q), (q.size(-1),)), F.rms_norm(self.rotate(k), (k.size(-1),))
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        mask = self.mask(length, x.device)
        if self.flavour == "manual":
            scores = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
            causal = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
            y = scores.masked_fill(~causal, float("-inf")).softmax(-1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return self.out(y.transpose(1, 2).reshape(rows, length, width))


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.relu(self.up(x)).square())


class TopKMoE(nn.Module):
    """Dense top-k routing: every expert runs, the gates pick."""

    def __init__(self, experts: int = 4) -> None:
        super().__init__()
        self.gate = nn.Linear(WIDTH, experts)
        self.up = nn.Parameter(torch.randn(experts, WIDTH, WIDTH) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = self.gate(x).softmax(-1).topk(2, dim=-1)
        every = torch.einsum("btd,edf->btef", x, self.up)
        picked = every.gather(2, chosen[..., None].expand(-1, -1, -1, x.size(-1)))
        return (picked * weights[..., None]).sum(2)


class MaskedMoE(nn.Module):
    """Sparse routing by boolean masks: the sizes depend on the data."""

    def __init__(self, experts: int = 3) -> None:
        super().__init__()
        self.gate = nn.Linear(WIDTH, experts)
        self.experts = nn.ModuleList(MLP() for _ in range(experts))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.size(-1))
        chosen = self.gate(flat).argmax(-1)
        out = torch.zeros_like(flat)
        for index, expert in enumerate(self.experts):
            (where,) = torch.where(chosen == index)
            out = out.index_add(0, where, expert(flat[where]))
        return out.view_as(x)


class BoolMaskMoE(MaskedMoE):
    """As people write it first: boolean indexing and assignment."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.size(-1))
        chosen = self.gate(flat).argmax(-1)
        out = torch.zeros_like(flat)
        for index, expert in enumerate(self.experts):
            mask = chosen == index
            out[mask] = expert(flat[mask])
        return out.view_as(x)


class CausalConv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(WIDTH, WIDTH, 4, groups=WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x.transpose(1, 2), (3, 0))).transpose(1, 2)


class RunningMean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        count = torch.arange(1, x.size(1) + 1, device=x.device)
        return x.cumsum(1) / count[None, :, None]


class Recurrent(nn.Module):
    def __init__(self, kind: type = nn.GRU) -> None:
        super().__init__()
        self.cell = kind(WIDTH, WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x)[0]


class UnrolledScan(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        state, out = torch.zeros_like(x[:, 0]), []
        for step in range(x.size(1)):
            state = torch.sigmoid(self.decay) * state + x[:, step]
            out.append(state)
        return torch.stack(out, 1)


class _Squash(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.tanh(x) * 1.5

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 1.5 * (1 - torch.tanh(x) ** 2)


class CustomFunction(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _Squash.apply(x)


class GPT(nn.Module):
    """Token embedding, one or two blocks, a mixer of choice, logit softcap."""

    def __init__(self, mixer: nn.Module | None = None, *, flavour: str = "sdpa", tied: bool = False,
                 autocast: bool = False, layers: int = 2) -> None:  # fmt: skip
        super().__init__()
        self.embed, self.value = nn.Embedding(VOCAB, WIDTH), nn.Embedding(VOCAB, WIDTH)
        self.attention = nn.ModuleList(Attention(None if i % 2 else 8, flavour) for i in range(layers))
        self.mixers = nn.ModuleList(mixer if mixer is not None else MLP() for _ in range(layers))
        self.scale = nn.Parameter(torch.ones(layers))
        self.head = nn.Linear(WIDTH, VOCAB, bias=False)
        self.register_buffer("bias", torch.linspace(-0.1, 0.1, VOCAB), persistent=False)
        self.autocast = autocast
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor, targets: Tensor | None = None) -> Tensor:
        with torch.autocast(tokens.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            x, value = F.rms_norm(self.embed(tokens), (WIDTH,)), self.value(tokens)
            for index, (attention, mixer) in enumerate(zip(self.attention, self.mixers, strict=True)):
                x = x + self.scale[index] * attention(F.rms_norm(x, (WIDTH,)), value)
                x = x + mixer(F.rms_norm(x, (WIDTH,)))
            logits = self.head(F.rms_norm(x, (WIDTH,)))
        logits = 15 * torch.tanh((logits.float() + self.bias) / 15)
        if targets is None:
            return logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class CompiledInside(GPT):
    def __init__(self) -> None:
        super().__init__()
        self.mixers[0] = torch.compile(self.mixers[0], backend="eager")


class Plain(nn.Module):
    """Layer norm, learned positions, gelu, dropout, nn.MultiheadAttention-free: the older school."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.position = nn.Embedding(VOCAB, WIDTH), nn.Embedding(SEQ, WIDTH)
        self.norm, self.drop = nn.LayerNorm(WIDTH), nn.Dropout(0.1)
        self.attention, self.mlp = Attention(None, "manual"), nn.Sequential(
            nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Dropout(0.1), nn.Linear(WIDTH, WIDTH), nn.SiLU())  # fmt: skip
        self.head = nn.Linear(WIDTH, VOCAB)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.position(torch.arange(tokens.size(1), device=tokens.device))
        x = x + self.attention(self.norm(self.drop(x)), None)
        return self.head(self.norm(x + self.mlp(x))).log_softmax(-1)


def make_zoo() -> dict:
    """name -> builder; each builder returns a fresh module."""
    return {
        "gpt": lambda: GPT(),
        "tied": lambda: GPT(tied=True),
        "autocast": lambda: GPT(autocast=True),
        "bf16": lambda: GPT().to(torch.bfloat16),
        "float64": lambda: GPT().double(),
        "manual_attention": lambda: GPT(flavour="manual"),
        "complex_rope": lambda: GPT(flavour="complex"),
        "topk_moe": lambda: GPT(TopKMoE()),
        "masked_moe": lambda: GPT(MaskedMoE()),
        "bool_mask_moe": lambda: GPT(BoolMaskMoE()),
        "conv": lambda: GPT(CausalConv()),
        "cumsum": lambda: GPT(RunningMean()),
        "gru": lambda: GPT(Recurrent(nn.GRU)),
        "lstm": lambda: GPT(Recurrent(nn.LSTM)),
        "unrolled": lambda: GPT(UnrolledScan()),
        "custom_function": lambda: GPT(CustomFunction()),
        "compiled": lambda: torch.compile(GPT(), backend="eager"),
        "compiled_inside": lambda: CompiledInside(),
        "plain": lambda: Plain(),
    }
