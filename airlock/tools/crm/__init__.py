"""Contacts of the CRM: search, creation and update."""
