"""Functions for templates."""


def shortened(text, length):
    return text if len(text) <= length else text[: length - 3] + "..."
