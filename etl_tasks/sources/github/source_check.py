"""Check a source before its first night: what the token may read, which streams are empty, and what a first collection costs."""

import math
from urllib.parse import quote

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from etl_tasks.errors import FatalError, RetriableError
from etl_tasks.models import Source
from etl_tasks.sources.adapter import Check
from etl_tasks.sources.github.client import GitHub
from etl_tasks.sources.github.query_texts import query_text
from etl_tasks.sources.github.streams import STREAMS, Stream
from etl_tasks.sources.github.survey import UNEXPECTED_ANSWER, SurveyResult, describe_unexpected, survey_batch

# The cost of a page of a hundred records, by GitHub's formula. The formula also counts the lists inside each record.
POINTS_A_PAGE = {"commits": 1, "pull_requests": 5, "issues": 2, "deployments": 1, "releases": 1, "workflow_runs": 1}


def check(source: Source) -> Check:
    """Check the source with a few requests. Nothing is stored."""
    forbidden: dict[str, str] = {}
    try:
        github = GitHub(source.credential)
        while True:
            found, refusals = survey_batch(github, [source], without=frozenset(forbidden))
            if found or not (refusal := refusals[source.pk]).stream:
                break
            forbidden[refusal.stream] = refusal.sentence
    except (FatalError, RetriableError) as exc:
        return Check(can_be_read=False, sentences=[str(exc)])
    if not found:
        return Check(can_be_read=False, sentences=[refusals[source.pk].sentence])
    survey_result = found[source.pk]
    sentences, can_be_read, records, points = [_describe_repository(survey_result)], not forbidden, 0, 1
    for stream in STREAMS:
        if not stream.is_asked_for(source.service):
            sentences.append(_("%(stream)s: not asked for by the service's settings.") % {"stream": stream.name})
        elif stream.name in forbidden:
            sentences.append(f"{stream.name}: {forbidden[stream.name]}.")
        else:
            try:
                count = _count(github, stream, survey_result)
            except UNEXPECTED_ANSWER as exc:
                can_be_read = False
                sentences.append(f"{stream.name}: {describe_unexpected(exc)}.")
                continue
            except (FatalError, RetriableError) as exc:
                can_be_read = False
                values = {"stream": stream.name, "error": exc, "permission": stream.permission}
                sentences.append(_("%(stream)s: %(error)s; the token needs the permission “%(permission)s: read”.") % values)
                continue
            records += count
            points += math.ceil(count / 100) * POINTS_A_PAGE[stream.name]
            sentence = _("%(stream)s: %(count)s.") if count else _("%(stream)s: %(count)s, the stream stays empty.")
            sentences.append(sentence % {"stream": stream.name, "count": count})
    left = github.rate_limits.remaining("graphql")
    cost = ngettext(
        "A first collection reads about %(count)s records for about %(points)s points and requests; %(left)s points are left this hour.",
        "A first collection reads about %(count)s records for about %(points)s points and requests; %(left)s points are left this hour.",
        records,
    )
    sentences.append(cost % {"count": records, "points": points, "left": left})
    return Check(can_be_read=can_be_read, sentences=sentences)


def environments(source: Source) -> list[str]:
    """Return the names of the environments of the source's repository, sorted; empty if it has none or the token may not list them."""
    try:
        found = GitHub(source.credential).get(f"{settings.GITHUB_API_URL}/repos/{quote(source.repository)}/environments?per_page=100").json()
    except (FatalError, RetriableError):
        return []
    rows = found.get("environments") if isinstance(found, dict) else None
    return sorted({str(row["name"]) for row in rows or () if isinstance(row, dict) and row.get("name")})


def _describe_repository(survey_result: SurveyResult) -> str:
    repository = survey_result["repository"]
    kind = ", ".join(
        [
            _("private") if repository["is_private"] else _("public"),
            *([_("archived: it will not change any more")] if repository["is_archived"] else []),
            _("default branch %(name)s") % {"name": repository["default_branch"]}
            if repository["default_branch"]
            else _("empty: it has no commit yet"),
        ]
    )
    return _("%(repository)s can be read (%(kind)s).") % {"repository": repository["name"], "kind": kind}


def _count(github: GitHub, stream: Stream, survey_result: SurveyResult) -> int:
    """Return how many records the stream's list has."""
    repository = str(survey_result["repository"]["name"])
    if stream.rest_path:
        found = github.get(f"{settings.GITHUB_API_URL}{stream.rest_path.format(repository=quote(repository))}?per_page=1").json()
        return int(found["total_count"]) if isinstance(found, dict) and "total_count" in found else 0
    if stream.name != "commits":
        return int(survey_result["top"][stream.name]["total"])
    if not survey_result["head"]:
        return 0
    owner, _slash, name = repository.partition("/")
    variables = {"owner": owner, "name": name, "revision": survey_result["head"], "first": 1, "after": None}
    found = github.query(query_text(stream.query), variables).json()
    return int(found["data"]["repository"]["object"]["history"]["totalCount"])
