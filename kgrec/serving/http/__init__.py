"""The service of ``kgrec serve``: lists over HTTP, from tables that workers share."""
