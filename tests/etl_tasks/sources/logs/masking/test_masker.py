import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_tasks.sources.logs.masking.masker import RULES, mask, masker

CARD = "4111" + "1111" * 3  # a test number that payment sandboxes document
JWT = "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0" + ".c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("connecting to postgres://etl:hunter2@db:5432/calls", "hunter2"),
        ("connecting to redis://:s3cr#t@cache/0", "s3cr#t"),
        ("> Authorization: Basic " + "ZXRs" + "Omh1bnRlcjI=", "ZXRsOmh1bnRlcjI="),
        ("headers={'Authorization': 'token abcdef0123456789'}", "abcdef0123456789"),
        ('{"authorization":"Bearer abc.def-ghi"}', "abc.def-ghi"),
        ('Authorization: Digest username="etl", response="6629fae4"', 'username="etl", response="6629fae4"'),
        ('curl -H "Proxy-Authorization: Bearer xyz"', "xyz"),
        ("sent bearer 0123456789abcdef0123", "0123456789abcdef0123"),
        ("Set-Cookie: session=31d4d96e407aad42; HttpOnly", "session=31d4d96e407aad42; HttpOnly"),
        ("login failed, password=hunter2 for etl", "hunter2"),
        ("login failed, password = 'two words' for etl", "two words"),
        ("Contraseña: hunter2", "hunter2"),
        ("GET /reset?access_token=abc123&user=7", "abc123"),
        ("api-key: 9f8e7d6c", "9f8e7d6c"),
        ("client_secret=>'abc'", "abc"),
        ("SECRET_KEY=abc DEBUG=1", "abc"),
        ("AccountKey: abc==, next", "abc=="),
        ("GET /?PHPSESSID=abc&a=1", "abc"),
        (r'{"body":"{\"password\":\"a \\\" b\"}"}', r"a \\\" b"),
        (r'{"password":"with \"quotes\" inside","user":"etl"}', r"with \"quotes\" inside"),
        ("verificado, nip=4821", "4821"),
        ('login failed, password=",}x" for etl', ",}x"),
        ('{"password":","}', ","),
        ("card_pin: 4821", "4821"),
        ("pushed with ghp" + "_" + "a1B2" * 9, "ghp_" + "a1B2" * 9),
        ("id_of AKIA" + "IOSFODNN7EXAMPLE", "AKIA" + "IOSFODNN7EXAMPLE"),
        (f"issued {JWT} to etl", JWT),
        ("-----BEGIN RSA PRIVATE KEY-----\\nMIIB\\nAbC=\\n-----END RSA PRIVATE KEY-----", "\\nMIIB\\nAbC=\\n"),
        (f"charged {CARD} twice", CARD),
        ("charged 4111 1111 1111 1111.", "4111 1111 1111 1111"),
        ("tarjeta-5500-0000-0000-0004, ok", "5500-0000-0000-0004"),
        ("amex 3400 000000 00009", "3400 000000 00009"),
        ("batch 2200 4111111111111111", "4111111111111111"),
        ("call from +34 612 345 678 queued", "+34 612 345 678"),
        ("call from (55) 1234-5678 queued", "(55) 1234-5678"),
        ("call from 555-867-5309 queued", "555-867-5309"),
        ("INVITE sip:5512345678@pbx", "5512345678"),
        ("callerid=5512345678 queue=2", "5512345678"),
        ("calling 612 34 56 78", "612 34 56 78"),
        ('CLID "Ana" <5512345678> answered', "5512345678"),
        ("teléfono: 912345678", "912345678"),
    ],
)
def test_a_secret_is_hidden_and_the_rest_of_its_line_stands(line: str, secret: str) -> None:
    assert secret in line
    stars = "".join("*" * len(character.encode()) for character in secret)
    assert mask(line.encode()).decode() == line.replace(secret, stars)


