"""Open a page that was written, in the user's web browser."""

import webbrowser
from pathlib import Path


def open_page(path: str) -> str | None:
    """Open a page; returns why not, where it is not on this machine or no web browser can be started."""
    if "://" in path:
        return f"--open: {path} is not on this machine; copy it here and open it"
    try:
        opened = webbrowser.open(Path(path).resolve().as_uri())
    except webbrowser.Error as error:
        return f"--open: no web browser can be started here ({error}); open {path} where there is one"
    return None if opened else f"--open: no web browser can be started here; open {path} where there is one"
