from fraudstream.dead_letters.document import DOCUMENT, dead_letters_document


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == dead_letters_document(), "run `python -m fraudstream.dead_letters.document`"
