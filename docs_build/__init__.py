"""Pages of the documentation's site (mkdocs.yml) that are made of the code."""
