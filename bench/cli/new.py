"""A commented study file to start from: a copy of search_spaces/template.yaml under a name of the user's own."""

import os
import re
import shlex
from pathlib import Path

from finebench.bench.study.load import SPACES
from finebench.bench.util.errors import StudyError
from finebench.bench.util.places import truly

TEMPLATE = "template"
_TASKS = re.compile(r"(?m)^tasks:\n(?:  - .*\n)+")


def write_new(path: Path, data: Path | None = None) -> Path:
    """Write the template to `path`, which gets `.yaml` where it has no suffix.

    With `data` it has one task, which is proposed for that file. Raises StudyError where the file exists or cannot be
    written.
    """
    path = path if path.suffix else path.with_suffix(".yaml")
    if not truly(path.parent.is_dir):
        raise StudyError(f"folder {str(path.parent)!r} does not exist")
    name = study_name(path.stem)
    text = template().replace(f"{TEMPLATE}.yaml", shlex.quote(str(path)))
    text = text.replace(f"name: {TEMPLATE}", f"name: {name}").replace(f"results/{TEMPLATE}", f"results/{name}")
    if data is not None:
        task = _task(data, path.parent)
        text = _TASKS.sub(lambda match: f"tasks:\n{task}\n", text, count=1)
    _write(path, text)
    return path


def write_script(path: Path, text: str) -> str:
    """Write a batch script to a new file and say what to do with it; raises StudyError as `write_new` does."""
    _write(path, text)
    path.chmod(0o755)
    return f"wrote {path}; submit it with: sbatch {shlex.quote(str(path))}"


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise StudyError(f"{str(path)!r} exists; give another path") from error
    except OSError as error:
        raise StudyError(f"{str(path)!r} cannot be written: {error.strerror}") from error


def _task(data: Path, folder: Path) -> str:
    """The lines of a task on a file, whose path is relative to the study's folder."""
    from finebench.bench.data.propose import flow, propose
    from finebench.bench.tasks import tasks

    name = study_name(data.name.partition(".")[0])
    name = name if name[0].isalnum() and name not in tasks() else f"own-{name}"
    return flow(propose(data), os.path.relpath(data.resolve(), folder.resolve()), name)


def template() -> str:
    """The template as it was installed."""
    file = SPACES / f"{TEMPLATE}.yaml"
    return file.read_text(encoding="utf-8")


def study_name(stem: str) -> str:
    """A file's stem as a study's name: what is not file-name safe becomes a dash."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem).lstrip("._-")
    return safe[:100] or "study"
