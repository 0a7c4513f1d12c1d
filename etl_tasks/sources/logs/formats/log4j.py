"""Turn pattern layouts of log4j and logback into regexes that read the lines written with them."""

import re

from dora_metrics.calculators.sentences import Sentence, gettext_noop
from etl_tasks.sources.logs.formats import time_notations
from etl_tasks.sources.logs.formats.layout_regexes import ANY_TEXT, LEVEL, NUMBER, Layout, Part, Value, layout_of, split_pattern
from etl_tasks.sources.logs.formats.time_notations import Notation

LOG4J_LAYOUTS = (
    "%d %5p %pid --- [%t] %-40c : %m%n",  # Spring Boot
    "%d %-5p [%c] (%t) %m%n",  # WildFly
    "%d [%t] %-5p %c - %m%n",  # log4j's and logback's documentation
    "%d [%t] %-5p %c: %m%n",
    "%d %-5p [%t] %c - %m%n",
    "%d %-5p [%t] %c: %m%n",
    "%d{yyMMdd HHmmss} %pid %p %c: %m%n",  # HDFS
    "%d %-5p %c - %m%n",
    "%d %-5p %c: %m%n",  # Hadoop
    "%r [%t] %-5p %c - %m%n",  # log4j's TTCC
    "%r [%t] %-5p %c %x - %m%n",
)

_LOG4J_VALUES = {
    **dict.fromkeys(("d", "date"), ("time", time_notations.ANY_TIME)),
    **dict.fromkeys(("p", "level", "le"), ("level", LEVEL)),
    **dict.fromkeys(("c", "logger", "lo"), ("logger", ANY_TEXT)),
    **dict.fromkeys(("m", "msg", "message"), ("message", ANY_TEXT)),
    **dict.fromkeys(("t", "tn", "thread", "threadName"), ("thread", ANY_TEXT)),
    **dict.fromkeys(("T", "tid", "threadId"), ("thread_id", NUMBER)),
    **dict.fromkeys(("pid", "processId"), ("pid", NUMBER)),
    **dict.fromkeys(("C", "class"), ("class", ANY_TEXT)),
    **dict.fromkeys(("M", "method"), ("function", ANY_TEXT)),
    **dict.fromkeys(("F", "file"), ("file", ANY_TEXT)),
    **dict.fromkeys(("L", "line"), ("line", r"\d+|\?")),
    **dict.fromkeys(("l", "location"), ("location", ANY_TEXT)),
    **dict.fromkeys(("r", "relative"), ("uptime_ms", NUMBER)),
    **dict.fromkeys(("sn", "sequenceNumber"), ("sequence", NUMBER)),
    **dict.fromkeys(("x", "NDC"), ("ndc", ANY_TEXT)),
    **dict.fromkeys(("X", "mdc", "MDC"), ("mdc", ANY_TEXT)),
    **dict.fromkeys(("marker", "markerSimpleName"), ("marker", ANY_TEXT)),
    **dict.fromkeys(("u", "uuid"), ("uuid", r"[0-9A-Fa-f-]{36}")),
}
# Conversions that write stack traces. They are left out of the regex, because a trace has its own lines, which continue the event.
_LOG4J_TRACES = (
    "ex",
    "exception",
    "throwable",
    "xEx",
    "xException",
    "xThrowable",
    "rEx",
    "rException",
    "rThrowable",
    "wEx",
    "wex",
    "nopex",
    "nopexception",
)
_LOG4J_TIMES = re.compile(r"(?:DEFAULT|ISO8601|ABSOLUTE|DATE|UNIX)\w*")
_ISO_PATTERN = re.compile(r"yyyy-MM-dd(?:'T'| )HH:mm:ss(?:[.,]S+)?(?: ?[XxZ]+)?")

_CONVERSION = re.compile(r"%(-?\d*)(?:\.-?\d+)?([A-Za-z]+)((?:\{[^{}]*\})*)|%(%)")


def log4j_layout(pattern: str, *, is_declared: bool = False) -> Layout:
    """Turn a PatternLayout of log4j or logback, up to its first %n, into a Layout. Raises ValueError with an explanation."""
    parts: list[Part] = []
    notations: list[Notation] = []
    for literal, found in split_pattern(pattern, _CONVERSION):
        parts.append(literal)
        if found is None:
            continue
        padding, letters, options, escaped = found.groups()
        if escaped:
            parts.append("%")
            continue
        # Take the longest known name at the beginning of the word, as log4j does. The rest of the word is literal text.
        word = next((letters[:end] for end in range(len(letters), 0, -1) if letters[:end] in (*_LOG4J_VALUES, *_LOG4J_TRACES, "n")), None)
        if word is None:
            raise ValueError(
                Sentence(
                    gettext_noop("the layout {!r} has {}, which is not read here: write a regex for these lines, with --format regex"),
                    pattern,
                    f"%{letters}",
                )
            )
        if word == "n":
            break
        if word in _LOG4J_TRACES:
            continue
        name, shape = _LOG4J_VALUES[word]
        option = options[1:].partition("}")[0] if letters == word else ""
        if name == "time" and option:
            if options.count("{") > 1:
                raise ValueError(
                    Sentence(gettext_noop("the layout {!r} names a zone for its times: leave it out and set it with --time-zone"), pattern)
                )
            shape = _shape_of_time(option, notations)
        if name == "mdc" and option:
            name = option.partition(":-")[0]
        parts.append(Value(name, shape, pad_left=padding.isdecimal(), pad_right=padding.startswith("-")))
        if letters != word:
            parts.append(letters[len(word) :] + options)
    return layout_of(parts, pattern, notations, is_declared=is_declared)


def _shape_of_time(option: str, notations: list[Notation]) -> str:
    if _LOG4J_TIMES.fullmatch(option) or _ISO_PATTERN.fullmatch(option):
        return time_notations.ANY_TIME
    notation = time_notations.notation("yyyyMMddHHmmssSSS" if option == "COMPACT" else option)
    if notation not in time_notations.KNOWN_NOTATIONS:
        notations.append(notation)
    return notation.unnamed
