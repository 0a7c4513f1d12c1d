"""Find references to reverts and causes in texts that people write."""

import pytest

from etl_tasks.sources.github.text_references import incident_links, revert_signs

SHA = "8a21bd7770afa2e3a40b7050ede3bb307fbc91aa"


@pytest.mark.parametrize(
    ("title", "branch", "body", "signs"),
    [
        ("Add invoices", "feature/12", "Reverting nothing, see #4", {}),
        (
            'Revert "Add invoices"',
            "revert-12-feature/12",
            "Reverts acme/billing#12",
            {"pull": {"repository": "acme/billing", "number": 12}, "branch": 12, "title": True},
        ),
        ("Undo", "undo", "reverts #7", {"pull": {"repository": "", "number": 7}}),
        ("Undo", "revert-7", f"This reverts commit {SHA}.", {"branch": 7, "sha": SHA}),
        ("Undo", "revert-to-old", "We will not: this reverts commit never", {}),
        ('Revert "Add invoices"', "undo", "", {"title": True}),
        ("Undo", "revert-7x", "This reverts commit 8a21bd", {}),
        ("Reverts are hard", "docs", "> Reverts #9", {"pull": {"repository": "", "number": 9}}),
    ],
)
def test_it_keeps_what_says_that_a_pull_request_reverts_something(title, branch, body, signs):
    assert revert_signs(title=title, branch=branch, body=body) == signs


@pytest.mark.parametrize(
    ("body", "links"),
    [
        ("Nothing works", {}),
        ("Deployment: 1213434856", {"deployments": ["1213434856"]}),
        (f"deployment: {SHA[:7]}\r\nRoot cause: {SHA}", {"deployments": [SHA[:7]], "root_causes": [SHA]}),
        ("caused by #12, and caused by #13", {"caused_by": [12, 13]}),
        ("deployment: tomorrow", {}),
        ("deployment: 12, root cause: 8a21bd", {"deployments": ["12"]}),
    ],
)
def test_it_keeps_the_causes_that_an_issue_names(body, links):
    assert incident_links(body) == links
