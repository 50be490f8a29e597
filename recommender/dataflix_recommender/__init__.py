"""The model as arrays: save, load, score, fold in. NumPy only: training and serving share it."""
