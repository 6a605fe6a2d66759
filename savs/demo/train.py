"""Trains the demo model from scratch: `python -m savs.demo.train`.

Writes the checkpoint (half precision) and the log `training.jsonl` into `savs/demo/checkpoint`. Uses a
CUDA device if there is one. The committed checkpoint took 80 minutes on two busy CPU cores with bfloat16
instructions. It was resumed once, at step 2000; a resumed run draws different scenes from an
uninterrupted one.

The loss is the cross-entropy of answer tokens only, plus a small pixel-reconstruction term whose decoder
is discarded: it keeps information in the visual tokens that no question asks about, which unseen tasks
need.
"""

import argparse
import json
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, IterableDataset
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision

from savs.demo.architecture import make_config, make_processor, make_tokenizer
from savs.demo.packing import TASKS, Packed, Packer, visible
from savs.demo.scenes import SIDE

CHECKPOINT = Path(__file__).parent / "checkpoint"
SEED = 412
STEPS = 4000
ROWS = {"picture": 44, "pair": 20, "clip": 14}  # rows per step
WARM_UP = 200  # steps
DECAY = 0.35  # last share of all steps, in which the learning rate falls to zero
MATRIX_RATE = 4e-3  # Muon, for the matrices of the transformer blocks
OTHER_RATE = 2e-3  # AdamW, for embeddings, norms, biases and the patch convolution
RECONSTRUCTION = 0.25  # weight of the pixel loss
LOG_EVERY = 100  # steps
SAVE_EVERY = 500  # steps


class Batches(IterableDataset[Packed]):
    """Draws batches ahead in a separate process."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self.tokenizer, self.seed = tokenizer, seed

    def __iter__(self) -> Iterator[Packed]:
        torch.set_num_threads(1)
        packer = Packer(self.tokenizer, ROWS, self.seed)
        while True:
            yield packer.batch()


def patches(frames: torch.Tensor) -> torch.Tensor:
    """Return float [N, 36, 1176] in the processor's order, from uint8 frames [N, 2, SIDE, SIDE, 3]."""
    n, grid = len(frames), SIDE // 28
    x = frames.float() / 127.5 - 1
    x = x.reshape(n, 2, grid, 2, 14, grid, 2, 14, 3).permute(0, 2, 5, 3, 6, 8, 1, 4, 7)
    return x.reshape(n, 4 * grid * grid, -1)


