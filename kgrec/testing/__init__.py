"""What tests of kgrec's own and of outside models share."""
