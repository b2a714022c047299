"""Models made from models: spliced, cut, mixed, with other classes or anchors, reduced, branched, ready to train."""