@pytest.mark.parametrize(
    "line",
    [
        "Failed password for invalid user webmaster from 173.234.31.186 port 38926 ssh2",
        "081111 101804 26494 INFO dfs.DataNode: Receiving block blk_-4111111111111111 src: /10.250.9.207:53270",
        '83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 2030 "-" "Mozilla/5.0 (X11; rv:109.0)"',
        '{"time":1764118923123,"level":"info","tokens":812,"msg":"answered in 0.25 s","duration_ms":4200.5}',
        "2026-11-25T01:02:03.123456+01:00 INFO run 4012888888881882 ended",  # 16 digits, but the card checksum is wrong
        "version 1.2.3-4567, took 2026-11-25 to 2026-11-26, offset -4111111111111111",
        "the bearer of this letter",
        "http://example.org:8080/path?x=1@2",
        "pin the version, spin: 3, opinion: good",
        "cookies are enabled",
        "calling 192.168.10.100:8080, caller=10.0.12.115",
        "last called: 2026-11-26 07:20:42, mobile 26.11.2026 up",
        "20261126072042018 INFO run 20261126072028 ended",  # both have a valid card checksum
        '{"trace_id":"2583201234567890106","span":2983201234567807}',  # valid checksums, but no card has this length or this beginning
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert mask(line.encode()).decode() == line


@pytest.mark.parametrize("value", ["1234", "7", "null", "true", '"text"', "-12.5e3", '""'])
def test_json_stays_json(value: str) -> None:
    line = f'{{"pin":{value},"a":[1]}}'
    masked = json.loads(mask(line.encode()))
    assert masked["a"] == [1]
    if value not in ("null", "true", '""'):
        assert str(json.loads(value)) not in str(masked["pin"])


@pytest.mark.parametrize(
    "line",
    [
        '{"msg":"missing Authorization:"}',
        '{"msg":"missing Cookie:","user":1}',
        '{"Set-Cookie: ": 1.5}',
        '{"cookie":null}',
        '{"cookie":null,"a":"b"}',
        r'{"msg":"Authorization:\nSet-Cookie: \u00e9"}',
        '{"msg":"enter password:","user":"ana","b":["no token: ", {"pin=":[]}]}',
        '{"msg":"enter password:"}',
        '{"authorization":{"type":"none"},"cookie":{"a":1},"token":[],"pin":[null,true]}',
        '{"msg":"-----BEGIN PRIVATE KEY-----","end":"-----END PRIVATE KEY-----"}',
    ],
)
def test_json_that_only_names_a_secret_stays(line: str) -> None:
    assert mask(line.encode()).decode() == line


@pytest.mark.parametrize("value", ["1234", "7", "42", CARD])
def test_json_inside_json_stays_json(value: str) -> None:
    masked = json.loads(mask(json.dumps({"log": f'{{"pin": {value}, "a":1}}\n', "nip": f":{value}"}).encode()))
    assert json.loads(masked["log"]) == {"pin": 0, "a": 1}
    assert masked["nip"] == "*" * (len(value) + 1)


def test_headers_that_json_has_as_lists_are_hidden() -> None:
    line = '{"Authorization":["Bearer abc"],"X-Api-Key": [ "abc" ],"Cookie":["a=b; abc"],"pin":[7],"nip":[42],"otp":[424242]}'
    assert json.loads(mask(line.encode())) == {
        "Authorization": ["Bearer ***"],
        "X-Api-Key": ["***"],
        "Cookie": ["********"],
        "pin": [0],
        "nip": [0],
        "otp": [0],
    }


def test_a_card_in_a_json_number_is_hidden_in_json() -> None:
    masked = mask(f'{{"card":{CARD}}}'.encode())
    assert json.loads(masked) == {"card": "*" * 14}


@pytest.mark.parametrize("line", [f'{{"cards":[{CARD},\t{CARD} ]}}', f'started\n{{"a":[1, {CARD}],"b":"no, {CARD}, no"}}'])
def test_a_card_in_a_json_array_is_hidden_in_json(line: str) -> None:
    masked = mask(line.encode()).decode()
    assert len(masked) == len(line)
    assert CARD not in masked
    assert json.loads(masked.splitlines()[-1]) == json.loads(line.splitlines()[-1].replace(CARD, "0.00000000000000"))


@pytest.mark.parametrize("before", ["\ufeff", "  ", "Nov 26 10:00:00 web-1 app: "])
def test_json_behind_other_words_stays_json(before: str) -> None:
    masked = mask(f'{before}{{"cards":[{CARD}, 1]}}\n'.encode()).decode()
    assert json.loads(masked.removeprefix(before)) == {"cards": [0.0, 1]}


def test_a_secret_that_is_not_utf_8_is_hidden_to_its_end() -> None:
    assert mask(b"password=caf\xe9\xff12 user=etl") == b"password=******** user=etl".replace(b"********", b"*" * 7)


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        (r'{"sent":"Authorization: Digest username=\"etl\", uri=\"/a\", response=\"66\"","status":200}', '","status":200}'),
        ('{"authorization":"Digest abc","status":200}', '","status":200}'),
        ('ts=2026-11-26T07:20:42Z cookie=abc level=error msg="no pay"', ' level=error msg="no pay"'),
    ],
)
def test_a_header_ends_where_its_value_ends(line: str, rest: str) -> None:
    masked = mask(line.encode()).decode()
    assert masked.endswith("*" + rest)
    assert "abc" not in masked
    assert "etl" not in masked


