"""Kernels on graphs: structure, propagation, attention, ranking and sampling, as functions of
tensors.
"""
