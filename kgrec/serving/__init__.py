"""The path inspector: a run in the browser, or as one offline page."""
