"""The claims that a study as planned can give no verdict on, whatever its runs show, and the command that would."""

from pydantic import ValidationError

from analysis.load import Results
from analysis.settling import run_into
from bench.claim_needs import needs
from bench.errors import StudyError
from bench.study import Study
from bench.unsettled import sentence, uncosted


def no_verdict(results: Results) -> list[str]:
    """A sentence per reason; empty where every claim of the study can get a verdict."""
    if not results.study.get("claims"):
        return []
    try:
        found = needs(Study.model_validate(results.study))
    except (ValidationError, StudyError) as error:
        return [f"which claims can get a verdict is not known: study.yaml: {_first(error)}"]
    return [sentence(uncosted(need), run_into(results.uri)) for need in found]


def _first(error: ValidationError | StudyError) -> str:
    if isinstance(error, StudyError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
