"""RDF in every serialization, SPARQL endpoints, and the guard of RDF/XML."""