def test_a_key_at_the_end_of_a_line_says_nothing_about_the_next_line() -> None:
    body = b"give me your password:\n10.0.0.1 GET /\n"
    assert mask(body) == body


def test_a_private_key_over_several_lines_keeps_its_newlines() -> None:
    body = b"-----BEGIN PRIVATE KEY-----\nMIIB\nAbC=\n-----END PRIVATE KEY-----\n"
    assert mask(body) == b"-----BEGIN PRIVATE KEY-----\n****\n****\n-----END PRIVATE KEY-----\n"


def test_an_encrypted_private_key_is_hidden_to_its_end() -> None:
    body = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIB\n-----END RSA PRIVATE KEY-----\n"
    assert mask(body) == b"-----BEGIN RSA PRIVATE KEY-----\n**********************\n\n****\n-----END RSA PRIVATE KEY-----\n"


def test_a_private_key_without_its_end_is_hidden_as_far_as_it_goes() -> None:
    key = b"MIIB" * 16 + b"\nAbC=\n"
    assert mask(b"-----BEGIN PRIVATE KEY-----\n" + key) == b"-----BEGIN PRIVATE KEY-----\n" + b"*" * 64 + b"\n****\n"


def test_who_only_speaks_of_a_private_key_hides_no_lines_behind_it() -> None:
    body = b'no -----BEGIN PRIVATE KEY----- found\nNov 26 07:20:42 web sshd: hello\n{"time":"2026-11-26"}\n'
    assert mask(body) == body


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"password", b"=", b'"', b"\\", b" ", b"\n", b"4111111111111111", b"+34612345678", b"://", b":", b"@", b"\xff", b"x"]),
        max_size=40,
    )
)
def test_masking_keeps_every_length_and_newline(parts: list[bytes]) -> None:
    body = b"".join(parts)
    assert [len(line) for line in mask(body).split(b"\n")] == [len(line) for line in body.split(b"\n")]


def test_a_rule_can_be_left_out_and_another_added() -> None:
    line = b"password=hunter2 customer C-12345"
    assert masker(("card",), (r"customer c-(\d+)",))(line) == b"password=hunter2 customer C-*****"
    assert masker((), (r"c-\d+",))(line) == b"password=hunter2 customer *******"
    assert masker(())(line) == line


@pytest.mark.parametrize(("names", "patterns", "sentence"), [(("cards",), (), "there is no rule 'cards'"), ((), ("(",), "cannot be a rule")])
def test_a_rule_that_cannot_be_is_refused(names: tuple[str, ...], patterns: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        masker(names, patterns)


def test_every_rule_is_on_by_default(settings: Any) -> None:
    assert set(settings.LOG_MASK_RULES) == set(RULES)
