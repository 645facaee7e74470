"""The built-in catalogue: one adapter a file, behind the Tool protocol of `airlock.plans.tool`."""

from airlock.tools.compute import math_compute
from airlock.tools.crm.contact_creating import ghl_create_contact
from airlock.tools.crm.contact_search import ghl_search
from airlock.tools.crm.contact_updating import ghl_update_contact
from airlock.tools.databases.database_reading import database_query
from airlock.tools.databases.database_writing import database_write
from airlock.tools.extract import text_extract
from airlock.tools.files.file_deleting import file_delete
from airlock.tools.files.file_writing import file_write
from airlock.tools.goals import goal_query
from airlock.tools.http import http_request
from airlock.tools.mail import send_email
from airlock.tools.memory import memory_search

__all__ = [
    "database_query",
    "database_write",
    "file_delete",
    "file_write",
    "ghl_create_contact",
    "ghl_search",
    "ghl_update_contact",
    "goal_query",
    "http_request",
    "math_compute",
    "memory_search",
    "send_email",
    "text_extract",
]
