"""Read YAML 1.2 that may come from a stranger: plain values only, within limits on size, nesting and aliases.

The limits are checked on the tree of nodes, where an alias is one reference, before anything is expanded: a small file
that stands for a huge one ("billion laughs", by aliases or by merge keys) costs neither time nor memory.
"""

import io
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, MaxDepthExceededError
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from finebench.bench.util.errors import StudyError

MAX_BYTES = 250_000
MAX_NODES = 50_000
MAX_DEPTH = 50
MAX_NUMBER = 400
"""Characters of a plain number: more has no double-precision value, and costs quadratic time to read."""

BUILT_IN = (ValueError, RecursionError, TypeError, AttributeError, KeyError, IndexError, OverflowError, AssertionError)
"""ruamel's pure parser lets these escape on malformed scalars (dates, numbers) and deep nesting."""


class _OverLimit(MarkedYAMLError):
    """Sound YAML, but more of it than is read."""


class _Composer(Composer):
    """Builds the tree of nodes, and checks it before anything is made of it."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self.warn_double_anchors = False

    def compose_document(self) -> Any:
        node = super().compose_document()
        if node is not None:
            _measure(node)
        return node


def parse_yaml(text: str, where: str) -> Any:
    """Parse one YAML 1.2 document of plain values; raises StudyError naming the line and what is wrong."""
    if len(text) > MAX_BYTES:
        raise StudyError(f"{where}: {len(text):,} characters; a study file has at most {MAX_BYTES:,}")
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    yaml.max_depth = MAX_DEPTH
    try:
        return yaml.load(io.StringIO(text))
    except DuplicateKeyError as error:
        raise StudyError(f"{where}, line {_line(error)}: {error.problem}") from error
    except _OverLimit as error:
        raise StudyError(f"{where}, line {_line(error)}: {error.problem}") from error
    except MaxDepthExceededError as error:
        raise StudyError(f"{where}, line {_line(error)}: nested more than {MAX_DEPTH} deep") from error
    except MarkedYAMLError as error:
        raise StudyError(f"{where}, line {_line(error)}: not valid YAML: {str(error.problem)[:300]}") from error
    except (YAMLError, *BUILT_IN) as error:
        raise StudyError(f"{where}: not valid YAML: {str(error)[:300]}") from error


def override_key(raw: Any, override: str) -> None:
    """Change one value of a parsed document, as `key.path=value` says; StudyError where it cannot be followed."""
    key, equals, text = override.partition("=")
    where = f"--set {override}"
    if not equals or not key:
        raise StudyError(f"{where}: write key.path=value, e.g. --set training.batch_size=32")
    *parents, last = key.split(".")
    node = raw
    for depth, parent in enumerate(parents):
        if not isinstance(node, dict):
            raise StudyError(f"{where}: {'.'.join(parents[:depth])} is not a mapping in the study")
        node = node.setdefault(parent, {})
    if not isinstance(node, dict):
        raise StudyError(f"{where}: {'.'.join(parents)} is not a mapping in the study")
    node[last] = parse_yaml(text, where)


def _line(error: MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1


def _measure(root: Node) -> None:
    """Check the number of values with aliases expanded (each node is looked at once), and the length of numbers."""
    sizes: dict[int, int] = {}
    unfinished: set[int] = set()

    def refuse(node: Node, problem: str) -> None:
        raise _OverLimit(None, None, problem, node.start_mark)

    def size(node: Node) -> int:
        key = id(node)
        if key in unfinished:
            refuse(node, "an alias stands inside what it names")
        if key in sizes:
            return sizes[key]
        unfinished.add(key)
        found = 1 + sum(size(child) for child in _children(node))
        unfinished.discard(key)
        if found > MAX_NODES:
            refuse(node, f"more than {MAX_NODES:,} values once aliases are expanded")
        if isinstance(node, ScalarNode) and not str(node.tag).endswith(":str") and len(node.value) > MAX_NUMBER:
            refuse(node, f"a number of {len(node.value):,} characters; at most {MAX_NUMBER} are read")
        sizes[key] = found
        return found

    size(root)


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []
