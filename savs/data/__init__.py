"""Items and their sources: samples, formats, manifest rows, images and videos, the web."""
