"""Fuzzing of the handler of SepExtract with mutated FITS files: `make fuzz N=10000 SEED=1`.

seeds.py makes small images, mutations.py changes them, choices.py says how, oracle.py judges what the handler
answers, child.py runs it within limits, campaign.py counts, and reduces a find to the fewest mutations. A
find is a recipe: the name of a seed and a list of mutations, in JSON. recipes.py has those that were mended.
"""
