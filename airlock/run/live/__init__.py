"""Live calls of a run: what is asked of gates and workers, and what their answers mean for the run."""
