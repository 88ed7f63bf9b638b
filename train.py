"""Train a small GPT for a fixed time and report its validation bits per byte (val_bpb, lower is better).

This is the one file of a lab that experiments change: settings, model, optimiser, training, in this order.
By hand: `python prepare.py --sample && python train.py`. Environment: AUTORESEARCH_PROFILE (cpu or gpu),
AUTORESEARCH_SEED (default 1337), AUTORESEARCH_MAX_STEPS (end after so many steps instead of by the clock, for
runs that must repeat exactly), AUTORESEARCH_ALLOW_CPU=1 (try the gpu profile without a GPU, very slowly).
"""

import gc
import math
import os
import resource
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

import prepare

STARTED = time.monotonic()
PROFILE = prepare.PROFILE

# Every setting is one assignment of a literal; its comment gives people and optimisers the range, one of
# `log low..high`, `lin low..high`, `int low..high`, `choice a b c`, then `;` and words. Only the block of the
# lab's own profile counts. Any combination within the ranges is a valid model.

# --- hyperparameters (gpu profile)
DEPTH = 8  # int 2..16; layers
WIDTH = 512  # choice 256 384 512 640 768 1024; channels of the residual stream, a multiple of HEAD_DIM
HEAD_DIM = 128  # choice 64 128; channels of one attention head
MLP_RATIO = 4  # int 2..8; hidden channels of the MLP per channel
WINDOW_PATTERN = "SSSL"  # choice "L" "SL" "SSL" "SSSL"; per layer, repeated: S half the context, L all of it
ROPE_BASE = 10000.0  # log 1000..1000000; slowest rotation, in tokens per radian
LOGIT_SOFTCAP = 15.0  # log 5..60; logits stay within ± this
TOTAL_BATCH_SIZE = 524288  # choice 131072 262144 524288 1048576; tokens per optimiser step
DEVICE_BATCH_SIZE = 128  # choice 16 32 64 128; rows per forward pass: memory, not learning
EMBEDDING_LR = 0.6  # log 0.05..3; AdamW, token and value embeddings (at width 768)
UNEMBEDDING_LR = 0.004  # log 0.0005..0.05; AdamW, output projection (at width 768)
MATRIX_LR = 0.04  # log 0.005..0.2; Muon, all matrices inside the layers
SCALAR_LR = 0.5  # log 0.05..2; AdamW, per-layer residual scalars
WEIGHT_DECAY = 0.2  # lin 0..0.5; Muon, decoupled, fades to zero with the clock
ADAM_BETA1 = 0.8  # lin 0.6..0.95; AdamW, momentum
ADAM_BETA2 = 0.95  # lin 0.9..0.999; AdamW, second moment
MUON_MOMENTUM = 0.95  # lin 0.8..0.98; Muon, momentum
WARMUP_FRACTION = 0.0  # lin 0..0.2; share of the budget over which the learning rates rise
WARMDOWN_FRACTION = 0.5  # lin 0.1..1; share of the budget over which they fall
FINAL_LR_FRACTION = 0.0  # lin 0..0.2; what is left of them at the end
# --- end of hyperparameters (gpu profile)

