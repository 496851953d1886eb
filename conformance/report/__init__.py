"""What comes of a run: the verdict vocabulary, the results file and every form it is shown in. Knows nothing else of the
project."""
