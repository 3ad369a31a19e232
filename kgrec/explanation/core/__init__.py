"""Records, rankings and the path graph, which all of explanation is made of. Imports no torch."""
