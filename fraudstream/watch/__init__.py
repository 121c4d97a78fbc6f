"""Watching: readings of the platform, checks over them and the ledger, and the incidents that these open and close.

`readings` measures what isn't in the database, `checks` says what a fault is, `incidents` keeps each once,
`alert_groups` finds incidents among fraud alerts, and `messages` puts them into words for people.
"""
