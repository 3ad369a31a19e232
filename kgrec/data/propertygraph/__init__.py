"""Graphs of nodes and edges with properties: GraphML, GEXF, JSON and CSV of other tools."""
