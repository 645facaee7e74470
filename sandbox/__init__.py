"""Small real services on loopback for the demo and the tests: a REST CRM, an SMTP sink, the corpus APIs.

Nothing of Airlock imports this package; it is a stand-in for the outside world.
"""
