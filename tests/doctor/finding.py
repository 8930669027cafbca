"""What an examination found, for a test to look at."""

from taquba.doctor import Check, CheckStatus, Diagnosis


def found(diagnosis: Diagnosis, name: str) -> Check:
    """The one check of that name."""
    [check] = [check for check in diagnosis.checks if check.name == name]
    return check


def worse_than_ok(diagnosis: Diagnosis) -> dict[str, str]:
    """Names of the checks that did not come out well, and how they did."""
    return {
        check.name: str(check.status)
        for check in diagnosis.checks
        if check.status is not CheckStatus.OK
    }