if PROFILE == "cpu":
    # --- hyperparameters (cpu profile)
    DEPTH = 2  # int 1..6; layers
    WIDTH = 128  # choice 64 128 192 256; channels of the residual stream, a multiple of HEAD_DIM
    HEAD_DIM = 64  # choice 32 64; channels of one attention head
    MLP_RATIO = 4  # int 2..8; hidden channels of the MLP per channel
    WINDOW_PATTERN = "L"  # choice "L" "SL"; per layer, repeated: S half the context, L all of it
    ROPE_BASE = 10000.0  # log 100..100000; slowest rotation, in tokens per radian
    LOGIT_SOFTCAP = 15.0  # log 5..60; logits stay within ± this
    TOTAL_BATCH_SIZE = 2048  # choice 512 1024 2048 4096 8192; tokens per optimiser step
    DEVICE_BATCH_SIZE = 8  # choice 2 4 8 16; rows per forward pass: memory, not learning
    EMBEDDING_LR = 0.6  # log 0.05..3; AdamW, token and value embeddings (at width 768)
    UNEMBEDDING_LR = 0.004  # log 0.0005..0.05; AdamW, output projection (at width 768)
    MATRIX_LR = 0.04  # log 0.005..0.2; Muon, all matrices inside the layers
    SCALAR_LR = 0.5  # log 0.05..2; AdamW, per-layer residual scalars
    WEIGHT_DECAY = 0.2  # lin 0..0.5; Muon, decoupled, fades to zero with the clock
    ADAM_BETA1 = 0.8  # lin 0.6..0.95; AdamW, momentum
    ADAM_BETA2 = 0.95  # lin 0.9..0.999; AdamW, second moment
    MUON_MOMENTUM = 0.95  # lin 0.8..0.98; Muon, momentum
    WARMUP_FRACTION = 0.0  # lin 0..0.2; share of the budget over which the learning rates rise
    WARMDOWN_FRACTION = 0.5  # lin 0.1..1; share of the budget over which they fall
    FINAL_LR_FRACTION = 0.0  # lin 0..0.2; what is left of them at the end
    # --- end of hyperparameters (cpu profile)

