"""The console: a web page at which people read what waits for them, decide about it, and see how the system is.

It reaches the client alone. Whatever it decides, it decides by the update of the plan or the gate, under the name of the
person who signed in.
"""
