"""The people of the demo's team. GitHub's logins are ASCII; names are not, and stand in the texts of incidents."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    login: str
    name: str


ANA = Person("ana-belen-ruiz", "Ana Belén Ruiz")
BJORN = Person("bjorn-aasen", "Bjørn Åsen")
CHIDI = Person("chidi-okafor", "Chidi Okafor")
ELIF = Person("elifyilmaz", "Elif Yılmaz")
FRANZI = Person("franzi-gross", "Franziska Groß")
GIULIA = Person("gdamico", "Giulia D’Amico")
HANA = Person("hana-suzuki", "鈴木 花")
INIGO = Person("inigo-munoz", "Íñigo Muñoz")
JANA = Person("jana-dvorakova", "Jana Dvořáková")
JP = Person("jp-lefevre", "Jean-Pierre Lefèvre")
KASIA = Person("kzielinska", "Kasia Zielińska")
LIWEI = Person("liwei-chen", "陈立伟")
MARIANA = Person("mariana-goncalves", "Mariana Gonçalves")
NOOR = Person("noor-alhaddad", "نور الحداد")
OLEKSANDR = Person("o-shevchenko", "Олександр Шевченко")
PRIYA = Person("priya-raman", "Priya Raman")
TOM = Person("tomodonnell", "Tom O’Donnell")

UPDATER = "dependabot[bot]"
REVIEW_BOT = "copilot-pull-request-reviewer[bot]"
DEPLOYER = "acme-deploy[bot]"
