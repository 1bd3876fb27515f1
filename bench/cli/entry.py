"""The command's entry: exit codes as documented, never a bare traceback for a mistake of the user's."""

import sys
from collections.abc import Callable
from typing import Any

import typer

from finebench.bench.cli.app import app
from finebench.bench.cli.exit_codes import EXIT_BAD_INPUT, EXIT_INTERRUPTED
from finebench.bench.util.errors import InputError
from finebench.bench.util.places import check_system
from finebench.bench.util.streams import hold


def main() -> None:
    """Entry point: exit codes as documented, never a bare traceback for a user's mistake."""
    hold()
    sys.exit(guarded(_checked))


def _checked() -> Any:
    """The command that was called, on a system that it runs on."""
    check_system()
    return app(standalone_mode=False)


def guarded(call: Callable[[], Any]) -> int:
    """Run a command and turn what it raises into an exit code and one readable message."""
    try:
        code = call()
        if code == EXIT_INTERRUPTED:  # Typer turns an interrupt into this code
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except InputError as error:
        typer.echo(f"finebench: {error}", err=True)
        return EXIT_BAD_INPUT
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("finebench: interrupted; run the same command again to continue", err=True)
        return EXIT_INTERRUPTED
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # Click's usage errors
            if said := _worded(error):  # none where a command without arguments has shown its help
                typer.echo(f"finebench: {said}", err=True)
            return EXIT_BAD_INPUT
        raise


def _worded(error: Any) -> str:
    """A usage error; that of a value which Pydantic refused for Typer in the words that a study's have."""
    from pydantic import ValidationError

    if not isinstance(error.__cause__, ValidationError):
        return str(error.format_message())
    from finebench.bench.study.findings import sentences

    param = error.param
    name = param.opts[0] if param.param_type_name == "option" else param.metavar or param.name
    return "\n".join(sentences(error.__cause__, name))
