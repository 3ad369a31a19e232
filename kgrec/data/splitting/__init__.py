"""Which interactions train, which stop the training, which test it."""
