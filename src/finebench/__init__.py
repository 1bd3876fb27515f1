"""finebench: which fine-tuning method, at what cost, and how sure are we?"""

from finebench.bench import __version__

__all__ = ["__version__"]
