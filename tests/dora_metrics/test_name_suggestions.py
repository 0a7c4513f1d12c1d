import pytest

from dora_metrics.name_suggestions import closest, suggestion


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("biling", ["billing", "invoices"], "billing"),
        ("BILLING", ["billing"], "billing"),
        ("Prod", ["production", "prod-eu", "Production"], "prod-eu"),
        ("lead_time", ["deployment_frequency", "change_lead_time"], "change_lead_time"),
        ("nobody", ["billing"], None),
        ("", ["billing"], None),
        ("billing", [], None),
    ],
)
def test_the_most_similar_name_is_meant(name: str, known: list[str], meant: str | None) -> None:
    assert closest(name, known) == meant


def test_without_a_similar_name_the_known_ones_are_listed_and_at_most_ten() -> None:
    assert suggestion("biling", ["billing"]) == "did you mean 'billing'?"
    assert suggestion("x", ["billing", "invoices"]) == "known: billing, invoices"
    assert suggestion("x", [f"service-{number}" for number in range(12)]).endswith("service-9 and 2 more")
    assert suggestion("x", []) == "none has been added yet"
    assert suggestion("x", ["billing"], otherwise="`etl_status` lists them") == "`etl_status` lists them"
