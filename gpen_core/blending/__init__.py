"""Out of the image into the crop and back: alignment, masks, colours, grain, compositing."""
