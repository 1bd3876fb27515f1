"""The embedded default: a tiny pretrained encoder and three generated tasks, so that a study needs no network.

    from finebench.bench.data.embedded import MODEL_DIR, load_split
    load_split("mini-cola", "train")   # {"sentence": [...], "label": [...], "idx": [...]}

The model folder is made by `python -m finebench.bench.data.embedded.pretrain`; what it is worth is in README.md beside
this file.

In: nothing but seeds.
Out: rows in GLUE's shape, a model folder.
May import: nothing.
Libraries: scipy, sklearn, torch, transformers.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

GENERATOR_VERSION = 1
"""Version of the generated tasks: any change of their text or labels raises it."""

MODEL_DIR: Path = Path(__file__).parent / "model"
"""The encoder's folder, in the standard Hugging Face layout."""


def load_split(task: str, split: str) -> dict[str, list[Any]]:
    """Return one split of a generated task as columns in GLUE's shape.

    `task` is mini-cola (sentence, label 0/1), mini-mrpc (sentence1, sentence2, label 0/1) or mini-stsb (sentence1,
    sentence2, label 0.0-5.0); `split` is train (2,400 rows), validation (500) or test (500). Every task has an `idx`
    column. The lists are fresh copies. Raises KeyError for another task or split.
    """
    return {name: list(values) for name, values in _splits(task)[split].items()}


@lru_cache(maxsize=3)
def _splits(task: str) -> dict[str, dict[str, list[Any]]]:
    from finebench.bench.data.embedded.tasks import build

    return build(task, GENERATOR_VERSION)
