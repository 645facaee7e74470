"""Plans and tools as data: steps, references, graph, contracts, outcomes, seal and the table of states."""
