"""What pages that compare measurements share: ranked figures, plots as SVG and PNG, colours, templates.

Needs the `report` extra (matplotlib, jinja2); the rest of `common` does not.
"""
