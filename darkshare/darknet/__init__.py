"""Darknet models: cfg text, layer kinds, networks, weights and tasks, as the three forks read them."""
