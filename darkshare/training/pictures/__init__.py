"""Pictures as a training sees them: which one comes when, cropped, flipped, coloured and mixed as Darknet does."""
