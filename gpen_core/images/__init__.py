"""What every part asks of images: shapes and values checked, and sRGB arithmetic."""
