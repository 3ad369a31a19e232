"""Where places of a list come from, and what attributes count for strangers. numpy only: models and
what serves lists share it.

    personal   the model's scores for a user it was trained on
    history    the model's scores for someone folded in by a history
    content    the attributes that the user shares with others, or the history with further items
    popular    the training interactions of the items
"""

KINDS = ("personal", "history", "content", "popular")
PERSONAL, HISTORY, CONTENT, POPULAR = range(len(KINDS))
PRIOR_INTERACTIONS = 100.0
"""What an attribute says of an item counts as much as popularity at so many interactions."""
