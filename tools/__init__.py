"""The built-in catalogue: one adapter a file, behind the Tool protocol of `airlock.tool`."""

from tools.compute import math_compute
from tools.contact_creating import ghl_create_contact
from tools.contact_search import ghl_search
from tools.contact_updating import ghl_update_contact
from tools.database_reading import database_query
from tools.database_writing import database_write
from tools.extract import text_extract
from tools.file_deleting import file_delete
from tools.file_writing import file_write
from tools.goals import goal_query
from tools.http import http_request
from tools.mail import send_email
from tools.memory import memory_search

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
