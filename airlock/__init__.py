"""The pure core of Airlock: what a plan is, what it may do, and who decided it.

Nothing in this package reads a clock, draws a random number or touches the outside world. Workflows, activities
and the command line call it with values and act on what it answers.
"""
