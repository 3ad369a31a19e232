"""The path inspector: in the browser, or one offline page; and lists over HTTP."""
