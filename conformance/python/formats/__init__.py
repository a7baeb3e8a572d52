"""Clients for the formats of other systems, written from the vectors in formats/vectors alone.

    python3 -m formats.ltv HOST PORT

has a conversation with an echo server of that format and prints `ok`, or what differs. The server
gives back what it gets: a one-way packet with the same key, a request's payload as the response to
it, a heartbeat for a heartbeat. It has no handler for RocketMQ's code 404 and the name `nobody`.
After a packet that is too long it closes the connection, and nothing is lost of what came before.
"""
