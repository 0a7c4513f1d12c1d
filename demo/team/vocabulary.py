"""The words of the demo's team: titles of pull requests and issues, texts of incidents, names of libraries.

A title is a pattern with one of the service's own things, for example "Validate the settings of {thing}" with "the overflow
queue". There are so many pairs that a year of work needs none of them twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

# By kind. These make sense in every service.
COMMON = {
    "feature": (
        "Make {thing} configurable for each site",
        "Add an audit entry for every change of {thing}",
        "Add an API endpoint for {thing}",
        "Translate the texts of {thing} to Portuguese and Czech",
        "Send an event after every change of {thing}",
        "Explain {thing} in the handbook",
        "Add a switch for {thing}, off by default",
    ),
    "fix": (
        "Fix a timeout in {thing} at the start of a shift",
        "Fix the time zone of {thing} for the Lisbon site",
        "Fix an exception in {thing} when a name is empty",
        "Accept names with accents in {thing}",
        "Do not lose {thing} after a restart",
    ),
    "chore": (
        "Cover {thing} with integration tests",
        "Remove the old code of {thing}",
        "Validate the settings of {thing}",
        "Document {thing}",
        "Use typed settings for {thing}",
        "Move {thing} to its own module",
        "Measure the response time of {thing}",
        "Clean up after the move of {thing}",
    ),
}
CALLS = {
    "feature": (
        "Show {thing} in the supervisor view",
        "Let supervisors switch {thing} off",
        "Limit {thing} to one site",
        "Play a tone before {thing}",
    ),
    "fix": ("Fix {thing} for callers without a number", "Fix a race in {thing} after a reconnect", "Fix {thing} when every agent is busy"),
    "chore": ("Log {thing} with the call’s id", "Load-test {thing} with 400 calls a minute", "Replay last Friday’s calls through {thing}"),
}
MONEY = {
    "feature": (
        "Add a preview to {thing}",
        "Show {thing} in the customer’s account",
        "Ask for a second approval of {thing}",
        "Export {thing} for the auditors",
    ),
    "fix": (
        "Fix rounding in {thing}",
        "Fix {thing} in the month of a contract change",
        "Do not repeat {thing} after a retry",
        "Fix {thing} for customers in Brazil",
    ),
    "chore": ("Test {thing} with last year’s invoices", "Speed up {thing} with one query instead of many", "Write {thing} in one transaction"),
}
SCREENS = {
    "feature": (
        "Make {thing} work with the keyboard alone",
        "Remember how an agent arranges {thing}",
        "Show {thing} next to the call",
        "Make {thing} readable at 200 %",
    ),
    "fix": (
        "Fix the focus in {thing} with Firefox",
        "Fix {thing} on small screens",
        "Do not reload {thing} with every call",
        "Fix the order of entries in {thing}",
    ),
    "chore": ("Rewrite {thing} with hooks", "Load {thing} only when it is opened", "Take a screenshot of {thing} in every test"),
}
SYNC = {
    "feature": ("Add a dry run to {thing}", "Show the backlog of {thing}", "Let admins pause {thing}"),
    "fix": ("Retry {thing} when the CRM is busy", "Do not repeat {thing} after a timeout", "Fix {thing} for contacts with two companies"),
    "chore": ("Speed up {thing} with batches", "Record the CRM’s answers for the tests of {thing}", "Log {thing} with the contact’s id"),
}
REPORTS = {
    "feature": ("Add a filter by team to {thing}", "Compare {thing} with the week before", "Export {thing} as a spreadsheet"),
    "fix": ("Fix totals in {thing} after a shift swap", "Do not count transfers twice in {thing}", "Fix the last hour of the day in {thing}"),
    "chore": ("Compute {thing} with DuckDB", "Compare {thing} with the old report in the tests", "Speed up {thing} with an index"),
}
REQUESTS = (
    "Supervisors ask for a filter in {thing}",
    "Hard to understand for new agents: {thing}",
    "Export {thing} as a spreadsheet",
    "Rename {thing}: agents use another word",
    "A page in the handbook about {thing}",
)
BUGS = (
    "Yesterday’s values in {thing} until a reload",
    "Slow on Monday mornings: {thing}",
    "Wrong totals in {thing} after a shift swap",
    "The focus is lost in {thing} with Firefox",
    "Umlauts are broken in {thing} when exported",
)
FALSE_ALARMS = (
    "Alarm: no calls at the Brno site (it was a public holiday)",
    "Dashboards are empty (monitoring, not us)",
    "Latency alarm during the load test",
)
BODIES = (
    "",
    "Ticket {ticket}.",
    "Ticket {ticket}. Tried on staging with the recorded calls of last Friday.",
    "As agreed with the floor managers of Porto and Brno.\n\n- [x] tests\n- [x] runbook",
    "Small step towards {ticket}; no visible change yet.",
    "Found while looking at {ticket}. Before: 1.9 s at the 95th percentile. After: 240 ms.",
)


@dataclass(frozen=True, slots=True)
class Symptom:
    """One way in which a service can fail. `mend`: the title of the hotfix that mends it."""

    title: str
    impact: str
    mend: str


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of one repository.

    `key`: how its tickets begin. `patterns`: its own patterns by kind, besides the common ones. `recent`: titles of the last weeks
    with characters that a page must show as they are.
    """

    key: str
    patterns: Mapping[str, tuple[str, ...]]
    things: tuple[str, ...]
    symptoms: tuple[Symptom, ...]
    libraries: tuple[str, ...]
    recent: tuple[str, ...] = ()


