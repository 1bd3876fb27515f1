"""Read YAML 1.2 that may come from a stranger: plain values only, within limits on size, nesting and aliases.

The limits are checked on the tree of nodes, where an alias is one reference, before anything is expanded: a small file
that stands for a huge one ("billion laughs", by aliases or by merge keys) costs neither time nor memory.
"""

import io
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from bench.errors import StudyError

MAX_BYTES = 1_000_000
MAX_NODES = 200_000
MAX_DEPTH = 50
MAX_NUMBER = 400
"""Characters of a plain number: more has no double-precision value, and costs quadratic time to read."""

BUILT_IN = (ValueError, RecursionError, TypeError, AttributeError, KeyError, IndexError, OverflowError, AssertionError)
"""ruamel's pure parser lets these escape on malformed scalars (dates, numbers) and deep nesting."""


def parse_yaml(text: str, where: str) -> Any:
    """Parse one YAML 1.2 document of plain values; raises StudyError naming the line or the limit."""
    if len(text) > MAX_BYTES:
        raise StudyError(f"{where}: {len(text):,} characters; a study file has at most {MAX_BYTES:,}")
    try:
        yaml = YAML(typ="safe", pure=True)
        node = yaml.compose(io.StringIO(text))
        if node is not None:
            _measure(node, where)
        return YAML(typ="safe", pure=True).load(io.StringIO(text))
    except DuplicateKeyError as error:
        raise StudyError(f"{where}, line {_line(error)}: {error.problem}") from error
    except MarkedYAMLError as error:
        raise StudyError(f"{where}, line {_line(error)}: not valid YAML: {str(error.problem)[:300]}") from error
    except RecursionError as error:
        raise StudyError(f"{where}: nested more than {MAX_DEPTH} deep") from error
    except (YAMLError, *BUILT_IN) as error:
        raise StudyError(f"{where}: not valid YAML: {str(error)[:300]}") from error


def _line(error: MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1


def _measure(root: Node, where: str) -> None:
    """Check depth and the number of values with aliases expanded, each node looked at once."""
    sizes: dict[int, int] = {}
    open_: set[int] = set()

    def size(node: Node, depth: int) -> int:
        key = id(node)
        line = f"{where}, line {node.start_mark.line + 1}"
        if key in open_:
            raise StudyError(f"{line}: an alias stands inside what it names")
        if depth > MAX_DEPTH:
            raise StudyError(f"{line}: nested more than {MAX_DEPTH} deep")
        if key in sizes:
            return sizes[key]
        open_.add(key)
        found = 1 + sum(size(child, depth + 1) for child in _children(node))
        open_.discard(key)
        if found > MAX_NODES:
            raise StudyError(f"{line}: more than {MAX_NODES:,} values once aliases are expanded")
        if isinstance(node, ScalarNode) and not str(node.tag).endswith(":str") and len(node.value) > MAX_NUMBER:
            raise StudyError(f"{line}: a number of {len(node.value):,} characters; at most {MAX_NUMBER} are read")
        sizes[key] = found
        return found

    size(root, 1)


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []
