"""How the demo's services deploy: GitHub Deployments, workflow runs, releases, or lines in a log."""

import itertools
from datetime import datetime, timedelta
from typing import Protocol

from demo.team.people import DEPLOYER
from github_stand_in.worlds.facts import FACTS_A_REPOSITORY, MINUTE, SECOND, Deployment, Release, WorkflowRun
from github_stand_in.worlds.world import World

DEPLOY_WORKFLOW = ("Deploy to production", ".github/workflows/deploy-production.yml")


class Delivery(Protocol):
    """One way to deploy to production."""

    def record(self, oid: str, begin: datetime, end: datetime, *, is_success: bool) -> str:
        """Add a finished attempt to deploy a commit. Return the text by which the body of an incident may name it; "" if there is none."""
        ...

    def finish(self) -> None:
        """Do what needs to know all attempts."""
        ...


class GitHubDeployments:
    def __init__(self, world: World) -> None:
        self.world = world

    def record(self, oid: str, begin: datetime, end: datetime, *, is_success: bool, environment: str = "production") -> str:
        number = len(self.world.deploys) + 1
        statuses = [(begin + SECOND, "QUEUED"), (begin + MINUTE, "IN_PROGRESS"), (end, "SUCCESS" if is_success else "FAILURE")]
        self.world.deploys[number] = Deployment(number, begin, oid, environment, statuses, "", DEPLOYER)
        return f"deployment: {self.world.number * FACTS_A_REPOSITORY + number}"

    def finish(self) -> None:
        """Mark each success as inactive from the next success of its environment on, as GitHub does."""
        for environment in ("production", "staging"):
            ours = [one for one in self.world.deploys.values() if one.environment == environment and one.statuses[-1][1] == "SUCCESS"]
            ours.sort(key=lambda one: one.statuses[-1][0])
            for former, latter in itertools.pairwise(ours):
                former.statuses.append((latter.statuses[-1][0] + SECOND, "INACTIVE"))


class WorkflowRuns:
    def __init__(self, world: World) -> None:
        self.world = world

    def record(self, oid: str, begin: datetime, end: datetime, *, is_success: bool) -> str:
        number = len(self.world.runs) + 1
        name, path = DEPLOY_WORKFLOW
        attempts = [(begin, end, "success" if is_success else "failure")]
        self.world.runs[number] = WorkflowRun(number, begin, name, path, "main", oid, "push", attempts)
        return f"deployment: {self.world.number * FACTS_A_REPOSITORY + number}"

    def finish(self) -> None:
        pass


class Releases:
    """Versions. A failed attempt leaves no release, because only what was built is published."""

    def __init__(self, world: World) -> None:
        self.world = world

    def record(self, oid: str, begin: datetime, end: datetime, *, is_success: bool) -> str:
        if not is_success:
            return ""
        number = len(self.world.published) + 1
        tag = f"v{2 + number // 20}.{number % 20}.0"
        self.world.published[number] = Release(number, end - timedelta(minutes=2), tag, oid, end)
        return ""

    def finish(self) -> None:
        pass


class LogLines:
    """Deployments that only the service's log knows: (end, commit, whether it succeeded)."""

    def __init__(self) -> None:
        self.lines: list[tuple[datetime, str, bool]] = []

    def record(self, oid: str, begin: datetime, end: datetime, *, is_success: bool) -> str:
        self.lines.append((end, oid, is_success))
        return ""

    def finish(self) -> None:
        self.lines.sort()
