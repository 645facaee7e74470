"""Rules of the policy with conditions, in CEL: how they are written, checked, evaluated and tested."""
