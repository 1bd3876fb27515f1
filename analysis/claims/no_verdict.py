"""The claims that a study as planned can give no verdict on, whatever its runs show, and the command that would."""

from pydantic import ValidationError

from finebench.analysis.claims.settling import run_into
from finebench.analysis.load.read import Results
from finebench.bench.study.claim_needs import needs
from finebench.bench.study.findings import sentences
from finebench.bench.study.schema import Study
from finebench.bench.study.unsettled import sentence, uncosted
from finebench.bench.util.errors import StudyError


def no_verdict(results: Results) -> list[str]:
    """A sentence per reason; empty where every claim of the study can get a verdict."""
    if not results.study.get("claims"):
        return []
    try:
        found = needs(Study.model_validate(results.study))
    except (ValidationError, StudyError) as error:
        return [f"which claims can get a verdict is not known: study.yaml: {_first(error)}"]
    return [sentence(uncosted(need), run_into(results.uri, results.study)) for need in found]


def _first(error: ValidationError | StudyError) -> str:
    return str(error) if isinstance(error, StudyError) else sentences(error)[0]
