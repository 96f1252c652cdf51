"""Check digits of numbers that people are known by. All take strings of ASCII digits and tell whether they hold."""

from collections.abc import Sequence

VERHOEFF_PRODUCT = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
VERHOEFF_PERMUTATION = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def luhn(digits: str) -> bool:
    """ISO/IEC 7812: every second digit from the right doubled, the digits' sum divisible by ten."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of digits times weights; as many digits as there are weights are read."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def iso_7064_mod_97(text: str) -> bool:
    """ISO 7064 mod 97-10, as in an IBAN: first four characters moved to the end, letters as 10 to 35."""
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


def iso_7064_mod_11_10(digits: str) -> bool:
    """ISO 7064 mod 11,10, as in the German tax number."""
    product = 10
    for digit in digits[:-1]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def verhoeff(digits: str) -> bool:
    """Verhoeff's code over the dihedral group of order ten, as in the Indian Aadhaar number."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = int(VERHOEFF_PRODUCT[check][int(VERHOEFF_PERMUTATION[place % 8][int(digit)])])
    return check == 0
