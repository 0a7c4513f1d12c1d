"""The rules for credentials that are recognised by their form (passwords in URLs, API tokens, private keys) or by the name of an HTTP header."""

from etl_tasks.sources.logs.masking.rule import FIRST, GAP, IS, QUOTE, QUOTES, Rule

# One name="value" pair of digest authentication. The quotes may be escaped, as in JSON.
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
# After `cookie:`, the secret ends with the line. After `cookie=`, it ends at a space, because other pairs may follow there.
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
# The secret ends at the end marker. If there is none, it is all following lines with 40 or more characters of base64, and one
# shorter line after them.
PRIVATE_KEY = Rule(
    r"-----begin [a-z0-9 ]{0,40}private key(?: block)?-----"
    rf"(?:((?:[^\x22-]|-{{1,4}}[^\x22-])+?)-----end|((?:{_BREAK}*[a-z0-9+/=]{{40,}})+(?:{_BREAK}+[a-z0-9+/=]+{_BREAK})?))"
)
