"""The services of the demo's team: who works on each, how fast, how it is deployed, and how often that goes wrong."""

from dataclasses import dataclass

from demo.team import people, vocabulary
from demo.team.people import Person
from demo.team.vocabulary import Vocabulary

DAYS = 400  # a year and a month, so that a range of 365 days and twelve whole months have data
DAYS_OF_THE_YOUNG_SERVICE = 40


@dataclass(frozen=True, slots=True)
class Trend:
    """A value that changes evenly from `first`, at the start of the history, to `last`, at its end."""

    first: float
    last: float

    def at(self, share: float) -> float:
        """`share`: how much of the history is over, 0 to 1."""
        return self.first + (self.last - self.first) * share


def steady(value: float) -> Trend:
    return Trend(value, value)


@dataclass(frozen=True, slots=True)
class Profile:
    """How a repository is worked on. The hours are medians; a time outside office hours moves to the next working day.

    `deployed_by`: github (Deployments), workflows, releases or logs. `wait_hours`: from a merge to the deployment that carries
    it. `trouble_share`: how many of the deployments go wrong.
    """

    repository: str
    words: Vocabulary
    team: tuple[Person, ...]
    deployed_by: str
    pulls_a_week: Trend
    coding_hours: Trend
    pickup_hours: Trend
    review_hours: Trend
    wait_hours: Trend
    trouble_share: Trend
    days: int = DAYS
    has_staging: bool = False

    @property
    def name(self) -> str:
        return self.repository.partition("/")[2]


@dataclass(frozen=True, slots=True)
class TeamService:
    """A service as it is added to the pipeline. `log`: the file below the folder of logs, and its format; empty for none."""

    name: str
    repositories: tuple[Profile, ...]
    options: tuple[str, ...] = ()
    log: str = ""
    log_format: str = ""
    log_options: tuple[str, ...] = ()

    @property
    def log_source(self) -> str:
        return f"{self.name}-logs"


DEPLOY_PATTERN = r'msg="deployed (?P<sha>[0-9a-f]{7,40}) to (?P<environment>\w+): (?P<state>\w+)"'

CALL_ROUTING = TeamService(
    "call-routing",
    (
        Profile(
            "acme/call-routing",
            vocabulary.CALL_ROUTING,
            (people.ANA, people.CHIDI, people.HANA, people.KASIA, people.OLEKSANDR),
            "github",
            pulls_a_week=Trend(7, 12),
            coding_hours=Trend(22, 3),
            pickup_hours=Trend(16, 1),
            review_hours=Trend(12, 1),
            wait_hours=Trend(60, 0.7),
            trouble_share=Trend(0.26, 0.04),
        ),
    ),
    log="call-routing/app.log",
    log_format="json",
    log_options=("--strict",),
)
BILLING = TeamService(
    "billing",
    (
        Profile(
            "acme/billing",
            vocabulary.BILLING,
            (people.BJORN, people.ELIF, people.MARIANA, people.TOM),
            "github",
            pulls_a_week=steady(7),
            coding_hours=steady(9),
            pickup_hours=steady(5),
            review_hours=steady(6),
            wait_hours=steady(14),
            trouble_share=steady(0.11),
            has_staging=True,
        ),
        Profile(
            "acme/invoices",
            vocabulary.INVOICES,
            (people.BJORN, people.JP, people.MARIANA),
            "github",
            pulls_a_week=steady(3),
            coding_hours=steady(9),
            pickup_hours=steady(7),
            review_hours=steady(5),
            wait_hours=steady(20),
            trouble_share=steady(0.1),
            has_staging=True,
        ),
    ),
)
AGENT_DESKTOP = TeamService(
    "agent-desktop",
    (
        Profile(
            "acme/agent-desktop",
            vocabulary.AGENT_DESKTOP,
            (people.FRANZI, people.GIULIA, people.INIGO, people.LIWEI, people.NOOR, people.PRIYA),
            "github",
            pulls_a_week=Trend(11, 8),
            coding_hours=Trend(6, 20),
            pickup_hours=Trend(2, 20),
            review_hours=Trend(3, 16),
            wait_hours=Trend(2, 24),
            trouble_share=Trend(0.04, 0.26),
        ),
    ),
    log="agent-desktop/access.log",
    log_format="combined",
)
CRM_SYNC = TeamService(
    "crm-sync",
    (
        Profile(
            "acme/crm-sync",
            vocabulary.CRM_SYNC,
            (people.JANA, people.JP, people.OLEKSANDR),
            "workflows",
            pulls_a_week=steady(5),
            coding_hours=steady(8),
            pickup_hours=steady(7),
            review_hours=steady(5),
            wait_hours=steady(8),
            trouble_share=steady(0.14),
        ),
    ),
    options=("--deployments", "workflows", "--workflow", "(?i)^deploy to production$"),
    log="crm-sync/sync.log",
    log_format="python",
)
REPORTING = TeamService(
    "reporting",
    (
        Profile(
            "acme/reporting",
            vocabulary.REPORTING,
            (people.PRIYA, people.JANA, people.TOM),
            "releases",
            pulls_a_week=steady(4),
            coding_hours=steady(14),
            pickup_hours=steady(16),
            review_hours=steady(10),
            wait_hours=steady(150),
            trouble_share=steady(0.18),
        ),
    ),
    options=("--deployments", "releases"),
)
VOICE_BOT = TeamService(
    "voice-bot",
    (
        Profile(
            "acme/voice-bot",
            vocabulary.VOICE_BOT,
            (people.HANA, people.NOOR, people.CHIDI),
            "logs",
            pulls_a_week=steady(7),
            coding_hours=steady(7),
            pickup_hours=steady(4),
            review_hours=steady(4),
            wait_hours=steady(16),
            trouble_share=steady(0.12),
            days=DAYS_OF_THE_YOUNG_SERVICE,
        ),
    ),
    options=("--deployments", "logs"),
    log="voice-bot/bot.log",
    log_format="logfmt",
    log_options=("--deploy-pattern", DEPLOY_PATTERN),
)
TEAM = (AGENT_DESKTOP, BILLING, CALL_ROUTING, CRM_SYNC, REPORTING, VOICE_BOT)