CALL_ROUTING = Vocabulary(
    key="CR",
    patterns=CALLS,
    things=(
        "the overflow queue",
        "skill-based routing",
        "the callback offer",
        "the holiday calendar",
        "the voice menu",
        "priority callers",
        "the wait-time announcement",
        "blocked numbers",
        "warm transfers",
        "the voicemail box",
        "trunk failover",
        "agent presence",
        "language selection",
        "the night service",
        "number normalisation",
        "the queue’s music",
        "conference calls",
        "the emergency announcement",
        "call recording consent",
    ),
    symptoms=(
        Symptom(
            "Calls to the queue “Ventas” ring out", "About one call in five is never offered to an agent.", "Offer calls again when an agent declines"
        ),
        Symptom(
            "Callers hear silence instead of the voice menu",
            "Callers hang up after about 20 seconds.",
            "Load the voice menu’s prompts before answering",
        ),
        Symptom("Transfers to Brno fail", "Every warm transfer to the Brno site ends with a busy tone.", "Use the site’s own trunk for transfers"),
        Symptom(
            "Agents stay “in call” after hanging up",
            "38 agents get no further calls until they log in again.",
            "Release the agent when the call leg ends",
        ),
        Symptom("Priority callers wait behind everybody else", "Contract customers wait up to 14 minutes.", "Sort the queue by priority first"),
        Symptom("The night service answers at noon", "The Lisbon site is told that it is closed.", "Compare opening hours in the site’s time zone"),
        Symptom("Callbacks are offered twice", "Customers get two calls within a minute.", "Take a callback only once"),
        Symptom("The routing service restarts every few minutes", "Calls in setup are dropped at each restart.", "Limit the presence cache"),
    ),
    libraries=("aiohttp", "pydantic", "redis", "sip-parser", "uvloop", "sentry-sdk", "prometheus-client", "ruff", "pytest", "orjson"),
    recent=(
        'Don’t read "priority" & "VIP" tags as <b>bold</b> in the wallboard',
        "Route calls of customers with 📵 in their notes to the chat team",
        "Show callers’ names right to left where needed (مرحبا، أحمد)",
    ),
)
BILLING = Vocabulary(
    key="BIL",
    patterns=MONEY,
    things=(
        "monthly statements",
        "the price list",
        "credit notes",
        "direct debits",
        "the dunning letters",
        "tax rates",
        "per-minute tariffs",
        "discounts",
        "the payment reminder",
        "refunds",
        "usage records",
        "the ledger export",
        "currency rounding",
        "contract changes",
        "the dispute form",
        "prepaid balances",
    ),
    symptoms=(
        Symptom(
            "Payments by card are declined",
            "All card payments since the deployment were declined, 212 so far.",
            "Send the merchant id of the country again",
        ),
        Symptom("Statements show a total of 0,00 €", "Customers call in; about 900 statements were sent.", "Sum usage records before discounts"),
        Symptom("The nightly rating has not finished", "Usage since midnight is not rated.", "Rate usage in smaller batches"),
        Symptom(
            "Tax is charged twice for customers in Portugal", "About 3 % of the month’s invoices.", "Apply the tax of the invoice’s date only once"
        ),
        Symptom("The price list cannot be opened", "Agents cannot quote prices.", "Accept prices without an end date"),
        Symptom("Direct debits were sent with the wrong date", "The bank refuses the whole file.", "Use bank days for the debit’s date"),
        Symptom("Refunds are stuck", "64 refunds wait for an approval that nobody can give.", "Let the team lead approve refunds again"),
    ),
    libraries=("django", "celery", "psycopg", "stripe", "weasyprint", "babel", "sentry-sdk", "ruff", "pytest", "gunicorn"),
    recent=("Print O'Brien & Søns as O'Brien & Søns, not O&#39;Brien &amp; S?ns", "Round 0,005 € up 💶 (bankers’ rounding)"),
)
INVOICES = Vocabulary(
    key="INV",
    patterns=MONEY,
    things=(
        "the PDF template",
        "invoice numbers",
        "the customer’s address block",
        "QR codes for payment",
        "the archive",
        "e-invoices",
        "cancelled invoices",
        "the mail queue",
        "attachments",
        "the cover letter",
        "page breaks",
    ),
    symptoms=(
        Symptom("Invoices are mailed without their PDF", "About 400 mails without an attachment.", "Wait for the PDF before the mail is queued"),
        Symptom("Two invoices have the same number", "The auditors’ export refuses both.", "Take invoice numbers from the sequence"),
        Symptom("PDFs have no page 2", "Long invoices lose their positions.", "Keep table rows together across pages"),
        Symptom("The mail queue grows", "11,000 mails wait, the oldest for three hours.", "Give up on an address after three refusals"),
    ),
    libraries=("weasyprint", "jinja2", "lxml", "qrcode", "boto3", "ruff", "pytest"),
)
AGENT_DESKTOP = Vocabulary(
    key="AD",
    patterns=SCREENS,
    things=(
        "the call list",
        "the customer card",
        "quick replies",
        "the softphone",
        "wrap-up codes",
        "the knowledge search",
        "screen pops",
        "break times",
        "the shift plan",
        "the supervisor chat",
        "keyboard shortcuts",
        "call notes",
        "the dark theme",
        "the login page",
        "notifications",
        "the transfer dialog",
        "headset settings",
        "the agent’s statistics",
    ),
    symptoms=(
        Symptom("Agents cannot log in", "Nobody who starts a shift now can log in; 60 agents wait.", "Accept sessions of the former version"),
        Symptom("The customer card stays empty", "Agents ask every caller for name and contract.", "Load the customer card without the new tariff"),
        Symptom(
            "The softphone loses its microphone after a transfer",
            "Callers cannot hear the agent after a transfer.",
            "Ask for the microphone once per shift",
        ),
        Symptom(
            "Call notes are saved under the wrong call",
            "Notes of the last hour must be checked by hand.",
            "Save notes with the id of the call that is shown",
        ),
        Symptom("The page freezes when a call comes in", "Agents reload the page and lose the call.", "Draw the call list only when it is visible"),
        Symptom("Wrap-up codes are missing", "Calls cannot be closed.", "Read wrap-up codes from the site, not from the team"),
        Symptom("The knowledge search answers with an error", "Agents put callers on hold for minutes.", "Limit the length of a search"),
    ),
    libraries=("react", "typescript", "vite", "@tanstack/query", "i18next", "eslint", "playwright", "sip.js", "zod", "sass"),
    recent=(
        "Escape <script>alert('hello')</script> typed into call notes",
        "Handle names such as Robert'); DROP TABLE agents;-- in the knowledge search",
        "Emoji in quick replies 👩🏽‍💻🇲🇽 break the column width",
        "Right-to-left names (שלום, نور الحداد) in the customer card",
    ),
)
CRM_SYNC = Vocabulary(
    key="CRM",
    patterns=SYNC,
    things=(
        "contact merges",
        "the change feed",
        "consent flags",
        "duplicate detection",
        "the nightly full sync",
        "address checks",
        "custom fields",
        "deleted contacts",
        "phone number formats",
        "ticket links",
        "the retry queue",
        "rate limiting",
        "webhooks",
    ),
    symptoms=(
        Symptom(
            "Contacts are merged that should not be",
            "2,300 contacts of two companies became one.",
            "Compare contracts before two contacts are merged",
        ),
        Symptom("The sync is four hours behind", "Agents see old addresses.", "Read the change feed in parallel"),
        Symptom("The CRM refuses every update", "No change since the deployment has arrived.", "Send dates without milliseconds"),
        Symptom("Consent flags are reset", "Customers who said no are in the call list.", "Never overwrite a consent with an empty value"),
        Symptom("Webhooks are answered with a timeout", "The CRM has switched our webhook off.", "Answer webhooks before they are processed"),
    ),
    libraries=("httpx", "sqlalchemy", "alembic", "tenacity", "phonenumbers", "pydantic", "ruff", "pytest"),
    recent=("Sync contacts named “null” (yes, Mr Null) and <unknown>",),
)
REPORTING = Vocabulary(
    key="REP",
    patterns=REPORTS,
    things=(
        "the daily wallboard",
        "service levels",
        "the agents’ ranking",
        "the occupancy report",
        "the monthly board pack",
        "abandoned calls",
        "handle times",
        "the forecast",
        "scheduled exports",
        "chart colours",
        "the interval report",
    ),
    symptoms=(
        Symptom("Service levels are above 100 %", "The board pack of this month is wrong.", "Count abandoned calls once"),
        Symptom("The wallboard stands still", "Floor managers do not see queues.", "Reconnect the wallboard after a restart"),
        Symptom("Scheduled exports arrive empty", "Eleven customers got an empty spreadsheet.", "Run exports after the nightly load"),
        Symptom("Reports of the Porto site are an hour off", "Since the change to winter time.", "Group by local hours"),
    ),
    libraries=("pandas", "duckdb", "plotly", "openpyxl", "ruff", "pytest", "sqlglot"),
    recent=("Sort agents’ names with Ñ, Ø, Ł and 花 as people expect",),
)
VOICE_BOT = Vocabulary(
    key="VB",
    patterns=CALLS,
    things=(
        "intent detection",
        "the greeting",
        "number read-back",
        "the hand-over to an agent",
        "barge-in",
        "the opt-out phrase",
        "speech timeouts",
        "the test dialogues",
        "dialect models",
    ),
    symptoms=(
        Symptom(
            "The bot greets callers in the wrong language", "Callers of the Brno site hear Spanish.", "Take the language from the dialled number"
        ),
        Symptom("The bot never hands over", "Callers are asked the same question again and again.", "Hand over after two misunderstandings"),
        Symptom("Numbers are read back digit by digit, twice", "Calls take a minute longer.", "Read numbers back once"),
    ),
    libraries=("fastapi", "onnxruntime", "numpy", "ruff", "pytest"),
    recent=('Understand "¿me oye?" and 「もしもし」 as a greeting',),
)
