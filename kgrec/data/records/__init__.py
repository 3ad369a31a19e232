"""What everything else is made of: datasets, interactions, triples, vocabularies."""
