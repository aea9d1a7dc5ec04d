"""AWS on this machine, for tests and demos: a fake EMR that really runs its steps, and moto's S3 beside it.

No part of the installed platform, and nothing here imports it. `FakeEmr` is in ``emr``, the S3 server in
``s3_server``; ``python -m fake_aws`` runs both.
"""
