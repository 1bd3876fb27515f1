"""The process that bench.preflight starts: `python -m bench.preflight_child < pickled Question`."""

from bench.quick_imports import uncollected

if __name__ == "__main__":
    with uncollected():
        from bench import rehearsal
    rehearsal.main()
