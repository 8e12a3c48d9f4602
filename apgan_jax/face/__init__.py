"""Finding, aligning, drawing and pasting faces, with NumPy, OpenCV and MediaPipe only."""
