"""The model card that ships."""

from model.serving.artifact import CARD_FILE, read_metadata
from model.serving.registry import PRETRAINED
from model.training.card import model_card
from model.training.plots import TITLES


def test_the_shipped_card_is_what_training_would_write_now() -> None:
    assert (PRETRAINED / CARD_FILE).read_text() == model_card(read_metadata(PRETRAINED), TITLES)


def test_the_shipped_card_shows_plots_that_are_there() -> None:
    assert {path.name for path in PRETRAINED.glob("*.png")} == set(TITLES)
