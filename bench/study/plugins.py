"""A study's plugins: files of the user's own, with methods, tasks, metrics and whatever else there is a door for.

`plugins: [./my_methods.py]` in a study file names them, from the study's folder. A stored study names them with a hash
of their text and holds no code: reading one runs nothing, and what would train asks for the file.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from finebench.bench.study.schema import StoredPlugin, Study
from finebench.bench.util.doors import Plugin, load_plugin, plugins, read_plugin
from finebench.bench.util.errors import PluginNotHere, StudyError, shown


def load_given(files: Iterable[str]) -> list[Plugin]:
    """Load plugins that the user names by path."""
    found = [read_plugin(os.path.normpath(file)) for file in files]
    for plugin in found:
        load_plugin(plugin)
    return found


def load_named(raw: Any, folder: Path, where: str) -> Any:
    """Load the plugins that a user's own study file names; returns the study with them as they are stored."""
    if not isinstance(raw, dict) or "plugins" not in raw:
        return raw
    if not isinstance(raw["plugins"], list):
        raise StudyError(
            f"{where}: plugins: a list of files is needed, e.g. [./my_methods.py], not {shown(raw['plugins'])}"
        )
    stored = []
    for one in raw["plugins"]:
        if not isinstance(one, str):
            stored.append(one)
            continue
        (plugin,) = load_given([str(folder / one)])
        stored.append({"file": Path(one).name, "hash": plugin.hash})
    return raw | {"plugins": stored}


def stored(raw: Any) -> dict[str, str]:
    """The plugins that a stored study names, as files by the hash of their text; what is no plugin is passed over."""
    given = raw.get("plugins") if isinstance(raw, Mapping) else None
    listed = [one for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []
    return {str(one.get("hash")): str(one.get("file")) for one in listed}


def missing(raw: Any) -> str | None:
    """A sentence on the plugins that a stored study names and this process has not loaded; None where there is none."""
    loaded = {plugin.hash for plugin in plugins()}
    names = [shown(file) for code, file in stored(raw).items() if code not in loaded]
    if not names:
        return None
    return (
        f"what {', '.join(names)} adds to the study is not known here (a results folder keeps no code of plugins): "
        "give each file, as it was, with --plugin FILE"
    )


def check_loaded(raw: Mapping[str, Any], where: str) -> None:
    """Raise PluginNotHere where a stored study names a plugin that this process has not loaded, and StudyError where it
    names one by path: no code is run because a stored study says so."""
    given = raw.get("plugins")
    loaded = {plugin.hash: plugin for plugin in plugins()}
    for one in given if isinstance(given, list) else ():
        if isinstance(one, str):
            raise StudyError(f"{where}: plugins: {shown(one)} is a path; only the study file that is run names one")
        try:
            stored = StoredPlugin.model_validate(one)
        except ValidationError:  # which the study's own validation says, with its place
            continue
        file, code = stored.file, stored.hash
        if code not in loaded:
            here = ", ".join(f"{plugin.file} of {plugin.hash}" for plugin in loaded.values()) or "none"
            raise PluginNotHere(
                f"{where}: plugin {shown(file)} of content {shown(code)} is not loaded (loaded: {here}). A results "
                "folder keeps no code: give the file with --plugin FILE, or run the study that names it; a file that "
                "has changed needs another results folder"
            )


def check_unchanged(study: Study) -> None:
    """Raise StudyError where a plugin of a study is no longer what this process has loaded: another text has taken its
    place since, and it is that one which would train."""
    loaded = {plugin.hash for plugin in plugins()}
    for one in study.plugins:
        if one.hash not in loaded:
            raise StudyError(f"plugin {shown(one.file)} has changed since this study was made; make it anew")


def worker_plugins(study: Study) -> tuple[Plugin, ...]:
    """What a worker needs of the plugins that this process has loaded: those of the study, no tracker's and no other
    study's."""
    named = {one.hash for one in study.plugins}
    return tuple(plugin for plugin in plugins() if plugin.hash in named)


def given_plugins(study: Any) -> list[str]:
    """The words that give a stored study's plugins to a command; the user has their files, a folder only names."""
    return [word for file in stored(study).values() for word in ("--plugin", file)]
