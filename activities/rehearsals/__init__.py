"""The rehearsals of calls: mocks, dry runs, and looks at what an undo would find."""
