"""The functions of tools as activities run them: arguments, secrets, time, and what their errors tell."""
