"""Read the stored pull requests of services, and turn them into the inputs of the calculators."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from dora_metrics.calculators import inputs
from dora_metrics.calculators.path_filter import path_filter
from dora_metrics.derivation.fact_rows import BranchNames, links_of, rows_of
from dora_metrics.derivation.packed import Packed
from dora_metrics.models import Change, Service


def pull_requests(services: Sequence[Service], branch_names: BranchNames) -> Iterator[tuple[int, inputs.PullRequest]]:
    is_on_path = {service.pk: path_filter(service.path) for service in services}
    for service_id, repository_id, *row in rows_of(Change, services, "service_id", "repository_id", *PULL_COLUMNS, merged_at__isnull=False):
        values = dict(zip(PULL_COLUMNS, row, strict=True))
        if is_on_path[service_id](values["paths"]):
            values["base_branch"] = branch_names.get((repository_id, values["base_branch"]), values["base_branch"])
            yield repository_id, pull_request_of(values)


_LINKABLE = (
    *("number", "base_branch", "head_branch", "head_sha", "merge_sha", "created_at", "merged_at"),
    *("labels", "closes", "revert_signs", "links"),
)


def linkable_pull_requests(
    services: Sequence[Service], branch_names: BranchNames, *, with_origins: bool, with_commits: bool
) -> Mapping[int, Collection[inputs.PullRequest]]:
    """Return each repository's pull requests without what only their lead times depend on, by the repository's id.

    `with_origins`: whether pull requests may stand in for deployments. `with_commits`: whether a text names a commit. Only then it matters
    which commits each pull request has.
    """
    found: dict[int, Packed[inputs.PullRequest]] = defaultdict(lambda: Packed(_linkable_pull_request))
    is_on_path = {service.pk: path_filter(service.path) for service in services}
    has_paths, names_commit = any(service.path for service in services), False
    more = *(("url", "page_id") if with_origins else ()), *(("commits",) if with_commits else ())
    columns = *(("paths",) if has_paths else ()), *_LINKABLE, *more
    for service_id, repository_id, *row in rows_of(Change, services, "service_id", "repository_id", *columns, merged_at__isnull=False):
        if has_paths and not is_on_path[service_id](row.pop(0)):
            continue
        number, base_branch, *others, signs, links = row[: len(_LINKABLE)]
        base_branch = branch_names.get((repository_id, base_branch), base_branch)
        found[repository_id].add((number, base_branch, *others, signs, links, dict(zip(more, row[len(_LINKABLE) :], strict=True))))
        names_commit = names_commit or bool(signs.get("sha") or links.get("root_causes"))
    if names_commit and not with_commits:
        return linkable_pull_requests(services, branch_names, with_origins=with_origins, with_commits=True)
    return found


def _linkable_pull_request(
    number: int,
    base_branch: str,
    head_branch: str,
    head_sha: str,
    merge_sha: str,
    created_at: datetime,
    merged_at: datetime,
    labels: Sequence[str],
    closes: Sequence[Mapping[str, Any]],
    signs: Mapping[str, Any],
    links: Mapping[str, Any],
    more: Mapping[str, Any],
) -> inputs.PullRequest:
    return inputs.PullRequest(
        number=number,
        author="",
        author_is_bot=False,
        base_branch=base_branch,
        head_branch=head_branch,
        head_sha=head_sha,
        merge_sha=merge_sha,
        created_at=created_at,
        merged_at=merged_at,
        labels=tuple(labels),
        commit_shas=tuple([commit["sha"] for commit in more.get("commits", ())]),
        closes=_closes(closes),
        revert_signs=_signs(signs),
        links=links_of(links),
        origin=inputs.Origin(more["url"], more["page_id"]) if "url" in more else inputs.NO_ORIGIN,
    )


def _closes(issues: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, int], ...]:
    return tuple([(issue["repository"], issue["number"]) for issue in issues])


_PLAIN = "number", "author", "author_is_bot", "base_branch", "head_sha", "merge_sha", "created_at", "merged_at", "closed_at", "head_branch", "title"
_LISTS = "labels", "commits", "reviews", "draft_events", "closes", "revert_signs", "links", "paths"
PULL_COLUMNS = (*_PLAIN, *_LISTS, "url", "page_id")


def pull_request_of(values: Mapping[str, Any]) -> inputs.PullRequest:
    """Return the input of the calculators. `values`: the columns PULL_COLUMNS of a merged Change, by name."""
    return inputs.PullRequest(
        **{name: values[name] for name in _PLAIN},
        labels=tuple(values["labels"]),
        authored_at=_authored_at(values["commits"]),
        commit_shas=tuple(commit["sha"] for commit in values["commits"]),
        reviews=_reviews(values["reviews"]),
        draft_events=_draft_events(values["draft_events"]),
        closes=_closes(values["closes"]),
        revert_signs=_signs(values["revert_signs"]),
        links=links_of(values["links"]),
        origin=inputs.Origin(values["url"], values["page_id"]),
    )


TIMED_COLUMNS = "number", "author", "author_is_bot", "created_at", "merged_at", "closed_at", "commits", "reviews", "draft_events"


def timed_pull_request_of(values: Sequence[Any]) -> inputs.PullRequest:
    """Return a pull request with what its lead time is computed from. `values`: the columns TIMED_COLUMNS of a merged Change."""
    number, author, author_is_bot, created_at, merged_at, closed_at, commits, reviews, draft_events = values
    return inputs.PullRequest(
        number=number,
        author=author,
        author_is_bot=author_is_bot,
        base_branch="",
        head_sha="",
        merge_sha="",
        created_at=created_at,
        merged_at=merged_at,
        closed_at=closed_at,
        authored_at=_authored_at(commits),
        reviews=_reviews(reviews),
        draft_events=_draft_events(draft_events),
    )


def _authored_at(commits: Iterable[Mapping[str, str]]) -> tuple[datetime, ...]:
    return tuple([datetime.fromisoformat(commit["authored_at"]) for commit in commits])


def _reviews(reviews: Iterable[Mapping[str, Any]]) -> tuple[inputs.Review, ...]:
    return tuple([inputs.Review(review["login"], review["is_bot"], datetime.fromisoformat(review["submitted_at"])) for review in reviews])


def _draft_events(events: Iterable[Mapping[str, str]]) -> tuple[inputs.DraftEvent, ...]:
    return tuple([inputs.DraftEvent(event["kind"], datetime.fromisoformat(event["at"])) for event in events])


def _signs(signs: Mapping[str, Any]) -> inputs.RevertSigns:
    if not signs:
        return inputs.NO_SIGNS
    pull = signs.get("pull") or {}
    return inputs.RevertSigns(
        pull=pull.get("number"),
        pull_repository=pull.get("repository", ""),
        branch=signs.get("branch"),
        sha=signs.get("sha", ""),
        has_title=bool(signs.get("title")),
    )
