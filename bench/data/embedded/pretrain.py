"""Pretrain the embedded encoder from nothing: `python -m finebench.bench.data.embedded.pretrain`.

Masked-language modelling (Devlin et al., 2019) on the generator's text, with two light objectives on pairs of
sentences: next-sentence prediction through the pooler (is the second sentence about the same scene?), and on the last
state of [CLS] which kind of discourse marker was taken out between the two (Nie et al., 2019, "DisSent"). No label of
any task is used. Writes config.json, model.safetensors and the tokenizer to bench/data/embedded/model. Fixed seeds;
equal threads on one machine give equal weights.
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

from finebench.bench.data.embedded import MODEL_DIR
from finebench.bench.data.embedded.text import MARKERS, documents
from finebench.bench.data.embedded.vocabulary import MAX_LENGTH, save_tokenizer, vocabulary

BATCH, CHUNK = 64, 32
MASKED, MASKED_SECOND, MARKER_MASKED = 0.15, 0.3, 0.7
SCENE_WEIGHT, MARKER_WEIGHT = 0.2, 0.5
REPORT = 200
PEAK_LR, WARMUP, WEIGHT_DECAY = 2e-3, 0.04, 0.01
HEAD_DROPOUT = 0.1
RELATIONS = tuple(MARKERS)
IGNORED = -100


def config() -> BertConfig:
    """Return the encoder's shape. Dropout only before the head: on a CPU it would cost a third of every small step."""
    return BertConfig(
        vocab_size=len(vocabulary()),
        hidden_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=192,
        max_position_embeddings=MAX_LENGTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout=HEAD_DROPOUT,
    )


def batches(tokenizer: Any, seed: int) -> Iterator[dict[str, Tensor]]:
    """Yield padded batches of about equal length, with `relation` and `marker` [batch]: indices in RELATIONS.

    `relation` is -100 for single sentences, `marker` also where the marker can be read in the text.
    """
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
            relation = torch.tensor([IGNORED if d.relation is None else RELATIONS.index(d.relation) for d in group])
            marked = torch.tensor([d.marked for d in group])
            yield batch | {"relation": relation, "marker": torch.where(marked, IGNORED, relation)}


def mask(
    batch: dict[str, Tensor], never: Tensor, often: Tensor, mask_id: int, gen: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return masked ids and labels, both [batch, length]: 80 % [MASK], 10 % another token, 10 % left (BERT's recipe).

    More is masked in second sentences, where the first one tells what is missing.
    """
    ids = batch["input_ids"]
    share = torch.where(batch["token_type_ids"] == 1, MASKED_SECOND, MASKED)
    share = torch.where(often[ids], MARKER_MASKED, share)
    chosen = (torch.rand(ids.shape, generator=gen) < share) & ~never[ids]
    labels = torch.where(chosen, ids, IGNORED)
    fate = torch.rand(ids.shape, generator=gen)
    random = torch.randint(len(never), ids.shape, generator=gen)
    out = torch.where(chosen & (fate < 0.8), mask_id, ids)
    return torch.where(chosen & (fate >= 0.8) & (fate < 0.9), random, out), labels


def losses(
    model: BertForPreTraining, marker_head: torch.nn.Linear, batch: dict[str, Tensor], masked: tuple[Tensor, Tensor]
) -> list[Tensor]:
    """Return the losses of masked tokens (scored only where masked), next sentence and discourse marker."""
    ids, labels = masked
    out = model.bert(input_ids=ids, attention_mask=batch["attention_mask"], token_type_ids=batch["token_type_ids"])
    where = labels != IGNORED
    tokens = cross_entropy(model.cls.predictions(out.last_hidden_state[where]), labels[where])
    relation, marker = batch["relation"], batch["marker"]
    if (marker == IGNORED).all():
        return [tokens, torch.zeros(()), torch.zeros(())]
    unrelated = torch.where(relation == IGNORED, IGNORED, (relation == RELATIONS.index("unrelated")).long())
    scene = cross_entropy(model.cls.seq_relationship(out.pooler_output), unrelated)
    return [tokens, scene, cross_entropy(marker_head(out.last_hidden_state[:, 0]), marker)]


def rate(step: int, steps: int) -> float:
    """Return the learning-rate factor: linear warm-up, then linear decay to zero."""
    warm = max(1, int(WARMUP * steps))
    return min((step + 1) / warm, (steps - step) / max(1, steps - warm))


def special_masks(tokenizer: Any) -> tuple[Tensor, Tensor]:
    """Return two boolean vectors over the vocabulary: tokens never masked, and discourse markers."""
    never = torch.zeros(len(tokenizer), dtype=torch.bool)
    never[tokenizer.all_special_ids] = True
    often = torch.zeros_like(never)
    often[tokenizer.convert_tokens_to_ids([word for group in MARKERS.values() for word in group])] = True
    return never, often


def pretrain(steps: int, seed: int, folder: Path) -> None:
    """Train for `steps` and write the folder; prints the mean losses (tokens, scene, marker) every 200 steps."""
    torch.manual_seed(seed)
    save_tokenizer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = BertForPreTraining(config()).train()
    marker_head = torch.nn.Linear(model.config.hidden_size, len(RELATIONS))
    weights = [*model.parameters(), *marker_head.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=PEAK_LR, weight_decay=WEIGHT_DECAY, fused=True, betas=(0.9, 0.98))
    generator = torch.Generator().manual_seed(seed)
    never, often = special_masks(tokenizer)
    started, total = time.perf_counter(), torch.zeros(3)
    for step, batch in enumerate(islice(batches(tokenizer, seed), steps)):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_LR * rate(step, steps)
        parts = losses(model, marker_head, batch, mask(batch, never, often, tokenizer.mask_token_id, generator))
        optimizer.zero_grad()
        (parts[0] + SCENE_WEIGHT * parts[1] + MARKER_WEIGHT * parts[2]).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        total += torch.stack([part.detach() for part in parts])
        if (step + 1) % REPORT == 0:
            means = "  ".join(f"{value:.3f}" for value in (total / REPORT).tolist())
            print(f"step {step + 1}/{steps}  {means}  {time.perf_counter() - started:.0f} s", flush=True)
            total.zero_()
    model.eval().save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)


def main() -> None:
    """Read the options and pretrain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=MODEL_DIR)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pretrain(options.steps, options.seed, options.out)


if __name__ == "__main__":
    main()
