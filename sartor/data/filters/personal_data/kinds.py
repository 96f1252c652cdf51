"""All kinds of personal data that can be found, in the order in which they claim a stretch of text."""

from sartor.data.filters.personal_data.birth_date import DATE_OF_BIRTH
from sartor.data.filters.personal_data.detector import Detector
from sartor.data.filters.personal_data.email_address import EMAIL_ADDRESS
from sartor.data.filters.personal_data.ip_address import IP_ADDRESS
from sartor.data.filters.personal_data.national_id import NATIONAL_ID, US_SSN
from sartor.data.filters.personal_data.payment import CREDIT_CARD, IBAN
from sartor.data.filters.personal_data.person import PERSON
from sartor.data.filters.personal_data.phone_number import PHONE_NUMBER
from sartor.data.filters.personal_data.secrets import API_KEY, PRIVATE_KEY, SIGNED_TOKEN, URL_CREDENTIALS
from sartor.data.filters.personal_data.street_address import STREET_ADDRESS

DETECTORS: tuple[Detector, ...] = (
    PRIVATE_KEY,
    SIGNED_TOKEN,
    URL_CREDENTIALS,
    API_KEY,
    EMAIL_ADDRESS,
    IBAN,
    CREDIT_CARD,
    US_SSN,
    NATIONAL_ID,
    IP_ADDRESS,
    PHONE_NUMBER,
    DATE_OF_BIRTH,
    STREET_ADDRESS,
    PERSON,
)
KINDS = {detector.kind: detector for detector in DETECTORS}
