"""The desk: the analysts' pages inside Superset, at `/desk/`: the queue of alerts, an alert's page, verdicts.

Pages are rendered here, in Superset's session, with its users, roles and CSRF tokens. Permission is `can_decide` on
`Desk`, which the roles Analyst and Admin have. It reads and writes the platform's tables as the role `fraud_desk`.
"""
