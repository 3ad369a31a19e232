"""What the site is made of: Markdown under docs/, and pages made from docstrings, the catalog, the
commands, the schemas and the contracts of pyproject.toml.
"""
