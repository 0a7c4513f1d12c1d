"""Mask secrets in command lines in logs. The length stays the same, and text that only looks like a secret is kept."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_tasks.sources.logs.masking.command_lines import ASSIGNED, LONG_OPTIONS
from etl_tasks.sources.logs.masking.masker import mask


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("mysqldump --password hunter2 billing", "hunter2"),
        ("mysql --password=hunter2 billing", "hunter2"),
        ("mysql -u root -phunter2 -h db billing", "hunter2"),
        ("mysql -uroot -p'two words' billing", "two words"),
        ("/usr/bin/mysqldump -P 3306 -phunter2 billing > x.sql", "hunter2"),
        ("mariadb-dump -phunter2,x billing", "hunter2,x"),
        ("MYSQL_PWD=hunter2 mysql billing", "hunter2"),
        ("PGPASSWORD=hunter2 psql -U etl", "hunter2"),
        ("psql postgresql://etl:hunter2@db/calls", "hunter2"),
        ('psql "host=db user=etl password=hunter2"', "hunter2"),
        ("psql -c \"ALTER USER etl PASSWORD 'hunter2'\"", "hunter2"),
        ("CREATE USER etl IDENTIFIED BY 'hunter2'", "hunter2"),
        ("curl -u a:hunter2 https://api.example", "hunter2"),
        ("curl -ua:hunter2 https://api.example", "hunter2"),
        ("curl -sSfu a:hunter2 https://api.example", "hunter2"),
        ("curl -u 'a:two words' https://api.example", "two words"),
        ("curl --user a:hunter2 https://api.example", "hunter2"),
        ("curl --user=a:hunter2 https://api.example", "hunter2"),
        ("curl -x proxy:3128 -U p:hunter2 https://api.example", "hunter2"),
        ("curl --proxy-user p:hunter2 https://api.example", "hunter2"),
        ("curl -H 'Authorization: Bearer hunter2' https://api.example", "hunter2"),
        ("curl -H 'X-Api-Key: hunter2' https://api.example", "hunter2"),
        ("curl -b 'sid=hunter2; a=b' https://api.example", "sid=hunter2; a=b"),
        ("curl --cookie sid=hunter2 https://api.example", "sid=hunter2"),
        ("curl --oauth2-bearer hunter2 https://api.example", "hunter2"),
        ("http -a ana:hunter2 GET api.example", "hunter2"),
        ("redis-cli -h cache -a hunter2 PING", "hunter2"),
        ("redis-cli --pass hunter2 PING", "hunter2"),
        ("redis-cli -a a:b PING", "a:b"),
        ("REDISCLI_AUTH=hunter2 redis-cli PING", "hunter2"),
        ("sshpass -p hunter2 ssh -p 22 etl@host", "hunter2"),
        ("sshpass -phunter2 ssh -p 22 etl@host", "hunter2"),
        ("SSHPASS=hunter2 sshpass -e ssh etl@host", "hunter2"),
        ("docker login -u ana -p hunter2 registry.example", "hunter2"),
        ("docker login --username ana --password hunter2 registry.example", "hunter2"),
        ("podman login -p hunter2 registry.example", "hunter2"),
        ("helm registry login -u ana -p hunter2 registry.example", "hunter2"),
        ("az login --service-principal -u app -p hunter2 --tenant t", "hunter2"),
        ("docker run -e MYSQL_ROOT_PASSWORD=hunter2 -p 3306:3306 mysql", "hunter2"),
        ("wget --password=hunter2 https://a.example", "hunter2"),
        ("wget --http-password hunter2 https://a.example", "hunter2"),
        ("ldapsearch -x -D cn=admin -w hunter2 -b dc=example", "hunter2"),
        ("ldapmodify -whunter2 -f x.ldif", "hunter2"),
        ("openssl pkcs12 -passin pass:hunter2 -in a.p12", "hunter2"),
        ("openssl rsa -passout 'pass:hunter2' -in a.key", "hunter2"),
        ("keytool -storepass hunter2 -keystore a.jks", "hunter2"),
        ("gpg --batch --passphrase hunter2 -c a", "hunter2"),
        ("git clone https://ana:hunter2@git.example/a.git", "hunter2"),
        ("AWS_SECRET_ACCESS_KEY=hunter2 aws s3 ls", "hunter2"),
        ("AWS_SESSION_TOKEN=hunter2 aws s3 ls", "hunter2"),
        ("AZURE_STORAGE_KEY=hunter2 az storage blob list", "hunter2"),
        ("AZURE_CLIENT_SECRET=hunter2 az login", "hunter2"),
        ("az storage blob list --account-key hunter2", "hunter2"),
        ("vault login --token hunter2", "hunter2"),
        ("sqlcmd -S db -U sa -P hunter2 -Q x", "hunter2"),
        ("mongodump -u ana -p hunter2 --db x", "hunter2"),
        ("smbclient //host/share -U ana%hunter2", "hunter2"),
        ("7z a -phunter2 out.7z in", "hunter2"),
        ("ps: etl 7 0.0 curl -u a:hunter2 | grep -p x", "hunter2"),
        ("Running --db-password hunter2", "hunter2"),
        # command lines in a JSON string, and in JSON inside a JSON string
        ('{"cmd":"mysql -phunter2 billing","status":1}', "hunter2"),
        ('{"cmd":"curl -u a:hunter2","status":1}', "hunter2"),
        ('{"cmd":"curl -u \\"a:hunter2\\" x","status":1}', "hunter2"),
        ('{"cmd":"mysql --password \\"hunter2\\"","status":1}', "hunter2"),
        ('{"cmd":"mysql -p\\"hunter2\\" x"}', "hunter2"),
        ('{"log":"{\\"cmd\\":\\"sshpass -p hunter2 ssh\\"}\\n"}', "hunter2"),
        # command lines as lists of words
        ('{"argv":["mysql","--password","hunter2","billing"]}', "hunter2"),
        ('{"argv":["mysql", "-phunter2", "billing"]}', "hunter2"),
        ('{"argv":["curl", "-u", "a:hunter2", "x"]}', "hunter2"),
        ('{"log":"{\\"argv\\":[\\"curl\\", \\"-u\\", \\"a:hunter2\\"]}\\n"}', "hunter2"),
        ("running ['sshpass', '-p', 'hunter2', 'ssh', '-p', '22']", "hunter2"),
        ("running [redis-cli, -a, hunter2, PING]", "hunter2"),
        ("running [tool, --password, hunter2]", "hunter2"),
    ],
)
def test_a_secret_given_to_a_program_is_hidden(line: str, secret: str) -> None:
    """Formerly `--password hunter2` and `curl -u a:hunter2` were stored unmasked."""
    assert mask(line.encode()).decode() == line.replace(secret, "*" * len(secret))


@pytest.mark.parametrize(
    "line",
    [
        "docker run -p 8080:80 -u root nginx",
        "docker run --user 1000:1000 nginx",
        "docker login -u ana --password-stdin registry.example",
        "ssh -p 22 etl@host",
        "mkdir -p /var/lib/etl && ls -a /var/lib/etl",
        "mysql -u root -p billing",
        "mysql -u root -P 3306 billing",
        "mysql --password -u root billing",
        "mysql billing | grep -pattern x",
        "curl -u root https://api.example",
        "curl -b cookies.txt https://api.example:8443/a:b",
        "curl -sS https://api.example -o a:b",
        "redis-cli -h cache PING",
        "ldapsearch -W -D cn=admin",
        "sudo -u postgres psql -p 5432 -U etl -W",
        "password reset for user ana",
        "the option --password-file /run/secrets/x is set",
        "openssl rsa -passin env:KEY -in a.key",
        "java -Xmx1g -Dfile.encoding=UTF-8 -p mods -jar a.jar",
        "az vm list -g group -o table",
        "2026-11-26 10:00:00,123 - shop.cart - INFO - took -5 ms",
        '{"option":"--password","user":"ana"}',
        '{"msg":"missing --password ","user":"ana"}',
        '{"msg":"missing --password","options":["--password"],"n":[1,2]}',
        '{"options":["--password","--user","ana"]}',
        "choose one of --user, --password, and --token",
    ],
)
def test_what_is_no_secret_of_a_program_stays(line: str) -> None:
    assert mask(line.encode()).decode() == line


def test_a_number_in_a_list_of_words_stays_json() -> None:
    masked = json.loads(mask(b'{"argv":["tool","--pin",4821,"--password",482156]}'))

    assert [word for word in masked["argv"] if isinstance(word, str)] == ["tool", "--pin", "--password"]
    assert "482" not in str(masked)


def test_every_secret_of_a_line_is_hidden() -> None:
    line = "sshpass -p one ssh a 'mysql -u root -ptwo; curl -u a:three -H \"X-Token: four\" https://b:five@c --password six'"
    masked = mask(line.encode()).decode()

    assert len(masked) == len(line)
    assert not any(secret in masked for secret in ("one", "two", "three", "four", "five", "six"))


WORDS = st.sampled_from(
    [
        *("mysql", "curl", "redis-cli", "sshpass", "docker", "login", "-p", "-phunter2", "-u", "-a", "-b", "-w", "a:hunter2", "--user", "hunter2"),
        *(f"--{name}" for name in LONG_OPTIONS[:6]),
        *(f"{name}=" for name in ASSIGNED),
        *(" ", "\t", ",", ", ", '"', "'", "\\", '\\"', "[", "]", "|", ":", "=", "1", "-", "2026-11-26T10:00:00Z", "10.0.0.1"),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(WORDS, max_size=25).map("".join))
def test_json_stays_json_whatever_words_are_in_it(text: str) -> None:
    record = {"time": "2026-11-26T10:00:00Z", "msg": text, "argv": text.split(" "), "inner": json.dumps({"cmd": text}), "n": [1, 2], "ok": None}
    line = json.dumps(record)
    masked = json.loads(mask(line.encode()))

    assert len(mask(line.encode())) == len(line)
    assert list(masked) == list(record)
    assert (masked["time"], masked["n"], len(masked["argv"])) == (record["time"], [1, 2], len(record["argv"]))
    assert list(json.loads(masked["inner"])) == ["cmd"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", [b" -p", b" --password", b" -u a:", b'"-p", ', b"--password=\\", b" -a 'x", b' --password \\"', b"curl -u "])
def test_a_hostile_line_costs_no_more_than_its_length(piece: bytes) -> None:
    line = piece * (400_000 // len(piece))
    began = time.process_time()
    masked = mask(line)

    assert time.process_time() - began < 10  # quadratic time would take minutes
    assert len(masked) == len(line)
