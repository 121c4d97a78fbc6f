import re

from model.features.catalogue import FEATURE_NAMES
from model.features.document import DOCUMENT, features_document


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == features_document(), "run `python -m model.features.document`"


def test_the_document_lists_all_columns_in_their_order() -> None:
    assert tuple(re.findall(r"^\| `(\w+)`", features_document(), re.MULTILINE)) == FEATURE_NAMES
