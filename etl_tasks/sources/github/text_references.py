"""Find references in the texts that people write: which change a pull request reverts, and what caused an incident.

The references are stored as facts. Which deployment or change is meant is decided later, from all facts. The rules are in
docs/metrics.md, "Revert" and "Link".

Few bodies have a reference. A pattern is searched only in bodies that contain its fixed words, which costs a fraction of a search. The words
are compared with `casefold`, because IGNORECASE takes other letters than small and capital ones, too: "ſ" matches "s".
"""

import re
from typing import Any

SHA = r"\b([0-9a-f]{7,40})\b"
REVERTS_PULL = re.compile(r"^\W{0,3}Reverts\s+([\w.-]+/[\w.-]+)?#([0-9]{1,9})\b", re.IGNORECASE | re.MULTILINE)
REVERTS_BRANCH = re.compile(r"^revert-([0-9]{1,9})(-|$)")
REVERTS_COMMIT = re.compile(r"\bThis reverts commit " + SHA, re.IGNORECASE)
REVERTS_TITLE = re.compile(r"^Revert\s+[\"“]", re.IGNORECASE)
DEPLOYMENT = re.compile(r"\bdeployment:\s*([0-9a-f]{7,40}|[0-9]{1,18})\b", re.IGNORECASE)
ROOT_CAUSE = re.compile(r"\broot cause:\s*" + SHA, re.IGNORECASE)
CAUSED_BY = re.compile(r"\bcaused by #([0-9]{1,9})\b", re.IGNORECASE)


def revert_signs(*, title: str, branch: str, body: str) -> dict[str, Any]:
    """Return the signs that a pull request reverts something; {} if there are none.

    The keys: "pull", the number of the reverted pull request and its repository ("owner/name", or "" for the same repository);
    "branch", the number in the branch's name; "sha", the reverted commit; "title", True if the title begins with "Revert" and a quotation mark.
    """
    signs: dict[str, Any] = {}
    may_revert = "reverts" in body.casefold()
    if may_revert and (found := REVERTS_PULL.search(body)):
        signs["pull"] = {"repository": found[1] or "", "number": int(found[2])}
    if found := REVERTS_BRANCH.match(branch):
        signs["branch"] = int(found[1])
    if may_revert and (found := REVERTS_COMMIT.search(body)):
        signs["sha"] = found[1].lower()
    if REVERTS_TITLE.match(title):
        signs["title"] = True
    return signs


def incident_links(body: str) -> dict[str, list[Any]]:
    """Return the causes that an issue's body names; {} if it names none.

    The keys: "deployments", ids and shas of deployments, as strings; "root_causes", shas; "caused_by", numbers of pull requests.
    """
    folded = body.casefold()
    links: dict[str, list[Any]] = {}
    if "deployment:" in folded and (deployments := DEPLOYMENT.findall(body)):
        links["deployments"] = [found.lower() for found in deployments]
    if "root cause:" in folded and (root_causes := ROOT_CAUSE.findall(body)):
        links["root_causes"] = [found.lower() for found in root_causes]
    if "caused by #" in folded and (changes := CAUSED_BY.findall(body)):
        links["caused_by"] = [int(found) for found in changes]
    return links
