"""Small answers worth keeping between runs, as JSON files in the user's cache folder. Losing them costs time, nothing
else.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from finebench.bench.util.places import expanded, home


def cache_folder() -> Path:
    """FINEBENCH_CACHE, else finebench's folder in XDG_CACHE_HOME (~/.cache); raises FileNotFoundError where there is
    no home folder to look in."""
    own = os.environ.get("FINEBENCH_CACHE")
    if own:
        return expanded(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or home() / ".cache") / "finebench"


def cached(kind: str, key: Any) -> Any:
    """What was kept under a JSON-serialisable key, or None."""
    try:
        return json.loads(_path(kind, key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def keep(kind: str, key: Any, value: Any) -> None:
    """Keep a JSON value under a key; a cache folder that cannot be written is left alone."""
    with contextlib.suppress(OSError):
        path = _path(kind, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix="_", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file)
        os.replace(temporary, path)


def _path(kind: str, key: Any) -> Path:
    text = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return cache_folder() / kind / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
