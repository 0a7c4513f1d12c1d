"""Make the labels of our models translatable: names, help texts and choices of their fields.

The models themselves have plain English strings, so that a model is read without a translation call around each text, and migrations
do not change. `labels` yields every such text for the catalogs (scripts/messages).
"""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db.models import Field, Model
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

OUR_APPS = ("dora_metrics", "etl_tasks", "log_store")  # those with models


def translate_labels() -> None:
    """Replace the labels by lazily translated ones, in every model of our apps."""
    for model in _models():
        if not isinstance(model._meta.verbose_name, Promise):
            # A plural that Django has made is a lazy text, too, but one that is never translated.
            model._meta.verbose_name_plural = _lazy(str(model._meta.verbose_name_plural))
        model._meta.verbose_name = _lazy(model._meta.verbose_name)
        for field in _fields(model):
            field.verbose_name, field.help_text = _lazy(field.verbose_name), _lazy(field.help_text)
            if field.choices:
                field.choices = [(value, _lazy(label)) for value, label in field.flatchoices]


def labels() -> Iterator[tuple[str, str]]:
    """Yield each label in English with the app and model that has it."""
    for model in _models():
        where = f"{model._meta.app_label}.{model._meta.object_name}"
        texts: list[Any] = [model._meta.verbose_name, model._meta.verbose_name_plural]
        for field in _fields(model):
            texts += [field.verbose_name, field.help_text, *(label for _value, label in field.flatchoices or ())]
        yield from ((str(text), where) for text in texts if str(text))


def _models() -> Iterator[type[Model]]:
    for app in OUR_APPS:
        yield from apps.get_app_config(app).get_models()


def _fields(model: type[Model]) -> list["Field[Any, Any]"]:
    return [field for field in model._meta.get_fields() if isinstance(field, Field)]


def _lazy(text: Any) -> Any:
    return text if not text or isinstance(text, Promise) else gettext_lazy(text)
