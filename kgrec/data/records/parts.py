"""The parts of a split: their names, their numbers in columns, and their names in sentences."""

PARTS = ("train", "valid", "test")
TRAIN, VALID, TEST = range(len(PARTS))
PART_WORDS = {"train": "training", "valid": "validation", "test": "test"}
