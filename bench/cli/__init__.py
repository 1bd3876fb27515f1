"""The `finebench` command: what it asks, what it prints, how it exits.

In: words on a command line.
Out: text or JSON, an exit code.
May import: TODO.
"""
