"""The commands of ``capstone``. They parse, call and print.

A module holds one command, or a few that belong together; ``main`` lists them. Code that others need too is in the
room of its subject: ``runs`` runs a day, ``job_status`` says where a job stands.
This is the roof: it may import everything, and nothing imports it.
"""
