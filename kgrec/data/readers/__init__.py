"""Files and frames to triples, interactions, attributes, features and vectors."""
