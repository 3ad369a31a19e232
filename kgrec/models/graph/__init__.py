"""Graph convolution over interactions."""
