"""The generated parts of docs/: `python -m fraudstream.docs` writes them from the code that they describe."""
