"""Users' or items' rows through a narrow code, and back."""
