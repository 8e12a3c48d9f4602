"""What the documentation's site (mkdocs.yml) writes itself: pages made of the code, no file kept."""
