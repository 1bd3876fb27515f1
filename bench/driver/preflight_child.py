"""The process that bench.driver.preflight starts: `python -m finebench.bench.driver.preflight_child < pickled
Question`."""

from finebench.bench.util.quick_imports import uncollected

if __name__ == "__main__":
    with uncollected():
        from finebench.bench.driver import rehearsal
    rehearsal.main()
