"""Building blocks shared by at least two models: tensors in, tensors out."""
