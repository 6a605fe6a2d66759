"""What items are and where they come from: samples, formats, manifest rows, images and videos, the web."""
