"""Pages and plots that commands write."""
