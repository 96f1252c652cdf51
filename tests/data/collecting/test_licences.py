"""What sources say about licences, as SPDX identifiers."""

import pytest

from sartor.data.collecting.licences import licence_of


@pytest.mark.parametrize(
    ("stated", "licence"),
    [
        ("https://creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA-4.0"),
        ("//creativecommons.org/licenses/by/3.0/deed.de", "CC-BY-3.0"),
        ("http://creativecommons.org/licenses/by-nc-nd/2.5/", "CC-BY-NC-ND-2.5"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("https://creativecommons.org/licenses/by/3.0/de/", "https://creativecommons.org/licenses/by/3.0/de/"),
        ("https://www.apache.org/licenses/LICENSE-2.0.html", "Apache-2.0"),
        ("https://opensource.org/license/mit/", "MIT"),
        ("mit", "MIT"),
        ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("GPL-2.0-or-later", "GPL-2.0-or-later"),
        (" All  rights\nreserved ", "All rights reserved"),
        ("x" * 500, "x" * 200),
        ("", None),
        (None, None),
    ],
)
def test_well_known_licences_get_their_identifier(stated, licence):
    assert licence_of(stated) == licence
