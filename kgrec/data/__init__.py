"""Tables in, id-mapped arrays out: files, ids, splits, storage. Knows no graphs and loads no
torch.
"""
