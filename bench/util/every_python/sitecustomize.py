"""Run by each Python that starts with this folder in PYTHONPATH: what the user's own names goes behind all the rest.

The one who starts it has moved the user's PYTHONPATH to PYTHONPATH_LAST (`own_python.every_python_installed_first`). A
`sitecustomize` of the machine's, which this one hides, is run afterwards.
"""

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

sys.path[:] = [one for one in sys.path if os.path.realpath(one) != os.path.dirname(os.path.realpath(__file__))]
sys.path += [one for one in os.environ.get("PYTHONPATH_LAST", "").split(os.pathsep) if one]

_hidden = PathFinder.find_spec("sitecustomize", sys.path)
if _hidden is not None and _hidden.loader is not None:
    _hidden.loader.exec_module(module_from_spec(_hidden))
