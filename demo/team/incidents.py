"""Issues of the demo's team: ordinary ones, false alarms, and incidents with what they did, who was on call, and later their cause."""

import random
from datetime import datetime

from demo.team.people import Person
from demo.team.profiles import Profile
from demo.team.vocabulary import BUGS, FALSE_ALARMS, REQUESTS, Symptom
from github_stand_in.worlds.facts import DAY, HOUR, MINUTE, Issue
from github_stand_in.worlds.world import World

SITES = ("Porto", "Brno", "Lisbon", "Monterrey", "Zaragoza", "Tromsø")
NOTICED = ("an alarm", "an agent in {site}", "the floor manager in {site}", "a customer on the phone", "the night shift in {site}")


class Tracker:
    """Writes the issues of one repository."""

    def __init__(self, world: World, profile: Profile, randomness: random.Random) -> None:
        self.world, self.profile, self.random = world, profile, randomness
        self.symptoms = list(profile.words.symptoms)
        randomness.shuffle(self.symptoms)
        self.count = 0
        self.waiting: list[int] = []  # ordinary issues that a pull request may close

    def incident(self, began: datetime, symptom: Symptom, on_call: Person, *, cause: str = "") -> Issue:
        """Add an incident. `cause`: the statement in its body that names the deployment or change; empty if nobody knows it yet."""
        site = self.random.choice(SITES)
        title = symptom.title if self.is_first_time else f"{symptom.title} ({site})"
        noticed = self.random.choice(NOTICED).format(site=site)
        body = f"Since {began:%H:%M} UTC. {symptom.impact}\n\n- Noticed by {noticed}\n- On call: {on_call.name}"
        opened = began + MINUTE * self.random.randint(2, 9)
        issue = self._open(opened, title, f"{body}\n\n{cause}".strip(), on_call.login)
        severity = self.random.choices((1, 2, 3), (2, 5, 3))[0]
        issue.labelled = [("incident", opened, None), (f"sev-{severity}", opened + MINUTE, None)]
        return issue

    def explain(self, issue: Issue, when: datetime, cause: str) -> None:
        """Add the cause to the text of a closed incident, as somebody writes it after the review of the incident."""
        text = f"{issue.body}\n\n**After the review.** {cause}\nWhat we change: an alarm that comes five minutes earlier."
        issue.edits.append((when, issue.title, text))

    def next_symptom(self) -> Symptom:
        self.count += 1
        return self.symptoms[self.count % len(self.symptoms)]

    @property
    def is_first_time(self) -> bool:
        """Whether the latest symptom has not been seen before."""
        return self.count <= len(self.symptoms)

    def ordinary(self, created: datetime) -> None:
        """Add a request or a bug. Most are closed: by a pull request, or by hand after some days."""
        is_bug = self.random.random() < 0.5
        title = self.random.choice(BUGS if is_bug else REQUESTS).format(thing=self.random.choice(self.profile.words.things))
        issue = self._open(created, title, f"Seen at the {self.random.choice(SITES)} site.", self.random.choice(self.profile.team).login)
        issue.labelled = [("bug" if is_bug else "request", created, None)]
        chance = self.random.random()
        if chance < 0.5:
            self.waiting.append(issue.number)
        elif chance < 0.85:
            issue.close(created + DAY * self.random.uniform(0.3, 30), self.random.choice(["COMPLETED", "NOT_PLANNED", "DUPLICATE"]))

    def false_alarm(self, created: datetime) -> None:
        issue = self._open(created, self.random.choice(FALSE_ALARMS), "From the alarm, without a look.", self.random.choice(self.profile.team).login)
        issue.labelled = [("incident", created, None)]
        issue.close(created + HOUR * self.random.uniform(0.3, 3), "NOT_PLANNED")

    def to_close(self) -> int:
        """Return the number of an issue that a pull request closes; mostly 0, for none."""
        return self.waiting.pop(0) if self.waiting and self.random.random() < 0.3 else 0

    def _open(self, created: datetime, title: str, body: str, login: str) -> Issue:
        number = self.world.next_number()
        issue = self.world.issue_of[number] = Issue(number, created, title, body, login)
        return issue
