"""The rule for secrets that have a name beside them: password=…, "token": "…", PASSWORD '…' in SQL."""

from etl_tasks.sources.logs.masking.command_lines import ASSIGNED
from etl_tasks.sources.logs.masking.json_values import is_not_next_json_text
from etl_tasks.sources.logs.masking.rule import GAP, IS, Rule

_NAMES = (
    *("password", "passwd", "passphrase", "secret", "token", "api[_-]?key", "(?:access|private|secret|account)[_-]?key", "credentials?"),
    *ASSIGNED,
    *("sess(?:ion)?[_-]?id", "session[_-]?key", r"contrase(?:n|\xc3\xb1|\xf1)a"),
    # These are so short that other words end with them. So they must be at the beginning of a word, or after an underscore.
    *(rf"(?:\b|_){name}" for name in ("pass", "pwd", "clave", "jwt", "pin", "nip", "otp", "cvv2?", "cvc2?", "cvn")),
)
# A value may be in quotes, or in escaped quotes (in JSON inside JSON), and then ends at the same quotes. Without quotes, it ends with the word, in a
# query, a list or a sentence.
_VALUE = "|".join(
    (
        r'\\"((?:[^"\\\n]|\\\\\\"|\\\\[^"\n]|\\[^"\\\n])*)',
        r'\\{2,}"([^"\\\n]*)',
        r'"((?:[^"\\\n]|\\.)*)',
        r"'((?:[^'\\\n]|\\.)*)",
        r"""([^\s"'\\&,;(){}\[\]<>]+)""",
    )
)

# PASSWORD 'x' and IDENTIFIED BY 'x' are SQL.
NAMED = Rule(rf"(?:{'|'.join(_NAMES)}){IS}(?:{_VALUE})|(?:password|identified by){GAP}'((?:[^'\\\n]|\\.)*)'", is_not_next_json_text)
