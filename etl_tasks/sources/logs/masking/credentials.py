"""The rules for credentials that their form or their header identifies: URLs, HTTP headers, API tokens, private keys."""

from etl_tasks.sources.logs.masking.rule import FIRST, GAP, IS, QUOTE, QUOTES, Rule

# A pair of a digest: name="value", also with the quotes that JSON escapes.
_PAIR = r"""[\w-]+=(?:\\+"(?:[^"\\\n]|\\+[^"\\\n])*\\+"|"(?:[^"\\\n]|\\.)*"|[^\s"'\\,;]+)"""
_BARE = rf"""{FIRST}[^\s"'\\,;{{}}\[\]]*"""
_BREAK = r"(?:\s|\\+[rn])"

URL_PASSWORD = Rule(r"""://[^\s/:@"'<>?#]*:([^\s@/"'<>]+)@""")
AUTHORIZATION = Rule(
    rf"authorization{IS}{QUOTES}"
    rf"(?:digest[ \t]+({_PAIR}(?:[ \t]*,[ \t]*{_PAIR})*|{_BARE})|"
    rf"(?:(?:basic|bearer|token|negotiate|ntlm|apikey)[ \t]+)?({_BARE}))"
)
BEARER = Rule(r"\b(?:bearer|basic)[ \t]+([a-z0-9._~+/-]{16,}=*)")
# After a colon up to the end of the line. After cookie=, up to a space: other pairs follow.
COOKIE = Rule(
    rf"\b(?:set-)?cookie(?:{QUOTE}{GAP}:{GAP}(?:\[{GAP})?{QUOTE}|{GAP}:{GAP}(?:\[{GAP})?|{QUOTES}{GAP}=>?{GAP}{QUOTE})"
    rf"""(?:{QUOTES}({FIRST}[^\r\n"'\\]*))"""
    rf"""|\b(?:set-)?cookie{GAP}=>?{GAP}([^\s;"'\\]+(?:;[ \t]*[^\s;"'\\]+)*)"""
)
# Tokens of GitHub, GitLab, Slack, Stripe, AWS, Google and npm, and JSON web tokens.
TOKEN = Rule(
    r"\b(gh[pousr]_[a-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|xox[a-z]-[\w-]{10,}|[spr]k_(?:live|test)_\w{10,}"
    r"|a[ks]ia[0-9a-z]{16}|aiza[\w-]{35}|ya29\.[\w-]{20,}|npm_[a-z0-9]{36}|eyj[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)*)"
)
# Up to the end marker. Without one, as long as the lines have the length of a key's lines.
PRIVATE_KEY = Rule(
    r"-----begin [a-z0-9 ]{0,40}private key(?: block)?-----"
    rf"(?:((?:[^\x22-]|-{{1,4}}[^\x22-])+?)-----end|((?:{_BREAK}*[a-z0-9+/=]{{40,}})+(?:{_BREAK}+[a-z0-9+/=]+{_BREAK})?))"
)
