"""Admission: the operator's policy judges a plan, caps its steps and answers conflicts."""
