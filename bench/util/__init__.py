"""What every other room rests on: errors in the user's words, storage at a URI, the machine, the user's cache.

In: folders, URIs, environment variables.
Out: bytes, facts, errors.
May import: nothing.
Libraries: pyarrow, torch.
"""
