"""Records on disk and the training pipeline that reads them."""
