"""What ``training/make_corpus.py`` is made of: scripted motion, recombination, and checks that a pose is possible."""
