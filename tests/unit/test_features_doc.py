from model.features.document import DOCUMENT, features_document


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == features_document(), "run `python -m model.features.document`"
