"""What is replaced in content before it leaves the process: the table, and how one text is searched.

Every pattern takes time linear in the text, whatever the text. All repetition is possessive (`++`, `*+`, `{m,n}+`), so
nothing that was matched is ever tried again within a match. What could begin anywhere looks back first, so that it is
tried once for each word and not once for each character. What only looks ahead looks no further than a fixed number of
characters, or a text of beginnings would be read again from each of them. A test holds the table to these rules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of secret. A match becomes `[REDACTED:name]`; where the pattern has a group, the group stays."""

    name: str
    pattern: re.Pattern[str]
    hints: tuple[str, ...] = ()
    """Literals in lower case; a text without any of them holds no match. Far cheaper than the pattern."""
    probe: re.Pattern[str] | None = None
    """Where there is no such literal: a pattern that finds at least what `pattern` finds, whatever stands around it."""
    length: Callable[[str], int] | None = None
    """How many characters of a match are really the secret, by its checksum; 0 if it is none."""
    whole: bool = False
    """Whether all of a match is replaced, groups or not."""

    def may_match(self, text: str, lowered: str) -> bool:
        """Whether the text is worth searching; `lowered` is the text in lower case."""
        if self.probe is not None:
            return self.probe.search(text) is not None
        return any(hint in lowered for hint in self.hints)

    def redact(self, text: str) -> str:
        """The text with every match replaced."""
        return self.pattern.sub(self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        found = match.group()
        kept = "" if self.whole or not match.re.groups else match.group(1) or ""
        rest = ""
        if self.length is not None:
            length = self.length(found)
            if not length:
                return found
            rest = found[length:]
        return f"{kept}[REDACTED:{self.name}]{rest}"


def card_length(text: str) -> int:
    """The length of `text` if it is the number of a payment card: known issuer, its length, Luhn's checksum; else 0."""
    digits = [int(character) for character in text if character.isdigit()]
    if not _CARD_ISSUER.fullmatch("".join(map(str, digits))):
        return 0
    doubled = (digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2])
    return len(text) if (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 else 0


def iban_length(text: str) -> int:
    """How many characters of `text` are an IBAN (ISO 13616): the country's length and its checksum fit; else 0."""
    wanted = _IBAN_LENGTHS.get(text[:2], 0)
    end, found = 0, ""
    while end < len(text) and len(found) < wanted:
        found += text[end].strip()
        end += 1
    if not wanted or len(found) != wanted:
        return 0
    number = "".join(str(int(character, 36)) for character in found[4:] + found[:4])
    return end if int(number) % 97 == 1 else 0


_CARD_ISSUER = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}+"  # Visa
    r"|(?:5[1-5]|2[2-7])[0-9]{14}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11}|35[0-9]{14}"  # Diners Club, JCB
    r"|6(?:011|22[0-9]|4[4-9][0-9]|5[0-9]{2})[0-9]{12}"  # Discover, UnionPay
)
# Lengths by country, of the IBAN registry.
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FO GL NL",
        19: "MK SI",
        20: "AT BA EE KZ LT LU XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "PT",
        26: "IS TR",
        27: "FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU",
        31: "MT",
    }.items()
    for country in countries.split()
}

_WORD_START = r"(?<![A-Za-z0-9])"
_HAS_DIGIT = r"(?=[A-Za-z._~+/-]{0,99}+[0-9])"  # keys are random: without a digit it is a word of prose or code

