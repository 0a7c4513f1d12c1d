"""Load repositories' lists from GitHub's REST API into a database with dlt, as its documentation shows. It runs in dlt's own environment.

python benchmarks/rival_dlt.py --github URL --database URL --folder DIR --repository OWNER/NAME … [--facts] [--parallel]
"""

import argparse
from collections.abc import Iterator
from typing import Any

import dlt
from dlt.destinations import sqlalchemy
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.paginators import HeaderLinkPaginator

LISTS = {
    "pulls": ("pulls", {"state": "all"}),
    "issues": ("issues", {"state": "all"}),
    "commits": ("commits", {}),
    "releases": ("releases", {}),
    "deployments": ("deployments", {}),
}
# What belongs to each record of a list: by table, the list, the field of a record that is in the path, and the path.
DETAILS = {
    "statuses": ("deployments", "id", "deployments/{}/statuses"),
    "reviews": ("pulls", "number", "pulls/{}/reviews"),
    "pull_commits": ("pulls", "number", "pulls/{}/commits"),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--github", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--dataset", required=True, help="the schema, which is a database of MariaDB, that gets the tables")
    parser.add_argument("--folder", required=True, help="where dlt keeps its state and its load packages")
    parser.add_argument("--repository", action="append", required=True)
    parser.add_argument("--facts", action="store_true", help="also what belongs to each pull request and deployment")
    parser.add_argument("--parallel", action="store_true", help="read the resources in dlt's threads instead of one after the other")
    options = parser.parse_args()
    pipeline = dlt.pipeline("rival", pipelines_dir=options.folder, destination=sqlalchemy(options.database), dataset_name=options.dataset)
    print(pipeline.run(github(options)))


def github(options: argparse.Namespace) -> Any:
    client = RESTClient(options.github, headers={"Authorization": "Bearer of-the-benchmark"}, paginator=HeaderLinkPaginator())

    def listed(path: str, settings: dict[str, str]) -> Iterator[list[dict[str, Any]]]:
        for repository in options.repository:
            for page in client.paginate(f"/repos/{repository}/{path}", params={"per_page": 100, **settings}):
                for record in page:
                    record["repository"] = repository
                yield page

    def details(page: list[dict[str, Any]], key: str, path: str) -> Any:
        for record in page:
            yield one_of(record, key, path)

    def one_of(record: dict[str, Any], key: str, path: str) -> list[dict[str, Any]]:
        address = f"/repos/{record['repository']}/{path.format(record[key])}"
        return [{**item, "of": record["id"]} for found in client.paginate(address, params={"per_page": 100}) for item in found]

    # With dlt.defer, which its documentation recommends for many requests, the details are requested in dlt's threads.
    if options.parallel:
        one_of = dlt.defer(one_of)

    @dlt.source(name="github")
    def source() -> Any:
        lists = {
            name: dlt.resource(listed, name=name, write_disposition="append", parallelized=options.parallel)(*arguments)
            for name, arguments in LISTS.items()
        }
        yield from lists.values()
        for name, (parent, key, path) in DETAILS.items() if options.facts else ():
            yield dlt.transformer(details, data_from=lists[parent], name=name, write_disposition="append")(key, path)

    return source()


if __name__ == "__main__":
    main()
