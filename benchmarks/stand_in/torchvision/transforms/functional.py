"""The one function that the script imports."""


def crop(image, top, left, height, width):
    """Cut a PIL image."""
    return image.crop((left, top, left + width, top + height))
