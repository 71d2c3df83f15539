"""Out of the image into the crop and back: crops, masks, colours, grain, compositing."""