WARMUP_STEPS = 3  # optimiser steps on made-up tokens before the clock starts, undone afterwards
GATE_CHANNELS = 32  # channels of the residual stream that steer the value-embedding gates
DIVERGED_NATS = 100.0  # a loss beyond this, or not a number, ends the run at once
# Dense bfloat16 FLOP/s from the makers' data sheets; the first name found in the device's name counts.
PEAK_FLOPS = {"B200": 2250e12, "H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12}

# ---------------------------------------------------------------------------------------------------- model


class Linear(nn.Module):
    """A matrix without bias, float32, cast for the product here: the exported graph shows what autocast hides."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight.to(x.dtype))


def rms_norm(x: Tensor) -> Tensor:
    return functional.rms_norm(x, (x.size(-1),))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE: turn the channel pairs (i, i + D/2) of x (B, T, H, D) by the angles of cos, sin (T, 1, D/2)."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


def rope_tables(seq_len: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (T, 1, D/2), computed in float32 and kept in the dtype of the activations."""
    speed = ROPE_BASE ** -(torch.arange(0, HEAD_DIM, 2, dtype=torch.float32) / HEAD_DIM)
    angle = torch.outer(torch.arange(seq_len, dtype=torch.float32), speed).unsqueeze(1)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def visible(query: Tensor, key: Tensor, window: int) -> Tensor:
    """May the query at this position see the key at that one? A window counts the query itself."""
    return (query >= key) & (query - key < window)


def window_of(layer: int, seq_len: int) -> int:
    """Tokens that a query of this layer may see. The last layer always sees the whole context."""
    letter = WINDOW_PATTERN[layer % len(WINDOW_PATTERN)]
    return {"S": seq_len // 2, "L": seq_len}[letter] if layer < DEPTH - 1 else seq_len


def has_value_embedding(layer: int) -> bool:
    """Every second layer, counted so that the last one has it."""
    return (DEPTH - 1 - layer) % 2 == 0


class Attention(nn.Module):
    """Causal attention over the whole context or a sliding window of it, with normed queries and keys."""

    def __init__(self, layer: int, seq_len: int) -> None:
        super().__init__()
        self.window = window_of(layer, seq_len)
        self.windowed = self.window < seq_len
        self.query, self.key, self.value = (Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = Linear(WIDTH, WIDTH)
        self.gate = Linear(GATE_CHANNELS, WIDTH // HEAD_DIM) if has_value_embedding(layer) else None
        self.block_mask: object | None = None  # see use_flex_attention

    def forward(self, x: Tensor, value_embedding: Tensor | None, cos: Tensor, sin: Tensor) -> Tensor:
        heads = (*x.shape[:2], WIDTH // HEAD_DIM, HEAD_DIM)
        q, k, v = self.query(x).view(heads), self.key(x).view(heads), self.value(x).view(heads)
        if self.gate is not None and value_embedding is not None:
            opening = 2 * torch.sigmoid(self.gate(x[..., :GATE_CHANNELS]))  # (B, T, H), 1 at the start
            v = v + opening.unsqueeze(-1) * value_embedding.view(heads)
        q, k = rms_norm(rotate(q, cos, sin)), rms_norm(rotate(k, cos, sin))
        y = self.attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return self.out(y.transpose(1, 2).reshape(x.shape))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The best kernel for the case, all with the same result up to rounding. q, k, v: (B, H, T, D).

        Full layers: `is_causal` lets SDPA take its flash kernel. Windowed layers in a compiled training step
        on CUDA: FlexAttention, which skips masked blocks. Otherwise, and always in the exported graph (where
        FlexAttention would be an operation of higher order): SDPA with the mask spelled out.
        """
        if not self.windowed:
            return functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        compiled = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
        if self.block_mask is not None and compiled:
            return flex_attention(q, k, v, block_mask=self.block_mask)
        position = torch.arange(q.size(2), device=q.device)
        mask = visible(position[:, None], position[None, :], self.window)
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def use_flex_attention(self, length: int, device: torch.device) -> None:
        """Prepare the block mask of a windowed layer. CUDA only: FlexAttention on the CPU cannot train."""

        def rule(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return visible(query, key, self.window)

        if self.windowed:
            self.block_mask = create_block_mask(rule, None, None, length, length, device=device)


class Layer(nn.Module):
    """Attention, then an MLP with squared ReLU; each reads the normed residual stream and adds to it."""

    def __init__(self, layer: int, seq_len: int) -> None:
        super().__init__()
        self.attention = Attention(layer, seq_len)
        self.widen = Linear(WIDTH, MLP_RATIO * WIDTH)
        self.narrow = Linear(MLP_RATIO * WIDTH, WIDTH)

    def forward(self, x: Tensor, value_embedding: Tensor | None, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(rms_norm(x), value_embedding, cos, sin)
        return x + self.narrow(functional.relu(self.widen(rms_norm(x))).square())


class GPT(nn.Module):
    """Tokens (B, T) to float32 logits (B, T, vocab_size); with targets (B, T) to their mean loss in nats."""

    def __init__(self, vocab_size: int, seq_len: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.vocab_size, self.seq_len, self.dtype = vocab_size, seq_len, dtype  # dtype of activations
        self.embedding = nn.Embedding(vocab_size, WIDTH)
        gated = [str(layer) for layer in range(DEPTH) if has_value_embedding(layer)]
        self.value_embeddings = nn.ModuleDict({layer: nn.Embedding(vocab_size, WIDTH) for layer in gated})
        self.layers = nn.ModuleList(Layer(layer, seq_len) for layer in range(DEPTH))
        self.head = Linear(WIDTH, vocab_size)
        self.stream_scale = nn.Parameter(torch.ones(DEPTH))
        self.start_scale = nn.Parameter(torch.full((DEPTH,), 0.1))
        for name, table in zip(("cos", "sin"), rope_tables(seq_len, dtype), strict=True):
            self.register_buffer(name, table, persistent=False)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Each layer starts as the identity, for its last matrices are zero, and the logits near zero."""
        bound = math.sqrt(3 / WIDTH)  # uniform with standard deviation WIDTH ** -0.5
        for name, weight in self.named_parameters():
            if name.endswith(("out.weight", "narrow.weight", "gate.weight")):
                weight.zero_()
            elif weight.dim() == 2:
                weight.uniform_(-bound, bound)
        self.embedding.weight.normal_(std=1.0)
        self.head.weight.normal_(std=0.001)

    def forward(self, tokens: Tensor, targets: Tensor | None = None) -> Tensor:
        cos, sin = self.cos[: tokens.size(1)], self.sin[: tokens.size(1)]
        x = start = rms_norm(self.embedding(tokens).to(self.dtype))
        stream_scale, start_scale = self.stream_scale.to(self.dtype), self.start_scale.to(self.dtype)
        for index, layer in enumerate(self.layers):
            x = stream_scale[index] * x + start_scale[index] * start  # the bare token again, at every layer
            value = self.value_embeddings[str(index)](tokens).to(self.dtype) if has_value_embedding(index) else None
            x = layer(x, value, cos, sin)
        logits = self.head(rms_norm(x)).float()
        logits = LOGIT_SOFTCAP * torch.tanh(logits / LOGIT_SOFTCAP)
        if targets is None:
            return logits
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def flops_per_token(self) -> float:
        """Forward and backward: 6 for each weight of a matrix, 12 for each channel of a visible key."""
        weights = sum(p.numel() for p in self.layers.parameters()) + self.head.weight.numel()
        return 6.0 * weights + 12.0 * WIDTH * sum(layer.attention.window for layer in self.layers)


# ------------------------------------------------------------------------------------------------ optimiser

# Five quintic steps that drive singular values in (0.001, 1) towards 1, each the best polynomial for the
# interval which the one before leaves (Amsel et al. 2025, "The Polar Express", arXiv 2505.16932).
POLAR_STEPS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Bring the singular values of each matrix (N, rows, columns) close to 1, keeping its singular vectors."""
    x = matrices.to(torch.bfloat16 if matrices.is_cuda else torch.float32)  # the rounding does no harm here
    tall = x.size(-2) > x.size(-1)
    x = x.mT if tall else x  # short side first: the smaller Gram matrix
    x = x / (1.02 * x.norm(dim=(-2, -1), keepdim=True) + 1e-6)  # 2 %: rounding must not push a value over 1
    for a, b, c in POLAR_STEPS:
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x


def lr_multiplier(progress: float) -> float:
    """Up, level, straight down; progress is the used share of the budget, 0 to 1."""
    if progress < WARMUP_FRACTION:
        return progress / WARMUP_FRACTION
    falling = min(1.0, (1.0 - progress) / WARMDOWN_FRACTION)
    return falling + (1.0 - falling) * FINAL_LR_FRACTION


class Optimiser:
    """Muon for the matrices inside the layers, AdamW for embeddings, output projection and scalars.

    Muon is momentum whose step is orthogonalised, so that every direction of a matrix moves alike. Matrices
    of one shape are stacked (N, rows, columns), which makes their products one batch.
    """

    def __init__(self, model: GPT) -> None:
        wider = (WIDTH / 768) ** -0.5  # AdamW's rates are quoted for width 768
        embeddings = [model.embedding.weight, *model.value_embeddings.parameters()]
        groups = [
            {"params": embeddings, "peak_lr": EMBEDDING_LR * wider},
            {"params": [model.head.weight], "peak_lr": UNEMBEDDING_LR * wider},
            {"params": [model.stream_scale], "peak_lr": SCALAR_LR * 0.01},  # compounds over the layers
            {"params": [model.start_scale], "peak_lr": SCALAR_LR, "betas": (0.96, 0.95)},
        ]
        betas = (ADAM_BETA1, ADAM_BETA2)
        self.adam = torch.optim.AdamW(groups, betas=betas, eps=1e-10, weight_decay=0.0, fused=True)
        self.stacks: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for matrix in model.layers.parameters():
            self.stacks[matrix.shape].append(matrix)
        self.averages: dict[torch.Size, Tensor] = {}
        cuda = model.head.weight.is_cuda
        self.orthogonalise = torch.compile(orthogonalise, dynamic=False) if cuda else orthogonalise

    @torch.no_grad()
    def step(self, progress: float) -> None:
        """Apply the gradients; progress is the used share of the budget."""
        for group in self.adam.param_groups:
            group["lr"] = group["peak_lr"] * lr_multiplier(progress)
        self.adam.step()
        lr, weight_decay = MATRIX_LR * lr_multiplier(progress), WEIGHT_DECAY * (1 - progress)
        for matrices in self.stacks.values():
            self.step_muon(matrices, lr, weight_decay)

    def step_muon(self, matrices: list[nn.Parameter], lr: float, weight_decay: float) -> None:
        gradients = torch.stack([matrix.grad for matrix in matrices])
        average = self.averages.setdefault(matrices[0].shape, torch.zeros_like(gradients))
        average.lerp_(gradients, 1 - MUON_MOMENTUM)
        directions = self.orthogonalise(gradients.lerp(average, MUON_MOMENTUM))  # Nesterov: look ahead
        torch._foreach_mul_(matrices, 1 - lr * weight_decay)
        size = lr * math.sqrt(max(1.0, gradients.size(1) / gradients.size(2)))  # tall matrices step wider
        torch._foreach_add_(matrices, list(directions.to(gradients.dtype).unbind()), alpha=-size)


# ------------------------------------------------------------------------------------------------- training

Batch = tuple[Tensor, Tensor]  # inputs and targets, int64 (B, T), on the device of the model


class Trainer:
    """The model, its optimiser and the loop over time."""

    def __init__(self, model: GPT, device: torch.device) -> None:
        self.model, self.device, self.optimiser = model, device, Optimiser(model)
        self.rows = min(DEVICE_BATCH_SIZE, max(1, TOTAL_BATCH_SIZE // model.seq_len))  # of one forward pass
        self.passes, rest = divmod(TOTAL_BATCH_SIZE, self.rows * model.seq_len)
        if rest:
            raise SystemExit(f"TOTAL_BATCH_SIZE must be a multiple of {self.rows} × {model.seq_len} tokens.")
        self.forward: Callable[[Tensor, Tensor], Tensor] = model
        if device.type == "cuda":  # on the CPU compiling takes longer than a whole run
            for layer in model.layers:
                layer.attention.use_flex_attention(model.seq_len, device)
            self.forward = torch.compile(model, dynamic=False)

    def step(self, progress: float, batch: Batch, batches: Iterator[Batch]) -> tuple[float, Batch]:
        """One optimiser step. Returns its mean loss in nats, and the next batch, packed meanwhile."""
        total = torch.zeros((), device=self.device)
        for _ in range(self.passes):
            loss = self.forward(*batch) / self.passes
            loss.backward()
            total += loss.detach()
            batch = next(batches)
        self.optimiser.step(progress)
        self.model.zero_grad(set_to_none=True)
        return total.item(), batch

    def warm_up(self) -> float:
        """Compile and fill caches on made-up tokens, then undo it all. Returns seconds of the last step."""
        saved = [parameter.detach().clone() for parameter in self.model.parameters()]
        source = torch.Generator().manual_seed(0)  # its own, so that the seed of the run stays untouched
        made_up = torch.randint(self.model.vocab_size, (2, self.rows, self.model.seq_len), generator=source)
        batch = (made_up[0].to(self.device), made_up[1].to(self.device))
        for _ in range(WARMUP_STEPS):
            begun = time.monotonic()
            self.step(0.5, batch, iter([batch] * self.passes))
        seconds = time.monotonic() - begun
        with torch.no_grad():
            for parameter, value in zip(self.model.parameters(), saved, strict=True):
                parameter.copy_(value)
        self.optimiser.adam.state.clear()
        self.optimiser.averages.clear()
        return seconds

    def train(self, batches: Iterator[Batch], step_seconds: float, max_steps: int) -> tuple[int, float]:
        """Train until the clock (or `max_steps`, unless 0) says stop. Returns the steps and seconds it took."""
        batch = next(batches)  # the clock starts when this returns
        budget, begun = prepare.time_left(), time.monotonic()
        recent = deque([step_seconds], maxlen=8)  # a step is begun only if the slowest of these still fits
        steps, progress, average, shown = 0, 0.0, 0.0, 0.0
        while steps < max_steps if max_steps else prepare.time_left() > max(recent):
            step_begun = time.monotonic()
            loss, batch = self.step(progress, batch, batches)
            steps, now = steps + 1, time.monotonic()
            if not loss < DIVERGED_NATS:  # not-a-number fails this too
                print(f"\nFAIL: the loss is {loss:.4g} in step {steps}")
                raise SystemExit(1)
            recent.append(now - step_begun)
            progress = steps / max_steps if max_steps else min(1.0, 1 - prepare.time_left() / budget)
            average = 0.9 * average + 0.1 * loss  # begins at 0, which the division below takes out
            if now - shown > 0.5:
                shown = now
                speed = f"{TOTAL_BATCH_SIZE / recent[-1]:,.0f} tok/s | {1000 * recent[-1]:.0f} ms/step"
                state = f"step {steps:05d} ({progress:6.1%}) | loss {average / (1 - 0.9**steps):.4f} | {speed}"
                print(f"\r{state:<80}", end="", flush=True)
        print(flush=True)
        return steps, time.monotonic() - begun


# ----------------------------------------------------------------------------------------------------- main


def pick_device() -> torch.device:
    """Raises: SystemExit(2) for the gpu profile without a GPU, unless that is asked for."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if PROFILE == "gpu" and device.type == "cpu" and os.environ.get("AUTORESEARCH_ALLOW_CPU") != "1":
        print("The gpu profile needs a CUDA device: set AUTORESEARCH_PROFILE=cpu to train here.", file=sys.stderr)
        raise SystemExit(2)
    return device


def device_figures(device: torch.device) -> tuple[float, float]:
    """Peak memory in MiB (of the GPU, else of this process) and peak FLOP/s (infinite where not known)."""
    if device.type != "cuda":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, math.inf
    name = torch.cuda.get_device_name()
    peak_flops = next((flops for known, flops in PEAK_FLOPS.items() if known in name), math.inf)
    return torch.cuda.max_memory_allocated() / 2**20, peak_flops


def main() -> None:
    seed = int(os.environ.get("AUTORESEARCH_SEED", "1337"))
    max_steps = int(os.environ.get("AUTORESEARCH_MAX_STEPS", "0"))
    device = pick_device()
    torch.manual_seed(seed)
    torch.set_float32_matmul_precision("high")
    tokenizer = prepare.Tokenizer.from_directory()
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = GPT(tokenizer.get_vocab_size(), prepare.MAX_SEQ_LEN, dtype).to(device)  # same start on any device
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{PROFILE} profile on {device.type}: {parameters / 1e6:.2f} M parameters, seed {seed}", flush=True)

    trainer = Trainer(model, device)
    step_seconds = trainer.warm_up()
    prepare.preseal(model)
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection in the middle would cost a step, and the loop makes no cycles
    loader = prepare.make_dataloader(tokenizer, trainer.rows, prepare.MAX_SEQ_LEN, "train")
    batches = ((inputs, targets) for inputs, targets, _epoch in loader)  # on the device already
    steps, seconds = trainer.train(batches, step_seconds, max_steps)
    val_bpb = prepare.evaluate_bpb(model, tokenizer, prepare.EVAL_BATCH_SIZE)

    tokens = steps * TOTAL_BATCH_SIZE
    memory_mib, peak_flops = device_figures(device)
    mfu_percent = 100 * model.flops_per_token() * tokens / seconds / peak_flops
    print(f"---\nval_bpb: {val_bpb:.6f}\ntraining_seconds: {seconds:.1f}")
    print(f"total_seconds: {time.monotonic() - STARTED:.1f}\npeak_vram_mb: {memory_mib:.1f}")
    print(f"mfu_percent: {mfu_percent:.2f}\ntotal_tokens_M: {tokens / 1e6:.3f}\nnum_steps: {steps}")
    print(f"num_params_M: {parameters / 1e6:.2f}\ndepth: {DEPTH}\nseed: {seed}")


if __name__ == "__main__":
    main()
