"""Dead letters: found, claimed and sent again."""
