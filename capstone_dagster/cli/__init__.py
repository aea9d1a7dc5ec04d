"""What people type: the commands of ``capstone``. A module holds one, or a few that belong together.

``main`` lists them. They parse, call and print; ``run_command`` and ``track_command`` also decide what to run. What
others need is in the room of its subject: ``runs`` runs a day, ``job_status`` knows the status of a job.
This is the roof: it may import everything.
"""