SECRETS = (
    Rule(
        "private_key",
        re.compile(
            r"-----BEGIN (?:RSA |EC |DSA |OPENSSH |ENCRYPTED |PGP )?+PRIVATE KEY(?: BLOCK)?+-----"
            r"(?:[^-]++|-(?!----))*+(?:-----END [A-Z ]++-----)?+"
        ),
        hints=("private key",),
    ),
    Rule("anthropic_api_key", re.compile(_WORD_START + r"sk-ant-[A-Za-z0-9_-]{16,}+"), hints=("sk-ant-",)),
    Rule(
        "openai_api_key",
        re.compile(_WORD_START + r"(?<![_-])sk-(?=[A-Za-z_-]{0,99}+[0-9])[A-Za-z0-9_-]{20,}+"),
        hints=("sk-",),
    ),
    Rule(
        "aws_access_key",
        re.compile(_WORD_START + r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
        probe=re.compile("A(?:KIA|SIA|BIA|CCA)"),
    ),
    Rule(
        "github_token",
        re.compile(_WORD_START + r"(?:gh[opsur]_[A-Za-z0-9]{30,}+|github_pat_[A-Za-z0-9_]{30,}+)"),
        probe=re.compile("g(?:h[opsur]_|ithub_pat_)"),
    ),
    Rule("gitlab_token", re.compile(_WORD_START + r"glpat-[A-Za-z0-9_-]{20,}+"), hints=("glpat-",)),
    Rule(
        "slack_token",
        re.compile(_WORD_START + r"(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,}+"),
        probe=re.compile("x(?:ox[abeoprs]-|app-)"),
    ),
    Rule(
        "slack_webhook",
        re.compile(r"(hooks\.slack\.com/services/)[A-Za-z0-9/]{20,}+"),
        hints=("hooks.slack.com",),
    ),
    Rule("google_api_key", re.compile(_WORD_START + r"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"), hints=("aiza",)),
    Rule(
        "google_token", re.compile(_WORD_START + r"(?:ya29\.|GOCSPX-)[A-Za-z0-9._-]{20,}+"), hints=("ya29.", "gocspx-")
    ),
    Rule(
        "stripe_key",
        re.compile(_WORD_START + r"(?:(?:sk|rk|pk)_(?:live|test)_|whsec_)[A-Za-z0-9]{16,}+"),
        hints=("_live_", "_test_", "whsec_"),
    ),
    Rule("huggingface_token", re.compile(_WORD_START + r"hf_[A-Za-z0-9]{30,}+"), hints=("hf_",)),
    Rule("groq_api_key", re.compile(_WORD_START + r"gsk_[A-Za-z0-9]{30,}+"), hints=("gsk_",)),
    Rule("xai_api_key", re.compile(_WORD_START + r"xai-[A-Za-z0-9]{30,}+"), hints=("xai-",)),
    Rule(
        "jwt",
        re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]*+"),
        hints=("eyj",),
    ),
    Rule(
        "bearer_token",
        re.compile(_WORD_START + r"((?i:bearer)[ \t]++)" + _HAS_DIGIT + r"[A-Za-z0-9._~+/-]{16,}+=*+"),
        hints=("bearer",),
    ),
    Rule(
        "url_password",
        re.compile(r"""(?<=://)([^\s/?#:@"'<>\\\[\]]*+:)[^\s/?#@"'<>\\\[\]]++(?=@)"""),
        hints=("://",),
    ),
    Rule(
        "authorization",
        re.compile(
            r"""((?i:authorization)["']?+ ?+[:=] ?+["']?+(?i:basic|digest|token|apikey) )(?!\[)[^\s"'<>]{6,}+"""
        ),
        hints=("authorization",),
    ),
    Rule(
        "url_token",
        re.compile(
            r"""([?&;](?i:access_token|id_token|refresh_token|token|auth|key|apikey|api_key|sig|signature|"""
            r"""x-amz-signature|x-amz-security-token|x-goog-signature|awsaccesskeyid|password|secret|client_secret)=)"""
            r"""(?!\[)[^\s&#"'<>\\]{6,}+"""
        ),
        probe=re.compile("[?&;][A-Za-z_-]{3,24}+="),
    ),
    Rule(
        "secret_argument",
        re.compile(
            r"""(?<![A-Za-z0-9-])(--(?i:(?:[a-z]{1,16}+-){0,3}+(?:api_?+key|token|password|passwd|secret|key))[ =]"""
            r"""["']?+)(?!\[)(?=[^\s"'0-9]{0,99}+[0-9])[^\s"']{8,}+"""
        ),
        hints=("--",),
    ),
    Rule(
        "password",
        re.compile(
            r"""((?i:password|passwd|pwd|secret|api[_-]?+key|[_-]token|(?:secret|access)_key)"""
            r"""(?:=|["']\s{0,2}+:\s{0,2}+["']))(?=[^\s"'&,;<>()\[\]0-9]{0,99}+[0-9])(?!\[)[^\s"'&,;<>()\[\]]{6,}+"""
        ),
        hints=("passw", "pwd", "secret", "api_key", "apikey", "api-key", "token", "access_key"),
    ),
)
"""Credentials: searched for in every text attribute."""

PERSONAL = (
    Rule(
        "email",
        re.compile(r"(?<![A-Za-z0-9._%+-])(?!git@)[A-Za-z0-9._%+-]++@[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)++"),
        hints=("@",),
    ),
    Rule(
        "iban",
        re.compile(r"[A-Z](?<![A-Za-z0-9][A-Z])[A-Z][0-9]{2}(?: ?+[A-Z0-9]){11,30}+"),
        probe=re.compile("[A-Z][A-Z][0-9][0-9]"),
        length=iban_length,
    ),
    Rule(
        "card_number",
        re.compile(r"[0-9](?<![A-Za-z0-9.][0-9])(?:[ -]?+[0-9]){12,18}+(?![A-Za-z0-9])"),
        probe=re.compile("[0-9]" + "[0-9 -]" * 12),  # written out: a repetition costs five times that
        length=card_length,
    ),
    Rule(
        "phone_number",
        re.compile(r"(?<![A-Za-z0-9+])\+[1-9](?:[ ().-]{0,2}+[0-9]){7,14}+(?![A-Za-z0-9])"),
        hints=("+",),
    ),
    Rule(
        "phone_number",
        re.compile(
            r"(?<![A-Za-z0-9(])\([2-9][0-9]{2}\) ?+[2-9][0-9]{2}-[0-9]{4}(?![A-Za-z0-9-])"
            r"|(?<![A-Za-z0-9-])[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4}(?![A-Za-z0-9-])"
        ),
        probe=re.compile("[0-9][0-9][0-9]-[0-9][0-9][0-9][0-9]"),
    ),
)
"""Common personal data: searched for in content only, where a number is not the id of something."""

SECRET_FIELDS = frozenset(
    {"api-key", "api_key", "apikey", "x-api-key", "access_key", "secret_key", "private_key", "aws_secret_access_key"}
    | {"secret_access_key", "access_token", "auth_token", "id_token", "refresh_token", "client_secret", "secret"}
    | {"password", "passwd", "pwd", "authorization", "proxy-authorization", "cookie", "set-cookie"}
)
"""Names, in lower case, of JSON fields whose text is a secret whatever it looks like."""
