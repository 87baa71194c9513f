"""Smaller and faster forms of trained generators: `i2i compress`.

masks      which weights stay: by magnitude, 2:4, whole filters; the gradual schedule
terms      a method's own loss terms, of the original and of the compressed generator; their relative gaps
pruned     the method that trains a pruned generator, in all ways of the lecture's table
distilled  the method that trains a small student of a trained generator
student    which student: how wide for a budget of work or of time
original   the trained model with its method, its discriminators and its data
"""
