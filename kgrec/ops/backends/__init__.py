"""Faster forms of some ops. Each op has a torch form that is always there and that these must agree
with.
"""
