"""AWS on this machine, for tests and demos: a fake EMR that really runs its steps, and moto's S3 beside it.

It is not part of the installed platform, and imports nothing of it. `FakeEmr` is in ``emr``, the S3 server in
``s3_server``; ``python -m fake_aws`` runs both.
"""
