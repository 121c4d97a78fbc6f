"""A shop's own files and topics, read with a mapping: readers, the check of a mapping, and the first guess of one."""
