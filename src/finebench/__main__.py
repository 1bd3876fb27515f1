"""The `finebench` command, and `python -m finebench`."""

from finebench.bench.util.own_python import installed_first


def main() -> None:
    """Entry point. What the working directory or PYTHONPATH hold is searched after what is installed."""
    installed_first()
    from finebench.bench.cli.entry import main as command

    command()


if __name__ == "__main__":
    main()