class Trainee(torch.nn.Module):
    """The model's own modules, run on all images of one size at once instead of one by one."""

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration) -> None:
        super().__init__()
        self.model = model
        width = model.config.text_config.hidden_size
        self.decode = torch.nn.Linear(width, 3 * 14 * 14)
        side = SIDE // 14
        cell = torch.arange(side * side).reshape(side // 2, 2, side // 2, 2).permute(0, 2, 1, 3)
        self.register_buffer("cells", torch.stack([cell.flatten() // side, cell.flatten() % side], -1))

    def see(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return float [N, 9, width], the visual tokens of float patches [N, 36, 1176]."""
        tower = self.model.model.visual
        n, length, _ = pixels.shape
        kernel = tower.patch_embed.proj.weight
        x = pixels @ kernel.flatten(1).T
        cos, sin = tower.rotary_pos_emb(x, self.cells)
        for block in tower.blocks:
            attention = block.attn
            qkv = attention.qkv(block.norm1(x)).reshape(n * length, 3, attention.num_heads, -1)
            q, k, v = qkv.unbind(1)
            q, k = apply_rotary_pos_emb_vision(q, k, cos.repeat(n, 1), sin.repeat(n, 1))
            q, k, v = (t.reshape(n, length, *t.shape[1:]).transpose(1, 2) for t in (q, k, v))
            y = (q @ k.mT * attention.scaling).float().softmax(-1).to(v.dtype) @ v
            x = x + attention.proj(y.transpose(1, 2).reshape(n, length, -1))
            x = x + block.mlp(block.norm2(x))
        merged: torch.Tensor = tower.merger(x.flatten(0, 1))
        return merged.reshape(n, length // 4, -1)

    def forward(
        self,
        frames: torch.Tensor,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        seen_by: torch.Tensor,
        placeholder: torch.Tensor,
        predicts: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits [R, A, 2, vocabulary] at `predicts`, and the reconstruction loss."""
        pixels = patches(frames)
        seen = self.see(pixels)
        language = self.model.model.language_model
        hidden = language.embed_tokens(tokens)
        hidden = hidden.index_put((placeholder[0], placeholder[1]), seen.flatten(0, 1).to(hidden.dtype))
        mask = torch.where(seen_by, 0.0, -1e4).to(torch.bfloat16)
        angles = language.rotary_emb(hidden, positions)
        for layer in language.layers:
            hidden = layer(hidden, attention_mask=mask, position_embeddings=angles)
        rows = torch.arange(len(tokens), device=tokens.device)[:, None]
        picked = language.norm(hidden[rows, predicts.flatten(1)])
        logits = self.model.lm_head(picked).float()
        n, grid = len(pixels), SIDE // 28
        area = frames.float().mean(1).reshape(n, grid, 14, 2, grid, 14, 2, 3).mean((3, 6)) / 127.5 - 1
        area = area.permute(0, 1, 3, 5, 2, 4).reshape(n, grid * grid, -1)
        loss = F.mse_loss(self.decode(seen).float(), area)
        return logits.reshape(*predicts.shape, -1), loss


def optimizers(trainee: Trainee) -> list[torch.optim.Optimizer]:
    """Return Muon for the blocks' matrices and AdamW for all other parameters."""
    matrices: list[torch.Tensor] = []
    others: list[torch.Tensor] = []
    for name, parameter in trainee.named_parameters():
        inside = ".blocks." in name or ".layers." in name or ".merger." in name
        (matrices if inside and parameter.ndim == 2 else others).append(parameter)
    return [
        torch.optim.Muon(
            matrices, lr=MATRIX_RATE, weight_decay=0.02, momentum=0.95, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def rate(step: int, steps: int) -> float:
    """Return the learning rate's factor: warm-up, constant, 1 - sqrt decay to zero (arXiv 2405.18392)."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    left = (steps - step) / (steps * DECAY)
    return 1.0 if left >= 1 else 1 - math.sqrt(1 - left)


def train(steps: int, out: Path, resume: Path | None = None) -> None:
    """Train for `steps` steps and save into `out` every SAVE_EVERY steps."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(SEED)
    tokenizer = make_tokenizer()
    processor = make_processor(tokenizer)
    # The backward pass of PyTorch's fused attention is many times slower on a CPU than matrix products.
    model = Qwen2_5_VLForConditionalGeneration._from_config(
        make_config(tokenizer), attn_implementation="eager"
    )
    trainee = Trainee(model).to(device).train()
    optimizer = optimizers(trainee)
    first = 0
    if resume:
        state = torch.load(resume, weights_only=True)
        first = state["step"]
        trainee.load_state_dict(state["trainee"])
        for o, saved in zip(optimizer, state["optimizer"], strict=True):
            o.load_state_dict(saved)
    # Compiling saves a third of the time on a CPU, and needs a C++ compiler.
    run = torch.compile(trainee, dynamic=False) if shutil.which("c++") else trainee
    loader = DataLoader(Batches(tokenizer, SEED + first), batch_size=None, num_workers=1, prefetch_factor=4)
    image, video = model.config.image_token_id, model.config.video_token_id
    peaks = [o.param_groups[0]["lr"] for o in optimizer]
    right, asked = torch.zeros(len(TASKS)), torch.zeros(len(TASKS))
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (out / "training.jsonl").open("a" if resume else "w") as log:
        for step, drawn in zip(range(first, steps), loader, strict=False):
            for o, peak in zip(optimizer, peaks, strict=True):
                o.param_groups[0]["lr"] = peak * rate(step, steps)
            batch = Packed(**{f.name: getattr(drawn, f.name).to(device) for f in fields(Packed)})
            with torch.autocast(device.type, torch.bfloat16):
                logits, reconstruction = run(
                    batch.frames,
                    batch.tokens,
                    batch.positions,
                    visible(batch.segments),
                    torch.stack(torch.where((batch.tokens == image) | (batch.tokens == video))),
                    batch.predicts,
                )
            answers = F.cross_entropy(logits.flatten(0, 2), batch.targets.flatten(), ignore_index=-100)
            loss = answers + RECONSTRUCTION * reconstruction
            for o in optimizer:
                o.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trainee.parameters(), 1.0)
            for o in optimizer:
                o.step()
            hit = logits[:, :, 0].argmax(-1) == batch.targets[:, :, 0]
            for task in range(len(TASKS)):
                right[task] += hit[batch.tasks == task].sum().cpu()
                asked[task] += (batch.tasks == task).sum().cpu()
            if (step + 1) % LOG_EVERY == 0 or step + 1 == steps:
                line = {
                    "step": step + 1,
                    "seconds": round(time.monotonic() - began),
                    "loss": round(answers.item(), 4),
                    "reconstruction": round(reconstruction.item(), 4),
                    **{t: round((right[i] / asked[i].clamp(min=1)).item(), 3) for i, t in enumerate(TASKS)},
                }
                print(json.dumps(line), file=log, flush=True)
                print(json.dumps(line), flush=True)
                right.zero_(), asked.zero_()
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
                save(model, processor, out)
                state = {
                    "step": step + 1,
                    "trainee": trainee.state_dict(),
                    "optimizer": [o.state_dict() for o in optimizer],
                }
                torch.save(state, out / "state.pt")


def save(model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, out: Path) -> None:
    """Write weights in half precision, config, tokenizer and processor into `out`."""
    # The language-model head is tied to the embedding, so it is not saved twice.
    weights = {n: t.half() for n, t in model.state_dict().items() if n != "lm_head.weight"}
    model.save_pretrained(out, state_dict=weights)
    processor.save_pretrained(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=CHECKPOINT)
    parser.add_argument("--resume", type=Path, help="a state.pt of an earlier run")
    arguments = parser.parse_args()
    train(arguments.steps, arguments.out, arguments.resume)
