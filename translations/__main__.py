"""scripts/messages: update or check the catalogs in locale/."""

import os
import sys

import django


def main(arguments: list[str]) -> int:
    os.environ["DJANGO_SETTINGS_MODULE"] = "callcentersite.settings"
    os.environ["DJANGO_LANGUAGE"] = "en"  # the texts of models and commands are read in English
    django.setup()
    from translations.catalogs import LANGUAGES, problems, update

    if arguments == ["--check"]:
        found = [problem for language in LANGUAGES for problem in problems(language)]
        for problem in found:
            print(problem)
        print(f"messages: {f'{len(found)} problems' if found else 'the catalogs are complete'}")
        return 1 if found else 0
    if arguments:
        print("messages: the only option is --check", file=sys.stderr)
        return 2
    for language in LANGUAGES:
        update(language)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
