"""Scores of a whole data set: files, alignment by image, and fusion."""
