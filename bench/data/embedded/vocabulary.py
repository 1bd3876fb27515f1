"""The encoder's own WordPiece vocabulary: every word the generator writes, and pieces for all other text.

Whole words come from the lexicon; single characters, their continuations and frequent English pieces let any lower-case
ASCII word be spelt, so that a user's own sentences are read without [UNK] as well.
"""

import json
import string
from pathlib import Path

from finebench.bench.data.embedded.words import all_words

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PIECES = """
s es ed d ing er ers est ly y al an ar at ation en ent ic ion is it le ment ness on or
ous re th tion ty un
"""
MAX_LENGTH = 64


def vocabulary() -> list[str]:
    """Return all tokens; a token's position is its id."""
    characters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    tokens = dict.fromkeys(SPECIAL)
    tokens.update(dict.fromkeys(characters))
    tokens.update(dict.fromkeys(f"##{c}" for c in string.ascii_lowercase + string.digits))
    tokens.update(dict.fromkeys(f"##{piece}" for piece in PIECES.split()))
    tokens.update(dict.fromkeys(all_words()))
    return list(tokens)


def save_tokenizer(folder: Path) -> None:
    """Write vocab.txt, tokenizer.json and tokenizer_config.json, as BERT's uncased tokenizer has them."""
    from transformers import BertTokenizer

    tokens = vocabulary()
    tokenizer = BertTokenizer(vocab={t: i for i, t in enumerate(tokens)}, do_lower_case=True)
    tokenizer.model_max_length = MAX_LENGTH
    tokenizer.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
