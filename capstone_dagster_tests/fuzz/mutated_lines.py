"""Lines of both formats, good or with something odd about them: fields of nasty values, and damaged bytes."""

from datetime import datetime, timedelta
from random import Random

from capstone_dagster_tests.builders.deliveries import BOM, Bare, csv_line, fields, json_line
from capstone_dagster_tests.fuzz.corpus import CORPUS

ODD_NUMBERS_IN_ONE = (
    "0 -0 +0 0e400 0.000e9999 -1 100.5 100.0 1e3 1E+3 1.5e1 1.2345678901E10 1200000000000000000000e-19 12e-1 "
    "1e-9999 1e9999 1e99999 1e-99999 0.0000005 0.0000004 -0.0000005 2.5000005 1.00000049999999999999 "
    "1.0000000000000000001 100.0000000000000000000000000000000000000001 999999999999.9999994 999999999999.9999995 "
    "9223372036854775807 9223372036854775808 -9223372036854775808 9.223372036854775807e18 9.223372036854775808E18 "
    "922337203685477580.7e1 92233720368547758070e-1 1e18 1e19 0.1e19 1e400 NaN Infinity -Infinity +Infinity INF null "
    'true false .5 5. +7 007 1_0 1,0 0x10 1f 1e 1e+ e3 --1 + - 1.2.3 nan \u0663 [1] {} {"a":1} [] "1"'
)
ODD_NUMBERS = ODD_NUMBERS_IN_ONE.split(" ")
ODD_TIMES_IN_ONE = (
    "noon,2020-08-06,2020-08-06T09:30:00,2020-08-06 9:30:00,0000-01-01 00:00:00,2020-02-30 00:00:00,"
    "2020-08-06 24:00:00,"
    "2020-08-06 23:59:59.9999999,2020-08-06 09:30:00.,2020-08-06 09:30:60,9999-12-31 23:59:59,0001-01-01 00:00:00.1,"
    "2020-08-06 09:30:00Z,2020-02-29 00:00:00, 2020-08-06 09:30:00\t,2020-08-06 09:30:00.123456789012345678901"
)
ODD_TIMES = ODD_TIMES_IN_ONE.split(",")
ODD_TEXTS = [
    "",
    " ",
    "\t",
    "BRK.B",
    " SYM A\t",
    "\u00c4\u20ac\U0001d11e",
    "S\rY",
    'S"Y',
    "S\\Y",
    "NULL",
    "{",
    "[x]",
    "1e5",
    "\u00a0X",
]
# Values as they stand in a line of JSON; CSV takes them for texts like others.
ODD_VALUES_IN_ONE = (
    r'"\ud83d" "\udc00" "\uD83D\uDE00" "\ude00\ud83d" "\ud83dx" "\\ud83d" "\\\ud83d" "\u0000" "\t" "\u0009SYM" '
    r'"\u00e4" "\/" "\x" "\u12" "\"" '
    r"""'SYM' ["SYM"] {"symbol":"SYM"} [] {} true false null 12 1.50 1e5 -0.0 NaN -Infinity """
    r'[{"a":[1,{"a":2}]}] {"a":1,"a":2} [{"b":"\udc00"}] {"a":{"b":"}"}} {1:2} [1,] [01] SYM "SYM'
)
ODD_VALUES = [Bare(text) for text in ODD_VALUES_IN_ONE.split(" ")]
ODD_NAMES = [
    "venue",
    "Price",
    "gr\u00f6\u00dfe",
    "price",
    "symbol",
    "",
    " symbol",
    "symb\\u006fl",
    "\\ud83d",
    "end",
    "1",
]
INSERTED = [
    *(bytes([byte]) for byte in b",:\"'{}[]\\ \t\r\n0-.+eEx/#\x0b\x7f"),
    b"\0",
    b"\xff",
    b"\xe2\x82",
    b"\xed\xa0\xbd",
    BOM,
    b"\\u",
]
NUMBERS = ("event_seq_nb", "price", "size", "bid_pr", "bid_size", "ask_pr", "ask_size")


def digits(random: Random, most: int) -> str:
    return "".join(random.choices("0123456789", [5, *[1] * 8, 3], k=random.randint(1, most)))


