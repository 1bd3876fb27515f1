"""From a model's name to a pristine backbone: found, checked, loaded once, its parts named.

In: a hub id or a folder.
Out: a backbone with a head, and what is known of its architecture.
May import: util, data.embedded, data.
Libraries: torch, transformers.
"""
