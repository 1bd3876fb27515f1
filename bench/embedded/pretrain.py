"""Pretrain the embedded encoder from nothing: `python -m bench.embedded.pretrain`.

Masked-language modelling (Devlin et al., 2019) on the generator's text, plus next-sentence prediction through the
pooler (is the second sentence about the same scene?). No label of any task is used. Writes config.json,
model.safetensors and the tokenizer to bench/embedded/model. Fixed seeds; equal threads on one machine give equal
weights.
"""

import argparse
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, BertConfig, BertForPreTraining

from bench.embedded import MODEL_DIR
from bench.embedded.text import MARKERS, documents
from bench.embedded.vocabulary import MAX_LENGTH, save_tokenizer, vocabulary

BATCH, CHUNK = 64, 32
MASKED, MARKER_MASKED = 0.2, 0.7
PEAK_LR, WARMUP, WEIGHT_DECAY = 2e-3, 0.04, 0.01
DROPOUT = 0.1
IGNORED = -100


def config() -> BertConfig:
    """Return the encoder's shape; dropout is what fine-tuning will use (pretraining sees each text once, without)."""
    return BertConfig(
        vocab_size=len(vocabulary()),
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=MAX_LENGTH,
        hidden_dropout_prob=DROPOUT,
        attention_probs_dropout_prob=DROPOUT,
    )


def batches(tokenizer: Any, seed: int) -> Iterator[dict[str, Tensor]]:
    """Yield padded batches of about equal length, with `next_sentence_label` (0 related, 1 not, -100 single)."""
    stream = documents(seed)
    order = torch.Generator().manual_seed(seed)
    while True:
        chunk = list(islice(stream, BATCH * CHUNK))
        chunk.sort(key=lambda d: len(d.first.split()) + (len(d.second.split()) + 100 if d.second else 0))
        groups = [chunk[i : i + BATCH] for i in range(0, len(chunk), BATCH)]
        for k in torch.randperm(len(groups), generator=order).tolist():
            group = groups[k]
            texts = [d.first if d.second is None else (d.first, d.second) for d in group]
            batch = dict(tokenizer(texts, padding=True, truncation=True, return_tensors="pt"))
            labels = [IGNORED if d.second is None else int(not d.related) for d in group]
            batch["next_sentence_label"] = torch.tensor(labels)
            yield batch


def mask(ids: Tensor, never: Tensor, often: Tensor, mask_id: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return masked ids and labels, both [batch, length]: 80 % [MASK], 10 % another token, 10 % left (BERT's recipe)."""
    share = torch.where(often[ids], MARKER_MASKED, MASKED)
    chosen = (torch.rand(ids.shape, generator=generator) < share) & ~never[ids]
    labels = torch.where(chosen, ids, IGNORED)
    fate = torch.rand(ids.shape, generator=generator)
    random = torch.randint(len(never), ids.shape, generator=generator)
    out = torch.where(chosen & (fate < 0.8), mask_id, ids)
    return torch.where(chosen & (fate >= 0.8) & (fate < 0.9), random, out), labels


def losses(model: BertForPreTraining, batch: dict[str, Tensor], ids: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the masked-token loss and the next-sentence loss; the vocabulary is only scored where a token is masked."""
    out = model.bert(input_ids=ids, attention_mask=batch["attention_mask"], token_type_ids=batch["token_type_ids"])
    where = labels != IGNORED
    tokens = cross_entropy(model.cls.predictions(out.last_hidden_state[where]), labels[where])
    pairs = batch["next_sentence_label"] != IGNORED
    if not pairs.any():
        return tokens, torch.zeros(())
    guess = model.cls.seq_relationship(out.pooler_output[pairs])
    return tokens, cross_entropy(guess, batch["next_sentence_label"][pairs])


def rate(step: int, steps: int) -> float:
    """Return the learning-rate factor: linear warm-up, then linear decay to zero."""
    warm = max(1, int(WARMUP * steps))
    return min((step + 1) / warm, (steps - step) / max(1, steps - warm))


def pretrain(steps: int, seed: int, folder: Path, seconds: float) -> None:
    """Train for `steps` (fewer if `seconds` would be passed: the schedule is then stretched to end in time)."""
    torch.manual_seed(seed)
    save_tokenizer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = BertForPreTraining(config())
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = 0.0
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LR, weight_decay=WEIGHT_DECAY, fused=True, betas=(0.9, 0.98))
    generator = torch.Generator().manual_seed(seed)
    never = torch.zeros(len(tokenizer), dtype=torch.bool)
    never[tokenizer.all_special_ids] = True
    often = torch.zeros_like(never)
    often[tokenizer.convert_tokens_to_ids([m for group in MARKERS.values() for m in group])] = True
    started, total = time.perf_counter(), [0.0, 0.0]
    for step, batch in enumerate(islice(batches(tokenizer, seed), steps)):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_LR * rate(step, steps)
        ids, labels = mask(batch["input_ids"], never, often, tokenizer.mask_token_id, generator)
        tokens, pairs = losses(model, batch, ids, labels)
        optimizer.zero_grad()
        (tokens + 0.2 * pairs).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total = [total[0] + float(tokens.detach()), total[1] + float(pairs.detach())]
        if (step + 1) % 200 == 0:
            spent = time.perf_counter() - started
            print(f"step {step + 1}/{steps}  mlm {total[0] / 200:.3f}  nsp {total[1] / 200:.3f}  {spent:.0f} s", flush=True)
            total = [0.0, 0.0]
    model.eval().save_pretrained(folder)


def main() -> None:
    """Read the options and pretrain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=16_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=MODEL_DIR)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pretrain(options.steps, options.seed, options.out, 0.0)


if __name__ == "__main__":
    main()
