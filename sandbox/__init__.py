"""The wall: everything needed to run one hostile ``train.py`` and to score what it left behind."""