def number_text(random: Random) -> str:
    match random.randrange(6):
        case 0:
            return random.choice(ODD_NUMBERS)
        case 1:  # as Java prints doubles
            return f"{random.randint(1, 9)}.{digits(random, 16)}E{random.randint(-7, 20)}"
        case 2:  # a whole number whose point or zeros are elsewhere
            whole, zeros = digits(random, 20), random.randint(0, 30)
            moved = f"{whole[:-zeros] or '0'}.{whole[-zeros:].zfill(zeros)}e{zeros}" if zeros else whole
            return random.choice([f"{whole}{'0' * zeros}e-{zeros}", moved, f"{whole}.{'0' * zeros}e0"])
        case 3:  # about the half of the seventh decimal
            half = f"{random.randint(0, 999)}.{random.randint(0, 999_999):06}"
            return half + random.choice(
                ["5", "4" + "9" * random.randint(1, 60), "5" + "0" * random.randint(1, 60) + "1"]
            )
        case 4:
            return f"{random.randint(0, 10**6)}.{digits(random, 4)}"
    sign, mark = random.choice(["", "", "", "+", "-"]), random.choice("eE")
    fraction = f".{digits(random, random.choice([3, 60]))}" if random.random() < 0.6 else ""
    exponent = f"{mark}{random.choice(['', '+', '-'])}{digits(random, random.choice([1, 2, 5]))}"
    return sign + digits(random, random.choice([3, 20, 60])) + fraction + random.choice(["", exponent])


def time_text(random: Random) -> str:
    if random.random() < 0.5:
        return random.choice(ODD_TIMES)
    time = datetime(2020, 8, 6) + timedelta(microseconds=random.randrange(86_400_000_000))
    return time.isoformat(" ", random.choice(["seconds", "milliseconds", "microseconds"]))


def changed_value(random: Random, name: str) -> str | None:
    if random.random() < 0.1:
        return random.choice([None, *ODD_VALUES])
    if name in NUMBERS:
        text = number_text(random)
        return Bare(text) if random.random() < 0.6 else text
    if name in ("event_tm", "file_tm"):
        return time_text(random)
    pools = {
        "trade_dt": ["2020-08-05", "2020-8-6", "2020-02-30", " 2020-08-06\t", "0000-08-06", "2020-08-06 00:00:00"],
        "event_type": ["T", "Q", " T ", "t", "B", "", "TQ"],
        "exchange": ["NYSE", "NASDAQ", "nyse", "LSE", "\tNYSE ", " NASDAQ "],
    }
    return random.choice(pools.get(name, [*ODD_TEXTS, *ODD_VALUES]))


def good_or_changed(random: Random, exchange: str) -> bytes:
    record = fields(exchange, random.choice("TQ"), event_seq_nb=Bare(random.randrange(10**6)))
    if random.random() < 0.8:
        names = list(record) if exchange == "NYSE" else [*record, "execution_id", "price", "ask_size"]
        for name in random.choices(names, k=random.randint(1, 2)):
            record[name] = changed_value(random, name)
    if exchange == "NYSE":
        return csv_line(record)
    members = list(record.items())
    if random.random() < 0.5:  # the others are in the order of the contract, as plain lines are
        random.shuffle(members)
    line = json_line(dict(members))
    if random.random() < 0.15:  # a name that may come twice, or be spelled otherwise
        line = line[:-1] + f',"{random.choice(ODD_NAMES)}":{random.choice(ODD_VALUES)}}}'.encode()
    return line


def damaged(random: Random, line: bytes) -> bytes:
    at, to = sorted(random.randint(0, len(line)) for _ in range(2))
    inserted = random.choice(INSERTED)
    faults = [
        line[:at],
        *[line[:at] + inserted + line[at:]] * 2,
        *[line[:at] + inserted + line[at + 1 :]] * 2,
        line[:at] + bytes([random.randrange(256)]) + line[at + 1 :],
        line[:at] + line[to:],
        line[:to] + line[at:],
        random.choice([line + inserted, inserted + line, line + b" " + line, b"[" + line + b"]"]),
        b" " * random.randint(0, 2),
        BOM + line,
    ]
    if random.random() < 0.01:
        return line + b" " * (65_536 - len(line) + random.randint(-1, 4))
    return random.choice(faults)


def content(random: Random, exchange: str, lines: int) -> bytes:
    """A file of mutated lines with either of the two line ends, the last one perhaps with none."""
    made = []
    once_wrong = [case.line for case in CORPUS if case.exchange == exchange]
    for _ in range(lines):
        line = random.choice(once_wrong) if random.random() < 0.1 else good_or_changed(random, exchange)
        made.append(damaged(random, line) if random.random() < 0.3 else line)
        made.append(random.choice([b"\n", b"\n", b"\r\n"]))
    return random.choice([b"", BOM]) + b"".join(made).removesuffix(random.choice([b"", b"\n"]))
