"""A narrow door to the Docker engine: what one lab's trials need, and nothing else. See docs/boundary.md."""
