"""The graph builder: the collaborative knowledge graph, HeteroData, and the way to other
libraries.
"""
