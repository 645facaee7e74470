"""The number by which a run knows which rules its activities follow."""

EPOCH = 1
"""Written by activities into what they answer and start: 1 since answers carry proofs, 0 in runs from before.

A change that alters the commands of a workflow applies to runs whose number is high enough. The number is in the history
for nothing: no marker, no search attribute, and a continue-as-new carries it on.
"""
