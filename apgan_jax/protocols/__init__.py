"""What is measured on what: clips, FaceForensics++, photos; and the table that comes of it."""
