"""Street addresses by shape: a number with a word for a street. Addresses without such a word are not found."""

import re
from collections.abc import Iterator

from sartor.data.filters.personal_data.detector import Detector, Span

ENGLISH = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Parkway|Pkwy|Highway"
    r"|Hwy|Way|Circle|Crescent|Close|Alley|Route|Trail|Mews|Gardens|Grove|Quay|Row)"
)
ONE_WORD = (
    r"[^\W\d_a-zß-ÿ][\w-]{2,30}(?:str(?:aße|asse|\.)|gasse|weg|platz|allee|damm|ufer|straat|laan|plein|gracht|kade|vägen|gatan|vej"
    r"|gade|allé|veien|vegen|gata|katu|kuja|tie|polku|utca|vagen)"
)
ROMANCE = (
    r"(?:Rue|Avenue|Boulevard|Allée|Chemin|Via|Viale|Piazza|Corso|Calle|Plaza|Paseo|Avenida|Rua|Travessa|Praça"
    r"|[Uu]l\.|Al\.)"
)
NAME = r"[^\W\d_a-zß-ÿ][\w'’.-]{0,30}"
ROMANCE_NAME = rf"(?:d[eiao]s? |del |la )?{NAME}(?:(?: d[eiao]s?| del| la)? {NAME}){{0,3}}"
UNIT = r"(?:,?\s{1,3}(?i:apt|apartment|suite|ste|unit|flat|floor|room)\b\.?\s?#?\w{1,6}){0,2}"
PATTERN = re.compile(
    rf"(?<!\w)(?:(?:\d{{1,6}}[A-Za-z]? ){{1,2}}(?:{NAME} ){{1,4}}{ENGLISH}\b\.?{UNIT}"
    rf"|(?:\d{{1,6}} )?{ONE_WORD} \d{{1,5}}[a-zA-Z]?\b{UNIT}"
    rf"|\d{{1,6}},? {ROMANCE} {ROMANCE_NAME}{UNIT}"
    rf"|(?:\d{{1,6}} )?{ROMANCE} {ROMANCE_NAME},? \d{{1,5}}\b{UNIT}"
    r"|(?i:P\.? ?O\.? ?Box|Postfach) \d{1,8}|PSC \d{1,5},? Box \d{1,6}|Unit \d{1,5},? Box \d{1,6})"
)


def find_street_addresses(text: str) -> Iterator[Span]:
    return (match.span() for match in PATTERN.finditer(text))


STREET_ADDRESS = Detector(
    "street_address", r"\d[\w,]* \pL|\pL[.]? \d|(?i:Box|Postfach) \d", find_street_addresses, checkable=False
)
