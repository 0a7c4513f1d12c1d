"""The catalogs of translated texts: extraction from code and templates by Babel, update, compilation and check.

Babel replaces Django's `makemessages`, which needs the GNU gettext programs.
"""

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_python
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po
from django.core.management import find_commands, load_command_class
from django.utils.translation.template import templatize

from callcentersite.translated_labels import labels
from dora_metrics.management.base_command import help_texts

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("callcentersite", "dashboard", "dora_metrics", "etl_tasks", "log_store")
LANGUAGES = ("es",)
KEYWORDS: dict[str, Any] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
NO_DATE = datetime(2026, 1, 1, tzinfo=UTC)
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[sd]")


def path_of(language: str, suffix: str = ".po") -> Path:
    return ROOT / "locale" / language / "LC_MESSAGES" / f"django{suffix}"


def template_of() -> Catalog:
    """Return a catalog of all texts that code and templates ask to be translated, with the file of each."""
    catalog = Catalog(fuzzy=False)
    for path, source in _sources():
        for line, function, messages, _comments in extract_python(io.BytesIO(source.encode()), KEYWORDS, [], {"encoding": "utf-8"}):
            _add(catalog, str(function), messages, (str(path.relative_to(ROOT)), line))
    for text, where in (*labels(), *_command_texts()):
        catalog.add(text, locations=[(where, 0)])
    return catalog


def _command_texts() -> Iterator[tuple[str, str]]:
    for app in ("dora_metrics", "etl_tasks"):
        for name in find_commands(str(ROOT / app / "management")):
            yield from ((text, f"{app}.{name}") for text in help_texts(load_command_class(app, name)))


def _sources() -> Iterator[tuple[Path, str]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path, path.read_text()
        for path in sorted((ROOT / package).rglob("templates/**/*.html")):
            yield path, templatize(path.read_text(), origin=str(path))


def _add(catalog: Catalog, function: str, messages: Any, where: tuple[str, int]) -> None:
    parts = list(messages) if isinstance(messages, tuple) else [messages]
    context = parts.pop(0) if function.startswith(("pgettext", "npgettext")) else None
    texts = parts[: 2 if function.startswith(("ngettext", "npgettext")) else 1]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        return
    catalog.add(texts[0] if len(texts) == 1 else tuple(texts), context=context, locations=[where])


def read(language: str) -> Catalog:
    path = path_of(language)
    if not path.exists():
        return Catalog(locale=language, fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def update(language: str) -> None:
    """Write the .po file with exactly the texts of the code, keeping their translations, and compile the .mo file."""
    old, new = read(language), template_of()
    catalog = Catalog(
        locale=language,
        fuzzy=False,
        project="callcentersite",
        charset="utf-8",
        header_comment="# Written by scripts/messages. Translate the empty texts, then run it again.",
        creation_date=NO_DATE,  # a real date would change the file at every run
        revision_date=NO_DATE,
        last_translator="callcentersite",
        language_team="callcentersite",
        msgid_bugs_address="callcentersite",
    )
    for message in new:
        if message.id:
            known = old.get(message.id, message.context)
            catalog.add(
                message.id,
                _filled(known.string) if known else None,
                context=message.context,
                locations=[(path, 0) for path, _line in message.locations],
            )
    path_of(language).parent.mkdir(parents=True, exist_ok=True)
    with path_of(language).open("wb") as file:
        write_po(file, catalog, width=140, sort_output=True, omit_header=False, include_lineno=False)
    with path_of(language, ".mo").open("wb") as file:
        write_mo(file, catalog)
    missing = sum(not _is_translated(message) for message in catalog if message.id)
    print(f"messages: {language}: {len(catalog)} texts, {missing} without a translation")


def _filled(translation: Any) -> Any:
    """Return the translation with the form for whole millions, which Spanish has, taken from the ordinary plural if it is empty."""
    if isinstance(translation, str) or len(translation) != 3:
        return translation
    one, many, other = translation
    return one, many or other, other


def problems(language: str) -> list[str]:
    """Return a sentence for each text that is missing, not translated, superfluous or differs in its placeholders, and for a stale .mo file."""
    catalog, wanted = read(language), template_of()
    found = [f"{language}: {_shown(message)} is not in the catalog: run scripts/messages" for message in wanted if not _find(catalog, message)]
    found += [f"{language}: {_shown(message)} is no longer used: run scripts/messages" for message in catalog if not _find(wanted, message)]
    for message in catalog:
        if not message.id:
            continue
        if not _is_translated(message):
            found.append(f"{language}: {_shown(message)} is not translated")
        elif _placeholders(message.id) != _placeholders(message.string):
            found.append(f"{language}: {_shown(message)} has other placeholders in its translation")
    compiled = path_of(language, ".mo")
    if not compiled.exists():
        return [*found, f"{language}: {compiled.name} is missing: run scripts/messages"]
    with compiled.open("rb") as file:
        in_use = {_key(message): _key(message, message.string) for message in read_mo(file) if message.id}
    if in_use != {_key(message): _key(message, message.string) for message in catalog if message.id and _is_translated(message)}:
        found.append(f"{language}: {compiled.name} is older than the .po file: run scripts/messages")
    return found


def _key(message: Message, texts: object = None) -> tuple[object, ...]:
    texts = texts or message.id
    return (message.context, *texts) if isinstance(texts, tuple | list) else (message.context, texts)


def _find(catalog: Catalog, message: Message) -> Message | None:
    return message if not message.id else catalog.get(message.id, message.context)


def _is_translated(message: Message) -> bool:
    texts = message.string if isinstance(message.string, tuple | list) else (message.string,)
    return bool(texts) and all(texts) and not message.fuzzy


def _placeholders(texts: object) -> set[str]:
    several = texts if isinstance(texts, tuple | list) else (texts,)
    return {placeholder for text in several for placeholder in PLACEHOLDER.findall(str(text))}


def _shown(message: Message) -> str:
    text = message.id[0] if isinstance(message.id, tuple | list) else message.id
    where = message.locations[0][0] if message.locations else "locale"
    return f"{text[:80]!r} ({where})"
