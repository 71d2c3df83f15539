"""Faces in images: finding, choosing, following and drawing them."""
